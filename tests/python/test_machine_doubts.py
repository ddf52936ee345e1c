"""Figures of the machine that cannot be right, by bounds and rooflines: measured again, said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import main
from probes import (
    ALL_ROUNDS,
    ROUNDS,
    Probes,
    change,
    folder,
    forget,
    nobody,
    one_cpu_for_two,
    probes,
    two_threads_of_one_core,
    wait,
)
from synthetic import predict, roofline_module, synthetic_machine

import laminet as ln
from laminet.analysis.machine import Rate
from laminet.analysis.machine_bounds import doubts
from laminet.core.probes import Reading

__all__ = ["folder", "forget", "probes"]  # fixtures


def peaks(one: float = 100.0, all_: float = 200.0, **double: Rate) -> dict[str, Any]:
    rates = {"float32": Rate(one, all_), "float64": Rate(50.0, 100.0), **double}
    return {"peak_gflops": rates, "isa_peak_gflops": {"generic": rates}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (peaks(100, 102, float64=Rate(50, 51)), "2 threads compute 1.02 times what one does, in"),
        (peaks(100, 300, float64=Rate(50, 150)), "2 threads compute 3.00 times what one does, in"),
        (peaks(100, 160), "1.60 times what one does in generic float32 and 2.00 times in generic"),
        (peaks(50, 100), "peak in float32 is 1.00 times that in float64"),
        (peaks(400, 800), "peak in float32 is 8.00 times that in float64"),
        # Four lanes: 100 GFLOP/s are 12.5 vectors a ns, of which 12 or more wait for nothing.
        ({"fma_latency_ns": {"float32": 10.0, "float64": 0.1}}, "has 125 multiply-adds under way"),
        ({"fma_latency_ns": {"float32": 0.01, "float64": 0.1}}, "has 0.125 multiply-adds under"),
        ({"L2": Rate(600, 1200)}, "L2 is read at 600 GB/s and L1 at 400, by one thread"),
        ({"DRAM": Rate(20, 260)}, "DRAM is read at 260 GB/s and L3 at 200, by 2 threads"),
        ({"L1": Rate(400, 400)}, "2 threads read 1.00 times from L1 what one does"),
        ({"DRAM": Rate(20, 10)}, "2 threads read 0.5 times from DRAM what one does"),
        ({"handoff_us": 44.6}, "handing work to 2 threads takes 44.6 us"),
        ({"call_us": 80.0}, "a call from Python takes 80.0 us"),
        ({"layer_us": 1e-3}, "many layers of one number take no longer than one"),
    ],
)
def test_what_no_machine_does(changes: dict[str, Any], words: str) -> None:
    plain = synthetic_machine()
    assert doubts(plain) == []
    levels = {k: v for k, v in changes.items() if k in plain.bandwidth_gb_s}
    others = {k: v for k, v in changes.items() if k not in levels}
    if levels:
        others["bandwidth_gb_s"] = {**plain.bandwidth_gb_s, **levels}
    found = doubts(dataclasses.replace(plain, **others))
    assert words in "; ".join(doubt.words for doubt in found)
    # Each names figures that there are.
    names = {name[0] for doubt in found for name in doubt.names}
    assert names <= {"fma", "latency", "read", "handoff", "call"}


def test_hardware_threads_of_one_core_gain_nothing() -> None:
    plain = synthetic_machine()
    caches = tuple(dataclasses.replace(cache, shared_by=2) for cache in plain.caches)
    rates = {level: Rate(r.one_thread, r.one_thread) for level, r in plain.bandwidth_gb_s.items()}
    of_one_core = dataclasses.replace(
        plain, **peaks(100, 100, float64=Rate(50, 50)), caches=caches, bandwidth_gb_s=rates
    )
    assert doubts(of_one_core) == []


def test_figures_that_cannot_be_right_are_measured_again(folder: Path, probes: Probes) -> None:
    """Threads had their CPUs, but for once both computed no more than one."""

    def halved(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
        spoilt = kind == "fma" and about[2] == 2 and probes.rounds(kind, *about) <= ROUNDS
        return Reading(quiet / 2 if spoilt else quiet)

    probes.neighbour = halved
    m = ln.machine()
    assert m.peak("float32") == 2 * m.peak("float32", 1)
    assert m.disturbed == ()
    probes.neighbour = lambda kind, about, quiet: Reading(
        quiet / about[2] if kind == "fma" else quiet
    )
    assert "2 threads compute 1.00 times what one does" in ln.machine(refresh=True).notes()[0]


def test_impossible_figures_of_a_file(
    folder: Path, probes: Probes, forget: Callable[[], None]
) -> None:
    right = ln.machine()
    file = change(folder, handoff_us=44.6)
    forget()
    found = ln.machine()
    assert found == right
    assert found.notes() == [
        "Earlier figures of this machine were wrong, and have been measured again: handing work "
        "to 2 threads takes 44.6 us."
    ]
    assert json.loads(file.read_text())["handoff_us"] == pytest.approx(0.25)
    assert ln.machine().notes() == []
    forget()
    assert ln.machine().notes() == []


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> ln.MLP:
    """A network that takes what the model says of the quiet machine, times `Fast.times`."""
    return ln.MLP.init([784, 512, 256, 10], "relu", seed=0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, probes: Probes, folder: Path) -> dict[int, float]:
    """What a batch takes, in seconds; by default what the model says of the quiet machine."""
    times: dict[int, float] = {}
    ln.set_num_threads(2)
    quiet = ln.machine()

    def measure(net: ln.MLP, batch: int, _: Any) -> tuple[float, list[float]]:
        whole = times.get(batch, predict(net, batch, quiet).us * 1e-6)
        return whole, [whole / 10] * len(net.layers)

    monkeypatch.setattr(roofline_module, "measure", measure)
    return times


def halve_peaks(folder: Path) -> Path:
    """Keep half of each peak, and twice the latency: all is as on a slower machine."""
    (file,) = folder.iterdir()
    record = json.loads(file.read_text())
    for types_ in record["peak_gflops"].values():
        for dtype, rates in types_.items():
            types_[dtype] = [rate / 2 for rate in rates]
    latency = {dtype: 2 * ns for dtype, ns in record["fma_latency_ns"].items()}
    return change(folder, peak_gflops=record["peak_gflops"], fma_latency_ns=latency)


@pytest.mark.usefixtures("measured")
def test_a_share_above_the_roof_proves_the_figures_wrong(
    folder: Path, probes: Probes, forget: Callable[[], None], net: ln.MLP
) -> None:
    plain = ln.roofline(net, [1, 1000])
    assert plain.notes() == []
    share = plain.rows[1].share
    assert 0.9 < share < 1
    file = halve_peaks(folder)
    forget()
    probes.calls.clear()
    result = ln.roofline(net, [1, 1000])
    assert result.notes() == [
        "Earlier figures of this machine were wrong, and have been measured again: batch 1000 "
        f"reaches {200 * share:.0f} % of the roof."
    ]
    assert result.rows == plain.rows
    assert result.machine == plain.machine
    assert "measured again: batch 1000 reaches" in " ".join(str(result).split())
    assert probes.rounds("handoff", 2) == ROUNDS
    assert json.loads(file.read_text())["peak_gflops"][ln.build_info()["isa"]]["float32"] == [
        plain.machine.peak("float32", 1),
        plain.machine.peak("float32"),
    ]
    assert ln.roofline(net, [1, 1000]).notes() == []
    assert probes.rounds("handoff", 2) == ROUNDS


def test_a_call_that_is_faster_than_an_empty_one(
    folder: Path,
    probes: Probes,
    forget: Callable[[], None],
    measured: dict[int, float],
    net: ln.MLP,
) -> None:
    """0.3 us of the call, 0.1 of two more layers, and 5.5 for the threads to meet."""
    threads = predict(net, 8, ln.machine()).threads
    assert threads == 2
    share = ln.roofline(net, [8]).rows[0].share * predict(net, 8, ln.machine()).us / 2.84
    measured[8] = 2.84e-6
    file = change(folder, handoff_us=5.5)
    forget()
    (note, *_) = ln.roofline(net, [8]).notes()
    assert note == (
        "Earlier figures of this machine were wrong, and have been measured again: batch 8 takes "
        "2.84 us, and 5.90 us for a network with nothing in it; "
        f"batch 8 reaches {100 * share:.0f} % of the roof."
    )
    assert json.loads(file.read_text())["handoff_us"] == pytest.approx(0.25)


def test_what_stays_above_the_roof_is_measured_again_once(
    folder: Path,
    probes: Probes,
    forget: Callable[[], None],
    measured: dict[int, float],
    net: ln.MLP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then it is the model that is wrong: no report of it measures the machine again."""
    ln.machine()
    probes.calls.clear()
    measured[64] = 1e-6
    result = ln.roofline(net, [64])
    assert probes.rounds("handoff", 2) == ROUNDS
    again, still = result.notes()
    assert again.startswith("Earlier figures of this machine were wrong, and have been measured")
    assert still.startswith("Faster than these figures allow: batch 64 reaches")
    assert still.endswith("measures them again.")
    for process in (lambda: None, forget):
        process()
        assert ln.roofline(net, [64]).notes() == [still]
        assert probes.rounds("handoff", 2) == ROUNDS
    ln.machine(refresh=True)
    ln.roofline(net, [64])
    assert probes.rounds("handoff", 2) == 3 * ROUNDS
    # For a day: figures may become wrong later.
    wait(monkeypatch, 23 * 3600)
    ln.roofline(net, [64])
    assert probes.rounds("handoff", 2) == 3 * ROUNDS
    wait(monkeypatch, 2 * 3600)
    for process in (lambda: None, forget):
        process()
        ln.roofline(net, [64])
        assert probes.rounds("handoff", 2) == 4 * ROUNDS


