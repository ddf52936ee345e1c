"""Measuring a machine: each figure several times, and again while a neighbour seems to be in it."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from laminet.analysis.machine_bounds import Doubt, Name, doubts
from laminet.analysis.machine_figures import DTYPES, from_record, peak_types
from laminet.core import probes, runtime
from laminet.core.activation import ACTIVATIONS
from laminet.core.mlp import MLP
from laminet.core.probes import Reading

__all__ = ["measure", "stolen_seconds", "working_sets"]

# Each figure is measured in so many rounds, of so many seconds each, and the best one counts: a
# neighbour on the machine who works for a second then spoils one round of a figure, not all.
_ROUNDS = 3
_SECONDS = {
    "fma": 0.02,
    "latency": 0.01,
    "read": 0.04,
    "activation": 0.003,
    "handoff": 0.01,
    "call": 0.01,
}
# So many rounds more for the figures that are in doubt, each after a pause: idle threads of other
# libraries spin for 0.1 s or 0.2, and then are no neighbours any more.
_MORE_ROUNDS = 6
_PAUSE = 0.25
# Of a run of a millisecond; interrupts alone take less than a hundredth.
_OWN_CPU = 0.97
# Repetitions differ by so much at most, of the two best: a hypervisor that takes the CPU away, or
# the other half of a core, leaves the threads' own clocks as they are. On a virtual machine with
# others beside it some figures differ by 0.15.
_AGREE = 0.2
# Of the CPU time, taken by the hypervisor.
_STOLEN = 0.1
# Layers of the networks whose calls tell the cost of a call and of a layer.
_DEPTHS = (1, 17)


@dataclass
class _Series:
    """A figure, and what its repetitions gave; `better` is ``max`` or ``min``."""

    words: str
    better: Callable[[list[Reading]], Reading]
    measure: Callable[[], Reading]
    unit: float = 1.0
    readings: list[Reading] = field(default_factory=list)

    def repeat(self) -> None:
        self.readings.append(self.measure())

    @property
    def best(self) -> float:
        """The best repetition: another program makes it worse, never better."""
        return float(self.better(self.readings)) * self.unit

    def doubt(self) -> str | None:
        """Say what shows a neighbour in every repetition; None if one at least is clean."""
        share = max(reading.cpu_share for reading in self.readings)
        if share < _OWN_CPU:
            return f"{self.words}: a thread had a CPU for {100 * share:.0f} % of the time at most"
        clean = [reading for reading in self.readings if reading.cpu_share >= _OWN_CPU]
        if len(clean) > 1:
            low, high = sorted(sorted(clean, reverse=self.better is max)[:2])
            if high - low > _AGREE * high:
                differ = f"{100 * (1 - low / high):.0f} %"
                return f"{self.words}: of {len(clean)} repetitions the two best differ by {differ}"
        return None


def measure(key: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Measure all figures of this machine.

    Parameters
    ----------
    key : mapping of str
        What the figures depend on.

    Returns
    -------
    record : dict of str
        The figures with the key, as JSON holds them.
    disturbed : list of str
        What shows that a neighbour was at work to the end; empty if nothing does.
    unusual : list of str
        Bounds that are broken: by a neighbour too, or by hardware that they do not know.

    Raises
    ------
    RuntimeError
        If other calls of laminet keep the threads busy.
    """
    series = _all_series(key)
    stolen, begin = stolen_seconds(), time.monotonic()
    with runtime.num_threads(key["cores"]):
        pending = list(series)
        for done in range(_ROUNDS + _MORE_ROUNDS):
            if done >= _ROUNDS:
                time.sleep(_PAUSE)
            for name in pending:
                series[name].repeat()
            if done + 1 < _ROUNDS:
                continue
            record = _record(key, series)
            broken = doubts(from_record(record))
            pending = [name for name in series if series[name].doubt() or _named(name, broken)]
            if not pending:
                break
    reasons = [text for one in series.values() if (text := one.doubt())]
    stolen, cpu_seconds = stolen_seconds() - stolen, key["cores"] * (time.monotonic() - begin)
    # The system counts in ticks, of which a few tell nothing.
    if stolen > max(0.1, _STOLEN * cpu_seconds):
        share = 100 * stolen / cpu_seconds
        reasons.append(f"the hypervisor gave {share:.0f} % of the CPU time to others")
    return record, reasons, [doubt.words for doubt in broken]


def _named(name: Name, broken: list[Doubt]) -> bool:
    """Whether a doubt is about a figure; one of ``("call",)`` is about all calls."""
    return any(name[: len(about)] == about for doubt in broken for about in doubt.names)


