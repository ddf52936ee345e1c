"""What `machine` measures, keeps and finds again; the measuring itself is cut short here."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest

import laminet as ln
from laminet import probe
from laminet.activation import ACTIVATIONS

module = importlib.import_module("laminet.analysis.machine")  # the package has the function


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `machine` know nothing, keep its figures in a folder of the test, and hurry."""
    path = tmp_path / "cache" / "laminet"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(path))
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module, "_ROUNDS", 1)
    monkeypatch.setattr(module, "_EVEN", 0.0)  # so short a measuring is disturbed by anything
    monkeypatch.setattr(module, "_SECONDS", dict.fromkeys(module._SECONDS, 1e-3))
    return path


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget what this process knows, as a new one would."""
    return lambda: monkeypatch.setattr(module, "_known", {})


def refuse(*_: object) -> float:
    raise AssertionError("measured again")


def test_the_figures_of_this_machine() -> None:
    m = ln.machine()
    info = ln.build_info()
    assert (m.cpu, m.isa, list(m.isas)) == (info["cpu"], info["isa"], info["available_isas"])
    assert m.cores == probe.max_threads()
    assert list(m.isa_peak_gflops) == list(m.isas)
    assert m.peak_gflops == m.isa_peak_gflops[m.isa]
    assert set(m.peak_gflops) == set(m.fma_latency_ns) == {"float32", "float64"}
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


def test_threads_between_one_and_all() -> None:
    base = ln.machine()
    fields = {f: getattr(base, f) for f in base.__dataclass_fields__}
    m = module.Machine(
        **{
            **fields,
            "cores": 8,
            "peak_gflops": {"float32": module.Rate(100.0, 700.0)},
            "bandwidth_gb_s": {"DRAM": module.Rate(20.0, 50.0)},
        }
    )
    assert [m.peak("float32", n) for n in (1, 2, 7, 8, 9, None)] == [100, 200, 700, 700, 700, 700]
    assert [m.bandwidth("DRAM", n) for n in (1, 2, 3, 8)] == [20, 40, 50, 50]
    # Noise may have all of them above so many times one: all of them are what was measured so.
    noisy = dataclasses.replace(m, peak_gflops={"float32": module.Rate(100.0, 900.0)})
    assert [noisy.peak("float32", n) for n in (7, 8, 9)] == [700, 900, 900]


def test_what_was_measured_is_kept(
    folder: Path, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
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


def test_refresh_measures_again_and_keeps_that(
    folder: Path, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ln.machine()
    monkeypatch.setattr(probe, "handoff_time", lambda *_: 125e-6)
    assert ln.machine(refresh=True).handoff_us == pytest.approx(125)
    forget()
    assert ln.machine().handoff_us == pytest.approx(125)


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
        lambda r: json.dumps({**r, "key": {**r["key"], "cpu": "another"}}),
        lambda r: json.dumps({**r, "key": {**r["key"], "cores": 10_000}}),
    ],
)
def test_a_broken_file_is_measured_anew(
    folder: Path, forget: Callable[[], None], broken: Callable[[dict[str, Any]], str]
) -> None:
    ln.machine()
    (file,) = folder.iterdir()
    file.write_text(broken(json.loads(file.read_text())))
    forget()
    again = ln.machine()
    assert again.cpu == ln.build_info()["cpu"]
    forget()
    assert ln.machine() == again  # and the file is mended


def test_a_file_of_bytes_that_are_no_text(folder: Path, forget: Callable[[], None]) -> None:
    ln.machine()
    (file,) = folder.iterdir()
    file.write_bytes(b"\xff\xfe\x00")
    forget()
    assert ln.machine().cores == probe.max_threads()


def test_where_nothing_can_be_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.write_text("a file where the folder should be")
    first = ln.machine()
    monkeypatch.setattr(probe, "fma_rate", refuse)
    assert ln.machine() == first  # for this process at least
    assert folder.parent.read_text() == "a file where the folder should be"


def test_figures_of_a_busy_machine_are_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads are twice as fast as one, but for one peak, which a neighbour halves."""
    rounds = []

    def rate(dtype: str, isa: str, threads: int, _: float) -> float:
        rounds.append(threads)
        busy = dtype == "float64" and isa == "generic"
        return 1e9 if busy else threads * 1e9

    monkeypatch.setattr(probe, "fma_rate", rate)
    monkeypatch.setattr(module, "_EVEN", 0.85)
    cores = probe.max_threads()
    if cores == 1:
        pytest.skip("one CPU: there is nothing to compare")
    first = ln.machine()
    assert first.peak_gflops["float32"].all_threads == cores
    assert rounds.count(1) == 3 * 2 * len(first.isas)  # all three times the rounds
    assert not folder.exists()
    rounds.clear()
    assert ln.machine() == first
    assert rounds == []


def test_what_disturbed_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVEN", 0.85)
    assert not module.disturbed([1.9, 2.0, 1.95])
    assert not module.disturbed([1.0])
    assert module.disturbed([1.9, 2.0, 1.02])


def test_another_instruction_set_is_another_machine(isa: str) -> None:
    assert ln.machine().isa == isa


def test_the_number_of_threads_is_the_users() -> None:
    ln.set_num_threads(1)
    assert ln.machine().cores == probe.max_threads()
    assert ln.get_num_threads() == 1


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
    assert module.working_sets(caches, threads, memory) == expected