def test_what_stays_above_the_roof_beside_a_neighbour_is_measured_again_once(
    folder: Path,
    probes: Probes,
    measured: dict[int, float],
    net: ln.MLP,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures of a disturbed measuring are not kept, nor is anything with them."""
    measured[64] = 1e-6
    probes.neighbour = one_cpu_for_two
    assert ln.roofline(net, [64]).machine.disturbed
    probes.neighbour = nobody
    probes.calls.clear()
    for _ in range(2):
        (still,) = ln.roofline(net, [64]).notes()
        assert still.startswith("Faster than these figures allow: batch 64 reaches")
        assert probes.rounds("handoff", 2) == ROUNDS
    wait(monkeypatch, 25 * 3600)
    ln.roofline(net, [64])
    assert probes.rounds("handoff", 2) == 2 * ROUNDS
    ln.roofline(net, [64])
    assert probes.rounds("handoff", 2) == 2 * ROUNDS
    ln.roofline(net, [64], refresh=True)
    assert probes.rounds("handoff", 2) == 4 * ROUNDS


def test_contradicted_figures_go_though_the_new_ones_are_unusual(
    folder: Path,
    probes: Probes,
    forget: Callable[[], None],
    measured: dict[int, float],
    net: ln.MLP,
) -> None:
    """They count as measured once, whatever was found before the figures that they replace."""
    (file,) = folder.iterdir()
    file.unlink()
    forget()
    probes.neighbour = two_threads_of_one_core
    assert ln.machine().disturbed
    probes.neighbour = nobody
    assert ln.machine().disturbed == ()
    measured[64] = 1e-6
    probes.neighbour = two_threads_of_one_core
    contradicted = ln.roofline(net, [64]).machine
    assert contradicted.disturbed
    assert contradicted.replaced
    forget()
    assert ln.machine().unusual == contradicted.disturbed


def test_beside_a_neighbour_nothing_is_proved(
    folder: Path, probes: Probes, measured: dict[int, float], net: ln.MLP
) -> None:
    """One who stayed to the end of the measuring is still there."""
    (file,) = folder.iterdir()
    before = json.loads(file.read_text())
    probes.calls.clear()
    probes.neighbour = one_cpu_for_two
    measured[64] = 1e-6
    result = ln.roofline(net, [64], refresh=True)
    assert probes.rounds("fma", "float32", "generic", 2) == ALL_ROUNDS
    busy, still = result.notes()
    assert busy.startswith("Measured beside a busy neighbour, so not kept")
    assert still.endswith("There they were disturbed.")
    assert json.loads(file.read_text()) == before
    probes.neighbour = nobody
    assert ln.roofline(net, [8]).notes() == []


def test_a_single_sample_above_the_roof_proves_nothing(
    probes: Probes, measured: dict[int, float], net: ln.MLP
) -> None:
    """Of one sample zeros are left out, with their weights."""
    measured[1] = predict(net, 1, ln.machine()).us * 0.4e-6
    result = ln.roofline(net, [1])
    assert result.rows[0].share > 1.5
    assert result.notes() == []
    assert probes.rounds("handoff", 2) == ROUNDS


@pytest.mark.parametrize(
    ("batch", "share", "told"),
    [(2, 1.4, False), (2, 1.6, True), (4096, 1.04, False), (4096, 1.06, True)],
)
def test_how_far_above_the_roof_proves_the_figures_wrong(
    probes: Probes, measured: dict[int, float], net: ln.MLP, batch: int, share: float, told: bool
) -> None:
    """Two rows are bound by L3, and which part L2 serves is the model's guess; 4096 by the peak."""
    (row,) = ln.roofline(net, [batch]).rows
    assert row.bound_by == ("L3" if batch == 2 else "arithmetic")
    measured[batch] = row.measured_us * row.share / share * 1e-6
    result = ln.roofline(net, [batch])
    assert result.rows[0].share == pytest.approx(share)
    assert (result.notes() != []) is told
    assert probes.rounds("handoff", 2) == (2 if told else 1) * ROUNDS


@pytest.mark.usefixtures("measured")
def test_refresh_on_the_command_line(
    probes: Probes,
    net: ln.MLP,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    net.save("net")
    assert main(["roofline", "net"]) == 0
    assert probes.rounds("handoff", 2) == ROUNDS
    assert "busy" not in capsys.readouterr().out
    probes.neighbour = one_cpu_for_two
    assert main(["roofline", "net", "--refresh", "-o", "page.html"]) == 0
    assert probes.rounds("handoff", 2) == 2 * ROUNDS
    assert "Measured beside a busy neighbour" in capsys.readouterr().out
    page = Path("page.html").read_text()
    assert "<p>Measured beside a busy neighbour, so not kept" in page
    assert "UTC, not kept:" in page


@pytest.mark.parametrize("refresh", [1, None, "yes"])
def test_refresh_is_a_bool(net: ln.MLP, refresh: object) -> None:
    with pytest.raises(TypeError, match="refresh must be a bool"):
        ln.roofline(net, refresh=refresh)