def _all_series(key: Mapping[str, Any]) -> dict[Name, _Series]:
    isa, isas, cores = key["isa"], key["isas"], key["cores"]
    counts = tuple(dict.fromkeys((1, cores)))
    memory = probes.available_memory()
    sets = {n: working_sets(probes.cache_levels(), n, memory) for n in counts}
    # Looked up as they are called, so that what is measured can be replaced.
    call = functools.partial
    series: dict[Name, _Series] = {}
    for name in isas:
        for dtype in peak_types(name):
            for n in counts:
                series["fma", name, dtype, n] = _Series(
                    f"FMA peak {name} {dtype}, {_threads(n)}",
                    max,
                    call(probes.fma_rate, dtype, name, n, _SECONDS["fma"]),
                    1e-9,
                )
    for dtype in DTYPES:
        latency = call(probes.fma_latency, dtype, isa, _SECONDS["latency"])
        series["latency", dtype] = _Series(f"FMA latency {dtype}", min, latency, 1e9)
    for n in counts:
        for level, nbytes in sets[n].items():
            read = call(probes.read_rate, isa, nbytes, n, _SECONDS["read"])
            series["read", level, n] = _Series(f"reading {level}, {_threads(n)}", max, read, 1e-9)
    for dtype in DTYPES:
        for name in ACTIVATIONS:
            taken = call(probes.activation_time, name, dtype, isa, _SECONDS["activation"])
            series["activation", dtype, name] = _Series(f"{name} {dtype}", min, taken, 1e9)
    for depth in _DEPTHS:
        calls = call(_call_time, depth, _SECONDS["call"])
        series["call", depth] = _Series(f"a call of {depth} layers", min, calls, 1e6)
    handoff = call(probes.handoff_time, cores, _SECONDS["handoff"])
    series["handoff",] = _Series("handing over work", min, handoff, 1e6)
    return series


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def _record(key: Mapping[str, Any], series: Mapping[Name, _Series]) -> dict[str, Any]:
    """Return the figures as JSON holds them."""
    counts = (1, key["cores"])
    best = {name: one.best for name, one in series.items()}
    levels = dict.fromkeys(str(name[1]) for name in series if name[0] == "read")
    one, more = _DEPTHS
    return {
        "key": dict(key),
        "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "peak_gflops": {
            name: {d: [best["fma", name, d, n] for n in counts] for d in peak_types(name)}
            for name in key["isas"]
        },
        "bandwidth_gb_s": {level: [best["read", level, n] for n in counts] for level in levels},
        "fma_latency_ns": {d: best["latency", d] for d in DTYPES},
        "activation_ns": {
            d: {name: best["activation", d, name] for name in ACTIVATIONS} for d in DTYPES
        },
        "call_us": best["call", one],
        # Of two figures that noise could turn round, on a machine that is busy throughout.
        "layer_us": max(1e-3, (best["call", more] - best["call", one]) / (more - one)),
        "handoff_us": best["handoff",],
    }


def _call_time(depth: int, seconds: float) -> Reading:
    """Return the seconds of a call of a network of `depth` layers of one number, at best."""
    net = MLP.init([1] * (depth + 1), seed=0)
    x = np.ones(1, net.dtype)
    best, share = math.inf, 0.0
    end = time.perf_counter() + seconds
    while True:
        cpu_begin = time.thread_time()
        begin = time.perf_counter()
        for _ in range(200):
            net(x)
        now = time.perf_counter()
        cpu_seconds = time.thread_time() - cpu_begin
        best = min(best, (now - begin) / 200)
        share = max(share, min(1.0, cpu_seconds / (now - begin)))
        if now >= end:
            # A clock that stands still goes in ticks, and tells nothing of so short a time.
            return Reading(best, share or 1.0)


_STATISTICS = Path("/proc/stat")


def stolen_seconds() -> float:
    """Return the CPU time of this process's CPUs that the hypervisor gave to other machines.

    Counted since the system began, in ticks; 0 where the system does not tell.
    """
    try:
        lines = [line.split() for line in _STATISTICS.read_text().splitlines()]
        allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        # The name, then user, nice, system, idle, iowait, irq, softirq, steal.
        ticks = sum(int(line[8]) for line in lines if line and line[0] in allowed)
    except (OSError, ValueError, IndexError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")


def working_sets(caches: list[tuple[int, int, int]], threads: int, memory: int) -> dict[str, int]:
    """Return the bytes that each of the threads reads to measure a level, nearest level first.

    Parameters
    ----------
    caches : list of (level, bytes, shared_by)
        The data caches, nearest first; may be empty.
    threads : int
        Threads that read at the same time.
    memory : int
        Bytes that may be taken in all; 0 if unknown.
    """
    sets = {}
    below = 0
    for level, nbytes, shared_by in caches:
        share = nbytes // min(threads, max(1, shared_by))
        # Within the level, and twice the one below: reading in a circle, a cache that keeps what
        # was used last then finds nothing. L3 is shared with programs that are not measured.
        within = share // 2 if level < 3 else math.isqrt(below * share)
        sets[f"L{level}"] = max(within, 2 * below)
        below = share
    last, last_shared = (caches[-1][1], caches[-1][2]) if caches else (16 * 2**20, 1)
    instances = -(-threads // max(1, last_shared))
    total = max(4 * last * instances, 64 * 2**20)
    if memory:
        total = min(total, memory // 4)
    sets["DRAM"] = max(total // threads, 2**20)
    return sets
