"""What the machine can do at best, measured once and kept: the roofs of the roofline."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from numpy.typing import DTypeLike

from laminet import probe, runtime
from laminet.activation import ACTIVATIONS
from laminet.analysis.report import Report, TableData, figure, size
from laminet.interop.atomic import replacing
from laminet.mlp import MLP

if TYPE_CHECKING:
    from laminet.names import InstructionSetName

__all__ = ["Cache", "Machine", "Rate", "machine"]

# Of the file in the cache directory; to be raised whenever what is measured, or how, changes.
_FORMAT = 2

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

_DTYPES = ("float32", "float64")
# Of what the peaks gain by threads, least over most; 0.95 and more on a quiet machine.
_EVEN = 0.85
# Layers of the networks whose calls tell the cost of a call and of a layer.
_DEPTHS = (1, 17)


@dataclass(frozen=True)
class Rate:
    """A rate of one thread alone and of all threads together.

    Attributes
    ----------
    one_thread, all_threads : float
        The rates, in the unit of the mapping that they are in.
    """

    one_thread: float
    all_threads: float


@dataclass(frozen=True)
class Cache:
    """A data cache.

    Attributes
    ----------
    level : int
        1 is the one next to the core.
    bytes : int
        Its size.
    shared_by : int
        So many CPUs share one such cache.
    """

    level: int
    bytes: int
    shared_by: int

    @property
    def name(self) -> str:
        """``"L1"``, ``"L2"``, ..."""
        return f"L{self.level}"


@dataclass(frozen=True, repr=False)
class Machine(Report):
    """What a machine has and can do; it prints as tables.

    Attributes
    ----------
    cpu : str
        The CPU's name.
    isa : str
        The instruction set in use; what follows was measured with it.
    isas : tuple of str
        The instruction sets that this CPU and this build have, narrowest first.
    cores : int
        CPUs that this process may use; "all threads" are so many.
    caches : tuple of Cache
        The data caches, nearest first; empty where the system does not tell.
    peak_gflops : mapping of str to Rate
        10^9 floating-point operations a second, by dtype: independent fused multiply-adds in
        registers, two operations an element.
    isa_peak_gflops : mapping of str to mapping of str to Rate
        The same for each instruction set.
    bandwidth_gb_s : mapping of str to Rate
        10^9 bytes read a second, by level: ``"L1"``, ``"L2"``, ..., ``"DRAM"``.
    fma_latency_ns : mapping of str to float
        Nanoseconds from a multiply-add to the next one that needs its result, by dtype.
    activation_ns : mapping of str to mapping of str to float
        Nanoseconds that an activation takes for one of many elements, by dtype and name.
    call_us : float
        Microseconds of a call from Python of the smallest network: one layer, one number.
    layer_us : float
        Microseconds that one more such layer adds.
    handoff_us : float
        Microseconds in which a call has every thread begin and end an empty task.
    measured : str
        When, in UTC.
    """

    cpu: str
    isa: InstructionSetName
    isas: tuple[InstructionSetName, ...]
    cores: int
    caches: tuple[Cache, ...]
    peak_gflops: Mapping[str, Rate]
    isa_peak_gflops: Mapping[str, Mapping[str, Rate]]
    bandwidth_gb_s: Mapping[str, Rate]
    fma_latency_ns: Mapping[str, float]
    activation_ns: Mapping[str, Mapping[str, float]]
    call_us: float
    layer_us: float
    handoff_us: float
    measured: str

    def peak(self, dtype: DTypeLike, threads: int | None = None) -> float:
        """Return the peak of so many threads in GFLOP/s; all by default.

        Parameters
        ----------
        dtype : dtype
            float32 or float64.
        threads : int, optional
            Between one and all, threads count as that many times one, at most all.
        """
        return self._of(self.peak_gflops[np.dtype(dtype).name], threads)

    def bandwidth(self, level: str, threads: int | None = None) -> float:
        """Return the read bandwidth of a level for so many threads in GB/s; all by default."""
        return self._of(self.bandwidth_gb_s[level], threads)

    def _of(self, rate: Rate, threads: int | None) -> float:
        if threads is None or threads >= self.cores:
            return rate.all_threads
        if threads <= 1:
            return rate.one_thread
        return min(threads * rate.one_thread, rate.all_threads)

    def tables(self) -> list[TableData]:
        """Return the tables that show this result."""
        cores = f"{self.cores} threads" if self.cores > 1 else "all"
        peaks = [("FMA peak, GFLOP/s", "", "1 thread", cores)]
        for isa in reversed(self.isas):
            for dtype, rate in self.isa_peak_gflops[isa].items():
                name = f"{isa} (in use)" if isa == self.isa else isa
                peaks.append((name, dtype, figure(rate.one_thread), figure(rate.all_threads)))
        sizes = {c.name: c for c in self.caches}
        reads = [("reading, GB/s", "", "1 thread", cores)]
        for level, rate in self.bandwidth_gb_s.items():
            about = ""
            if level in sizes:
                shared = sizes[level].shared_by
                about = size(sizes[level].bytes) + (f", {shared} CPUs" if shared > 1 else "")
            reads.append((level, about, figure(rate.one_thread), figure(rate.all_threads)))
        calls = [
            ("a call", "us"),
            ("from Python, one layer of one number", f"{self.call_us:.2f}"),
            ("each layer more", f"{self.layer_us:.3f}"),
            (f"handing work to {cores}", f"{self.handoff_us:.2f}"),
        ]
        return [TableData(peaks, 2, self.cpu), TableData(reads, 2), TableData(calls, 1)]


_lock = threading.Lock()
_known: dict[str, dict[str, Any]] = {}


def machine(refresh: bool = False) -> Machine:
    """Return what this machine can do: peak arithmetic and the bandwidth of each memory level.

    The first call on a machine measures for some two seconds, with all threads; the figures are
    kept in the user's cache directory, for each CPU, number of CPUs allowed, instruction set and
    version of laminet. A file there that cannot be read is measured anew; where none can be
    written, or other programs were seen to disturb the measuring to its end, the figures are kept
    for the process alone.

    Parameters
    ----------
    refresh : bool
        Measure again, whatever is known.

    Returns
    -------
    Machine
        The figures; see `Machine`.

    Raises
    ------
    RuntimeError
        If other calls of laminet keep the threads busy, so that nothing can be measured.
    TypeError
        If `refresh` is not a bool.

    Notes
    -----
    Each figure is the best of many runs of a millisecond. Peaks are those of independent fused
    multiply-adds in registers. Bandwidths are those of reading again and again, in order and by
    the widest loads, from half of L1 and of L2, from the geometric mean of L2 and a thread's share
    of L3, and from four times L3 at least for DRAM. A figure of several threads has them all at
    work at once, each on memory of its own. Close to STREAM's method (J. D. McCalpin, "Memory
    Bandwidth and Machine Balance in Current High Performance Computers", IEEE TCCA Newsletter,
    1995), but for reading alone, as weights are only read.
    """
    if not isinstance(refresh, bool):
        raise TypeError(f"refresh must be a bool, got {type(refresh).__name__}")
    with _lock:
        key = _key()
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        path = Path(platformdirs.user_cache_dir("laminet", appauthor=False), f"machine-{name}.json")
        if not refresh and name not in _known:
            with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                record = json.loads(path.read_bytes())
                if record["key"] != key:
                    raise ValueError("of another machine")
                _from_record(record)
                _known[name] = record
        if refresh or name not in _known:
            _known[name] = {"key": key, **_measure(key)}
            record = _known[name]
            peaks = [p for types in record["peak_gflops"].values() for p in types.values()]
            if disturbed([every / one for one, every in peaks]):
                return _from_record(record)
            with suppress(OSError):
                os.makedirs(path.parent, exist_ok=True)
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(record, indent=1))
        return _from_record(_known[name])


def _key() -> dict[str, Any]:
    """Return all that the figures depend on, as JSON gives it back."""
    return {
        "format": _FORMAT,
        "version": runtime.build_info()["version"],
        "cpu": probe.cpu_name(),
        "isa": probe.instruction_set(),
        "isas": probe.instruction_sets(),
        "cores": probe.max_threads(),
        "caches": [list(level) for level in probe.cache_levels()],
    }


def _from_record(record: Mapping[str, Any]) -> Machine:
    """Return a Machine; an error of the kinds that `machine` expects if the record is broken."""

    def positive(value: Any) -> float:
        number = float(value)
        if isinstance(value, (str, bool)) or not (math.isfinite(number) and number > 0):
            raise ValueError(f"{value!r} is not a rate")
        return number

    def rate(pair: Any) -> Rate:
        one, all_ = pair
        return Rate(positive(one), positive(all_))

    key = record["key"]
    caches = tuple(Cache(*level) for level in key["caches"])
    peaks = {
        isa: {dtype: rate(record["peak_gflops"][isa][dtype]) for dtype in _DTYPES}
        for isa in key["isas"]
    }
    levels = [*(c.name for c in caches), "DRAM"]
    return Machine(
        cpu=key["cpu"],
        isa=key["isa"],
        isas=tuple(key["isas"]),
        cores=key["cores"],
        caches=caches,
        peak_gflops=peaks[key["isa"]],
        isa_peak_gflops=peaks,
        bandwidth_gb_s={level: rate(record["bandwidth_gb_s"][level]) for level in levels},
        fma_latency_ns={d: positive(record["fma_latency_ns"][d]) for d in _DTYPES},
        activation_ns={
            d: {name: positive(record["activation_ns"][d][name]) for name in ACTIVATIONS}
            for d in _DTYPES
        },
        call_us=positive(record["call_us"]),
        layer_us=positive(record["layer_us"]),
        handoff_us=positive(record["handoff_us"]),
        measured=str(record["measured"]),
    )


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


def _measure(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of this machine, as JSON holds them."""
    isa, isas, cores = key["isa"], key["isas"], key["cores"]
    counts = (1, cores)
    memory = probe.available_memory()
    sets = {n: working_sets(probe.cache_levels(), n, memory) for n in counts}
    best: dict[tuple[Any, ...], float] = {}

    def keep(name: tuple[Any, ...], better: Callable[[float, float], float], value: float) -> None:
        best[name] = better(best.get(name, value), value)

    with runtime.num_threads(cores):
        for done in range(3 * _ROUNDS):
            if done >= _ROUNDS and not disturbed(_scalings(best, cores)):
                break
            for name in isas:
                for dtype in _DTYPES:
                    for n in dict.fromkeys(counts):
                        rate = probe.fma_rate(dtype, name, n, _SECONDS["fma"]) / 1e9
                        keep(("fma", name, dtype, n), max, rate)
            for dtype in _DTYPES:
                latency = probe.fma_latency(dtype, isa, _SECONDS["latency"]) * 1e9
                keep(("latency", dtype), min, latency)
            for n in dict.fromkeys(counts):
                for level, nbytes in sets[n].items():
                    rate = probe.read_rate(isa, nbytes, n, _SECONDS["read"]) / 1e9
                    keep(("read", level, n), max, rate)
            for dtype in _DTYPES:
                for name in ACTIVATIONS:
                    taken = probe.activation_time(name, dtype, isa, _SECONDS["activation"]) * 1e9
                    keep(("activation", dtype, name), min, taken)
            for depth in _DEPTHS:
                keep(("call", depth), min, _call_time(depth, _SECONDS["call"]) * 1e6)
            handoff = probe.handoff_time(cores, _SECONDS["handoff"]) * 1e6
            keep(("handoff",), min, handoff)
    one, more = _DEPTHS
    return {
        "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "peak_gflops": {
            name: {d: [best["fma", name, d, n] for n in counts] for d in _DTYPES} for name in isas
        },
        "bandwidth_gb_s": {level: [best["read", level, n] for n in counts] for level in sets[1]},
        "fma_latency_ns": {d: best["latency", d] for d in _DTYPES},
        "activation_ns": {
            d: {name: best["activation", d, name] for name in ACTIVATIONS} for d in _DTYPES
        },
        "call_us": best["call", one],
        # Of two figures that noise could turn round, on a machine that is busy throughout.
        "layer_us": max(1e-3, (best["call", more] - best["call", one]) / (more - one)),
        "handoff_us": best["handoff",],
    }


def _scalings(best: Mapping[tuple[Any, ...], float], cores: int) -> list[float]:
    """Return what all threads reach of one, for each peak that was measured."""
    return [
        rate / best["fma", name[1], name[2], 1]
        for name, rate in best.items()
        if name[0] == "fma" and name[3] == cores
    ]


def disturbed(scalings: list[float]) -> bool:
    """Whether other programs must have had a CPU: the peaks scale with the threads unequally.

    All peaks are those of the same cores, whatever they have in common.
    """
    return min(scalings) < _EVEN * max(scalings)


def _call_time(depth: int, seconds: float) -> float:
    """Return the seconds of a call of a network of `depth` layers of one number, at best."""
    net = MLP.init([1] * (depth + 1), seed=0)
    x = np.ones(1, net.dtype)
    best = math.inf
    end = time.perf_counter() + seconds
    while True:
        begin = time.perf_counter()
        for _ in range(200):
            net(x)
        now = time.perf_counter()
        best = min(best, (now - begin) / 200)
        if now >= end:
            return best
