"""What `machine` measures, keeps and finds again; but for one test the probes are replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from probes import Probes, folder, forget, machine_module, measuring, probes

import laminet as ln
from laminet.analysis import machine_file
from laminet.analysis.machine import Machine, Rate
from laminet.core import probes as probe
from laminet.core.activation import ACTIVATIONS
from laminet.core.probes import Reading

__all__ = ["folder", "forget", "probes"]  # fixtures

pytestmark = pytest.mark.usefixtures("folder")


def refuse(*_: object) -> Reading:
    raise AssertionError("measured again")


def test_the_figures_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real probes, each for as short as may be, and reading no more memory than needed."""
    monkeypatch.setattr(measuring, "_ROUNDS", 1)
    monkeypatch.setattr(measuring, "_MORE_ROUNDS", 0)
    monkeypatch.setattr(measuring, "_SECONDS", dict.fromkeys(measuring._SECONDS, 1e-4))
    monkeypatch.setattr(probe, "available_memory", lambda: 2**25)
    m = ln.machine()
    info = ln.build_info()
    assert (m.cpu, m.isa, list(m.isas)) == (info["cpu"], info["isa"], info["available_isas"])
    assert m.cores == probe.max_threads()
    assert list(m.isa_peak_gflops) == list(m.isas)
    assert m.peak_gflops == m.isa_peak_gflops[m.isa]
    assert set(m.peak_gflops) - {"bfloat16"} == set(m.fma_latency_ns) == {"float32", "float64"}
    assert list(m.bandwidth_gb_s) == [*(c.name for c in m.caches), "DRAM"]
    # 1 operation in 1000 s to 10^15 a second: the unit is what it says, whatever the machine.
    rates = [
        *m.bandwidth_gb_s.values(),
        *(r for p in m.isa_peak_gflops.values() for r in p.values()),
    ]
    assert all(1e-3 < x < 1e6 for r in rates for x in (r.one_thread, r.all_threads))
    assert all(1e-2 < x < 1e3 for x in m.fma_latency_ns.values())
    assert all(1e-4 < x < 1e4 for names in m.activation_ns.values() for x in names.values())
    assert list(m.activation_ns["float64"]) == list(ACTIVATIONS)
    assert 0 < m.layer_us < m.call_us < 1e4
    assert 0 < m.handoff_us < 1e6
    for cache in m.caches:
        assert cache.bytes >= 4096
        assert cache.shared_by >= 1


@pytest.mark.usefixtures("probes")
def test_threads_between_one_and_all() -> None:
    base = ln.machine()
    fields = {f: getattr(base, f) for f in base.__dataclass_fields__}
    m = Machine(
        **{
            **fields,
            "cores": 8,
            "peak_gflops": {"float32": Rate(100.0, 700.0)},
            "bandwidth_gb_s": {"DRAM": Rate(20.0, 50.0)},
        }
    )
    assert [m.peak("float32", n) for n in (1, 2, 7, 8, 9, None)] == [100, 200, 700, 700, 700, 700]
    # Without an instruction for it, bfloat16 is computed in float32.
    assert m.peak("bfloat16", 2) == 200
    own = dataclasses.replace(m, peak_gflops={**m.peak_gflops, "bfloat16": Rate(180.0, 1300.0)})
    assert [own.peak("bfloat16", n) for n in (1, None)] == [180, 1300]
    assert [m.bandwidth("DRAM", n) for n in (1, 2, 3, 8)] == [20, 40, 50, 50]
    # Noise may have all of them above so many times one: all of them are what was measured so.
    noisy = dataclasses.replace(m, peak_gflops={"float32": Rate(100.0, 900.0)})
    assert [noisy.peak("float32", n) for n in (7, 8, 9)] == [700, 900, 900]


