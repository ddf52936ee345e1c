"""Figures measured beside a neighbour: told from hardware, said, not kept, and found out later."""

from __future__ import annotations

import io
import itertools
import json
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from probes import (
    ALL_ROUNDS,
    ROUNDS,
    Neighbour,
    Probes,
    change,
    folder,
    forget,
    measuring,
    nobody,
    one_cpu_for_two,
    probes,
    two_threads_of_one_core,
    wait,
)
from rich.console import Console

import laminet as ln
from laminet.core import probes as probe
from laminet.core.probes import Reading

__all__ = ["folder", "forget", "probes"]  # fixtures


def test_a_quiet_machine_has_nothing_to_say(folder: Path, probes: Probes) -> None:
    m = ln.machine()
    assert (m.disturbed, m.replaced, m.notes()) == ((), (), [])
    assert set(map(probes.calls.count, probes.calls)) == {ROUNDS}
    assert len(list(folder.iterdir())) == 1


def test_a_thread_without_its_cpu(folder: Path, probes: Probes) -> None:
    """Measured a few times more, used, said, not kept, and measured again next time."""
    probes.neighbour = one_cpu_for_two
    m = ln.machine()
    words = f"FMA peak {m.isa} float32, 2 threads: a thread had a CPU for 52 % of the time at most"
    assert words in m.disturbed
    assert m.peak("float32") == m.peak("float32", 1)
    assert probes.rounds("fma", "float32", m.isa, 2) == ALL_ROUNDS
    assert probes.rounds("read", "L1", 2) == ROUNDS
    text = " ".join(str(m).split())
    assert "Measured beside a busy neighbour, so not kept: FMA peak" in text
    assert "52 % of the time" in text
    assert max(map(len, str(m).splitlines())) <= 80
    assert "busy neighbour" in m._repr_html_()
    (note,) = m.notes()
    assert note.endswith(f"; {m.disturbed[2]}; and {len(m.disturbed) - 3} more.")
    console = Console(file=io.StringIO(), width=1000)
    console.print(m)
    assert note in console.file.getvalue()
    assert list(folder.iterdir()) == []

    probes.neighbour = nobody
    again = ln.machine()
    assert again.peak("float32") == 2 * m.peak("float32")
    assert again.disturbed == ()
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("neighbour", [one_cpu_for_two, two_threads_of_one_core])
def test_a_refresh_beside_a_neighbour_leaves_the_figures_known_before(
    folder: Path, probes: Probes, forget: Callable[[], None], neighbour: Neighbour
) -> None:
    """However often: they show that the machine can do more."""
    good = ln.machine()
    probes.neighbour = neighbour
    for process in (lambda: None, lambda: None, forget):
        process()
        assert ln.machine(refresh=True).disturbed
    probes.calls.clear()
    for process in (lambda: None, forget):
        process()
        assert ln.machine() == good
    assert probes.calls == []


@pytest.mark.parametrize("neighbour", [one_cpu_for_two, two_threads_of_one_core])
def test_figures_in_doubt_are_forgotten_beside_a_neighbour(
    folder: Path, probes: Probes, forget: Callable[[], None], neighbour: Neighbour
) -> None:
    ln.machine()
    file = change(folder, handoff_us=44.6)
    forget()
    probes.neighbour = neighbour
    found = ln.machine()
    assert found.replaced
    assert found.disturbed
    assert not file.exists() or json.loads(file.read_text())["handoff_us"] == pytest.approx(0.25)
    probes.neighbour = nobody
    assert ln.machine().notes() == []


