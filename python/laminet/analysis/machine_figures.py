"""What a machine has and can do: the figures, and how they show themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from laminet.core import probes
from laminet.core.activation import ACTIVATIONS
from laminet.core.report import Report, TableData
from laminet.core.wording import figure, size

if TYPE_CHECKING:
    from laminet.core.name_types import InstructionSetName

__all__ = ["DTYPES", "Cache", "Machine", "Rate", "from_record", "peak_types"]

#: Of what networks compute in.
DTYPES = ("float32", "float64")

_REASONS_SHOWN = 3


def peak_types(isa: str) -> tuple[str, ...]:
    """Return what an instruction set has peaks in."""
    return (*DTYPES, "bfloat16") if probes.multiplies_bfloat16(isa) else DTYPES


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
        registers, two operations an element. Products of bfloat16, where the set has an instruction
        for them, are "bfloat16".
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
    disturbed : tuple of str
        What shows that other programs were at work throughout the measuring, figure by figure;
        empty where the figures are the machine's own.
    replaced : tuple of str
        What showed figures kept before to be wrong, so that these were measured in their place;
        empty otherwise.
    unusual : tuple of str
        What is known of no hardware, though two measurings that nothing disturbed found it; empty
        otherwise.
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
    disturbed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = field(default=(), compare=False)
    unusual: tuple[str, ...] = ()

    def peak(self, dtype: DTypeLike, threads: int | None = None) -> float:
        """Return the peak of so many threads in GFLOP/s; all by default.

        Parameters
        ----------
        dtype : dtype
            float32, float64 or "bfloat16": products of such numbers, which without an instruction
            are those of float32.
        threads : int, optional
            Between one and all, threads count as that many times one, at most all.
        """
        if isinstance(dtype, str) and dtype == "bfloat16":
            rate = self.peak_gflops.get(dtype, self.peak_gflops["float32"])
        else:
            rate = self.peak_gflops[np.dtype(dtype).name]
        return self._of(rate, threads)

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

    def notes(self) -> list[str]:
        """Return what to know of the figures: that they are new, or not the machine's own."""
        found = []
        if self.replaced:
            found.append(
                "Earlier figures of this machine were wrong, and have been measured again: "
                f"{_some(self.replaced)}."
            )
        if self.disturbed:
            why = _some(self.disturbed)
            found.append(f"Measured beside a busy neighbour, so not kept: {why}.")
        if self.unusual:
            found.append(
                "Unusual figures, but measured twice; CPUs may be hardware threads of one core: "
                f"{_some(self.unusual)}."
            )
        return found


def _some(reasons: Sequence[str]) -> str:
    """Return the first reasons, and how many more there are."""
    more = len(reasons) - _REASONS_SHOWN
    return "; ".join(reasons[:_REASONS_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def from_record(
    record: Mapping[str, Any], disturbed: tuple[str, ...] = (), replaced: tuple[str, ...] = ()
) -> Machine:
    """Return the figures of a record.

    Parameters
    ----------
    record : mapping of str
        What is kept, as JSON gives it back: the key of the machine, and its figures.
    disturbed, replaced : tuple of str
        What is not kept; see `Machine`.

    Returns
    -------
    Machine
        The figures.

    Raises
    ------
    ValueError, TypeError, KeyError, OverflowError
        If the record is broken.
    """

    def positive(value: Any) -> float:
        number = float(value)
        if isinstance(value, (str, bool)) or not (math.isfinite(number) and number > 0):
            raise ValueError(f"{value!r} is not a rate")
        return number

    def rate(pair: Any) -> Rate:
        one, all_ = pair
        return Rate(positive(one), positive(all_))

    def words(found: Any) -> tuple[str, ...]:
        if not isinstance(found, list):
            raise TypeError(f"{found!r} is no list of reasons")
        return tuple(map(str, found))

    key = record["key"]
    caches = tuple(Cache(*level) for level in key["caches"])
    peaks = {
        isa: {dtype: rate(record["peak_gflops"][isa][dtype]) for dtype in peak_types(isa)}
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
        fma_latency_ns={d: positive(record["fma_latency_ns"][d]) for d in DTYPES},
        activation_ns={
            d: {name: positive(record["activation_ns"][d][name]) for name in ACTIVATIONS}
            for d in DTYPES
        },
        call_us=positive(record["call_us"]),
        layer_us=positive(record["layer_us"]),
        handoff_us=positive(record["handoff_us"]),
        measured=str(record["measured"]),
        disturbed=disturbed,
        replaced=replaced,
        # Found by one measuring alone, it counts as a disturbance.
        unusual=words(record["unusual"]) if "confirmed" in record else (),
    )