def test_what_was_measured_is_kept(
    folder: Path, probes: Probes, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ln.machine()
    (file,) = folder.iterdir()
    monkeypatch.setattr(probe, "fma_rate", refuse)
    assert ln.machine() == first
    forget()
    assert ln.machine() == first
    with pytest.raises(AssertionError, match="measured again"):
        ln.machine(refresh=True)
    assert json.loads(file.read_text())["key"]["cpu"] == first.cpu


@pytest.mark.usefixtures("probes")
def test_refresh_measures_again_and_keeps_that(
    forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ln.machine()
    monkeypatch.setattr(probe, "handoff_time", lambda *_: Reading(1.25e-6))
    assert ln.machine(refresh=True).handoff_us == pytest.approx(1.25)
    forget()
    assert ln.machine().handoff_us == pytest.approx(1.25)


def _without(record: dict[str, Any], *path: str) -> str:
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(record)


def _with(record: dict[str, Any], value: Any) -> str:
    record["bandwidth_gb_s"]["DRAM"] = value
    return json.dumps(record)


@pytest.mark.parametrize(
    "broken",
    [
        lambda _: "",
        lambda _: "{",
        lambda _: "[]",
        lambda _: "null",
        lambda _: "[" * 100_000,
        lambda r: json.dumps(r)[:-20],
        lambda r: _without(r, "key"),
        lambda r: _without(r, "key", "cpu"),
        lambda r: _without(r, "bandwidth_gb_s", "DRAM"),
        lambda r: _without(r, "handoff_us"),
        lambda r: _with(r, [1.0]),
        lambda r: _with(r, [1.0, float("nan")]),
        lambda r: _with(r, [1.0, float("inf")]),
        lambda r: _with(r, [0.0, 1.0]),
        lambda r: _with(r, [-1.0, 1.0]),
        lambda r: _with(r, ["1", 1.0]),
        lambda r: _with(r, None),
        lambda r: _with(r, [10**400, 1.0]),
        lambda r: _with(r, [1.0, True]),
        lambda r: json.dumps({**r, "activation_ns": "none"}),
        lambda r: json.dumps({**r, "key": {**r["key"], "format": r["key"]["format"] - 1}}),
        lambda r: " " * machine_file._LARGEST + json.dumps(r),
        lambda r: json.dumps({**r, "key": {**r["key"], "cpu": "another"}}),
        lambda r: json.dumps({**r, "key": {**r["key"], "cores": 10_000}}),
    ],
)
def test_a_broken_file_is_measured_anew(
    folder: Path,
    probes: Probes,
    forget: Callable[[], None],
    broken: Callable[[dict[str, Any]], str],
) -> None:
    first = ln.machine()
    (file,) = folder.iterdir()
    kept = json.loads(file.read_text())
    file.write_text(broken(json.loads(file.read_text())))
    forget()
    assert ln.machine() == first
    assert probes.rounds("handoff", 2) == 2 * measuring._ROUNDS
    assert json.loads(file.read_text()) == kept  # the file is mended
    forget()
    assert ln.machine() == first
    assert probes.rounds("handoff", 2) == 2 * measuring._ROUNDS


@pytest.mark.parametrize("what", ["bytes", "pipe", "folder", "loop", "unreadable"])
def test_what_is_no_file_of_figures(
    folder: Path, probes: Probes, forget: Callable[[], None], what: str
) -> None:
    """Nothing is waited for, and what is not ours stays."""
    first = ln.machine()
    (file,) = folder.iterdir()
    file.unlink()
    if what == "bytes":
        file.write_bytes(b"\xff\xfe\x00")
    elif what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        (file / "other").mkdir(parents=True)
    elif what == "loop":
        file.symlink_to(file)
    else:
        file.write_text("{}")
        file.chmod(0)
    forget()
    assert ln.machine() == first
    assert ln.machine() == first
    assert probes.rounds("handoff", 2) == 2 * measuring._ROUNDS
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_figures_of_another_format_are_not_found(
    folder: Path, probes: Probes, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ln.machine()
    forget()
    monkeypatch.setattr(machine_file, "_FORMAT", machine_file._FORMAT + 1)
    ln.machine()
    assert probes.rounds("handoff", 2) == 2 * measuring._ROUNDS
    assert len(list(folder.iterdir())) == 2


def test_where_nothing_can_be_kept(
    folder: Path, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.parent.write_text("a file where the folder should be")
    first = ln.machine()
    monkeypatch.setattr(probe, "fma_rate", refuse)
    assert ln.machine() == first  # for this process at least
    assert folder.parent.read_text() == "a file where the folder should be"


@pytest.mark.usefixtures("probes")
def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's folder is then one named "~", which would be made where the process stands."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/laminet")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    first = ln.machine()
    monkeypatch.setattr(probe, "fma_rate", refuse)
    assert ln.machine() == first
    assert list(here.iterdir()) == []


def test_processes_measure_one_after_another(
    folder: Path, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one measures, others cannot have the folder's lock; afterwards they can."""
    locked = []

    def is_locked() -> bool:
        other = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(other)
        return False

    def handoff(threads: int, _: float) -> Reading:
        locked.append(is_locked())
        return Reading(1e-6)

    monkeypatch.setattr(probe, "handoff_time", handoff)
    ln.machine()
    assert locked == [True] * measuring._ROUNDS
    assert not is_locked()


def test_what_another_process_has_measured_meanwhile(
    folder: Path, probes: Probes, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ln.machine()
    (file,) = folder.iterdir()
    text = file.read_text()
    file.unlink()
    forget()

    @contextlib.contextmanager
    def waited(_: Path) -> Iterator[None]:
        file.write_text(text)
        yield

    monkeypatch.setattr(machine_module, "measuring_alone", waited)
    monkeypatch.setattr(probe, "fma_rate", refuse)
    assert ln.machine() == first


def test_a_folder_that_another_process_keeps_locked(
    folder: Path, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience has an end."""
    folder.mkdir(parents=True)
    monkeypatch.setattr(machine_file, "_PATIENCE", 0.1)
    other = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        ln.machine()
    finally:
        os.close(other)
    assert probes.rounds("handoff", 2) == measuring._ROUNDS


def test_a_child_is_free_of_the_lock_of_its_parent(script: Callable[..., Any]) -> None:
    code = """
import importlib, os
module = importlib.import_module("laminet.analysis.machine")
module._lock.acquire()
child = os.fork()
if child == 0:
    os._exit(0 if module._lock.acquire(blocking=False) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    result = script(code)
    assert result.stdout == "0\n", result.stderr


@pytest.mark.usefixtures("probes")
def test_another_instruction_set_is_another_machine(isa: str) -> None:
    assert ln.machine().isa == isa


@pytest.mark.usefixtures("probes")
def test_the_number_of_threads_is_the_users() -> None:
    ln.set_num_threads(1)
    assert ln.machine().cores == probe.max_threads()
    assert ln.get_num_threads() == 1


@pytest.mark.usefixtures("probes")
def test_it_prints_as_tables() -> None:
    m = ln.machine()
    text = str(m)
    assert text.startswith(m.cpu)
    assert f"{m.isa} (in use)" in text
    assert "DRAM" in text
    assert max(map(len, text.splitlines())) <= 80
    assert m._repr_html_().count("<table>") == 3
    plain = json.loads(json.dumps(m.to_dict()))
    assert plain["bandwidth_gb_s"]["DRAM"]["one_thread"] == m.bandwidth_gb_s["DRAM"].one_thread
    assert [c["name"] for c in plain["caches"]] == [c.name for c in m.caches]


KIB, MIB = 2**10, 2**20


@pytest.mark.parametrize(
    ("caches", "threads", "memory", "expected"),
    [
        # A desktop core: half of L1 and L2, sqrt(1 MiB x 36 MiB), 4 x L3.
        (
            [(1, 32 * KIB, 1), (2, MIB, 1), (3, 36 * MIB, 8)],
            1,
            0,
            {"L1": 16 * KIB, "L2": 512 * KIB, "L3": 6 * MIB, "DRAM": 144 * MIB},
        ),
        # 4 of 8 CPUs that share it: a quarter of L3 each.
        (
            [(1, 32 * KIB, 1), (2, MIB, 1), (3, 36 * MIB, 8)],
            4,
            0,
            {"L1": 16 * KIB, "L2": 512 * KIB, "L3": 3 * MIB, "DRAM": 36 * MIB},
        ),
        # Two hardware threads to a core halve L1 and L2; two L3 double the memory.
        (
            [(1, 32 * KIB, 2), (2, MIB, 2), (3, 32 * MIB, 8)],
            16,
            0,
            {"L1": 8 * KIB, "L2": 256 * KIB, "L3": int(2**0.5 * 2**20), "DRAM": 16 * MIB},
        ),
        # L3 is hardly larger than L2: at least twice L2.
        (
            [(1, 32 * KIB, 1), (2, 2 * MIB, 1), (3, 3 * MIB, 1)],
            1,
            0,
            {"L1": 16 * KIB, "L2": MIB, "L3": 4 * MIB, "DRAM": 64 * MIB},
        ),
        # A quarter of what there is, if that is less.
        ([(1, 32 * KIB, 1)], 1, 100 * MIB, {"L1": 16 * KIB, "DRAM": 25 * MIB}),
        # Nothing is known: beyond a cache of 16 MiB for each thread.
        ([], 2, 0, {"DRAM": 64 * MIB}),
    ],
)
def test_what_is_read_to_measure_a_level(
    caches: list[tuple[int, int, int]], threads: int, memory: int, expected: dict[str, int]
) -> None:
    assert measuring.working_sets(caches, threads, memory) == expected