@pytest.mark.parametrize("writable", [True, False])
def test_hardware_that_the_bounds_do_not_know(
    folder: Path,
    probes: Probes,
    forget: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    writable: bool,
) -> None:
    """Measured twice, as a neighbour on the same core looks alike; then kept for a day, and said.

    Two hardware threads of one core, which a virtual machine shows as two cores.
    """
    process = forget
    if not writable:
        folder.parent.write_text("a file where the folder should be")
        process = lambda: None  # noqa: E731  (else what it knows would be gone)
    probes.neighbour = two_threads_of_one_core
    first = ln.machine()
    assert any("2 threads compute 1.04 times" in words for words in first.disturbed)
    assert first.unusual == ()
    process()
    second = ln.machine()
    assert probes.rounds("handoff", 2) == 2 * ROUNDS
    assert second.disturbed == second.replaced == ()
    assert second.unusual == first.disturbed
    (note,) = second.notes()
    assert note.startswith("Unusual figures, but measured twice; CPUs may be hardware threads of ")
    assert "2 threads compute 1.04 times what one does" in note
    probes.calls.clear()
    process()
    assert ln.machine() == second
    assert probes.calls == []
    assert ln.machine(refresh=True).unusual == second.unusual
    assert probes.rounds("handoff", 2) == ROUNDS
    if writable:
        wait(monkeypatch, 23 * 3600)
        forget()
        assert ln.machine().unusual == second.unusual
        assert probes.rounds("handoff", 2) == ROUNDS
        wait(monkeypatch, 2 * 3600)
        forget()
        again = ln.machine()
        assert (again.unusual, again.replaced) == (second.unusual, ())
        assert probes.rounds("handoff", 2) == 2 * ROUNDS
        # Had it been a neighbour, who is gone now.
        wait(monkeypatch, 25 * 3600)
        forget()
        probes.neighbour = nobody
        assert ln.machine().notes() == []
        assert probes.rounds("handoff", 2) == 3 * ROUNDS


def test_what_one_measuring_found_unusual_is_given_up_for_good_figures(
    folder: Path, probes: Probes, forget: Callable[[], None]
) -> None:
    probes.neighbour = two_threads_of_one_core
    assert ln.machine().disturbed
    probes.neighbour = nobody
    good = ln.machine()
    assert good.notes() == []
    probes.neighbour = two_threads_of_one_core
    assert ln.machine(refresh=True).disturbed
    forget()
    assert ln.machine() == good


@pytest.mark.parametrize("unusual", [3, "words", None])
def test_broken_reasons_of_a_file(
    folder: Path, probes: Probes, forget: Callable[[], None], unusual: object
) -> None:
    good = ln.machine()
    change(folder, unusual=unusual, confirmed=time.time())
    forget()
    assert ln.machine() == good
    assert probes.rounds("handoff", 2) == 2 * ROUNDS


def test_a_neighbour_who_goes_is_waited_for(
    folder: Path, probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
        if kind == "handoff" and probes.rounds("handoff", 2) <= ROUNDS + 1:
            return Reading(44.6e-6, 0.5)
        return Reading(quiet)

    pauses: list[float] = []
    monkeypatch.setattr(measuring, "_PAUSE", 0.25)
    clock = types.SimpleNamespace(
        sleep=pauses.append,
        monotonic=lambda: 0.0,
        strftime=measuring.time.strftime,
        gmtime=measuring.time.gmtime,
    )
    monkeypatch.setattr(measuring, "time", clock)
    probes.neighbour = goes
    m = ln.machine()
    assert m.handoff_us == pytest.approx(0.25)
    assert m.disturbed == ()
    assert probes.rounds("handoff", 2) == ROUNDS + 2
    assert pauses == [0.25, 0.25]
    assert len(list(folder.iterdir())) == 1


def test_one_repetition_without_a_neighbour_is_enough(probes: Probes) -> None:
    """It is the best one, and nothing makes a figure better than it is."""
    probes.neighbour = lambda kind, about, quiet: (
        Reading(quiet / 2, 0.5)
        if kind == "fma" and about[2] == 2 and probes.rounds(kind, *about) != 2
        else Reading(quiet)
    )
    m = ln.machine()
    assert m.disturbed == ()
    assert m.peak("float32") == 2 * m.peak("float32", 1)


def test_the_worst_repetition_does_not_count(probes: Probes) -> None:
    probes.neighbour = lambda kind, about, quiet: Reading(
        4 * quiet if kind == "handoff" and probes.rounds(kind, *about) == 1 else quiet
    )
    m = ln.machine()
    assert m.handoff_us == pytest.approx(0.25)
    assert m.disturbed == ()
    assert probes.rounds("handoff", 2) == ROUNDS


@pytest.mark.parametrize(("step", "told"), [(0.15, False), (0.25, True)])
def test_repetitions_that_do_not_agree(probes: Probes, step: float, told: bool) -> None:
    """The CPU time of the threads tells nothing of a hypervisor."""
    rates = itertools.count()

    def wavers(kind: str, about: tuple[Any, ...], quiet: float) -> Reading:
        return Reading(quiet * (1 - step) ** next(rates) if kind == "handoff" else quiet)

    probes.neighbour = wavers
    (*reasons,) = ln.machine().disturbed
    count = ALL_ROUNDS
    words = [f"handing over work: of {count} repetitions the two best differ by 25 %"]
    assert reasons == (words if told else [])


@pytest.mark.parametrize(("stolen", "told"), [(0.05, False), (0.3, False), (0.5, True)])
def test_time_that_the_hypervisor_took(
    probes: Probes, monkeypatch: pytest.MonkeyPatch, stolen: float, told: bool
) -> None:
    """Of two CPUs for two seconds; a tenth is 0.4 s."""
    readings, times = iter([7.0, 7.0 + stolen]), iter([0.0, 2.0])
    monkeypatch.setattr(measuring, "stolen_seconds", lambda: next(readings))
    clock = types.SimpleNamespace(
        monotonic=lambda: next(times),
        strftime=measuring.time.strftime,
        gmtime=measuring.time.gmtime,
    )
    monkeypatch.setattr(measuring, "time", clock)
    reasons = ln.machine().disturbed
    assert reasons == (("the hypervisor gave 12 % of the CPU time to others",) if told else ())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("cpu 1 1 1 1 1 1 1 900 0 0\ncpu0 1 1 1 1 1 1 1 150 0 0\ncpu1 1 1 1 1 1 1 1 7 0 0\n", 1.5),
        ("cpu0 1 1 1 1\n", 0.0),  # of Linux 2.6.10 and older
        ("nonsense\n\n", 0.0),
        (None, 0.0),
    ],
)
def test_stolen_time_is_that_of_the_cpus_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, seconds: float
) -> None:
    file = tmp_path / "stat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(measuring, "_STATISTICS", file)
    monkeypatch.setattr(measuring.os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(measuring.os, "sysconf", lambda _: 100)
    assert measuring.stolen_seconds() == seconds


@pytest.mark.parametrize(("cpu", "share"), [(60e-6, 0.6), (150e-6, 1.0), (0.0, 1.0)])
def test_the_share_of_a_cpu_in_calls_from_python(
    monkeypatch: pytest.MonkeyPatch, cpu: float, share: float
) -> None:
    """200 calls take 100 us, of which the thread has a CPU for less; none at all is no clock."""
    wall, thread = itertools.count(), itertools.count()
    clock = types.SimpleNamespace(
        perf_counter=lambda: next(wall) * 100e-6, thread_time=lambda: next(thread) * cpu
    )
    monkeypatch.setattr(measuring, "time", clock)
    reading = measuring._call_time(1, 1e-6)
    assert reading == pytest.approx(0.5e-6)
    assert reading.cpu_share == pytest.approx(share)


@pytest.mark.parametrize("threads", [1, probe.max_threads()])
def test_the_probes_tell_how_much_of_a_cpu_they_had(threads: int) -> None:
    """The real ones: a part of the time, and more than none."""
    readings = [
        probe.fma_rate("float32", "generic", threads, 1e-3),
        probe.fma_latency("float64", "generic", 1e-3),
        probe.activation_time("tanh", "float32", "generic", 1e-3),
        probe.read_rate("generic", 4096, threads, 1e-3),
        probe.handoff_time(threads, 1e-3),
        measuring._call_time(2, 1e-3),
    ]
    assert all(0 < reading.cpu_share <= 1 for reading in readings)
    assert all(reading > 0 for reading in readings)
