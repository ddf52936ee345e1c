"""What a machine's figures can be: bounds that a neighbour's work breaks, and no hardware does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.analysis.machine_figures import DTYPES
from laminet.core import probes
from laminet.core.wording import figure

if TYPE_CHECKING:
    from laminet.analysis.machine_figures import Machine

__all__ = ["Doubt", "Name", "doubts"]

#: Of a figure: its kind, then what tells it from others of the kind.
Name = tuple[str | int, ...]

# What threads on two cores or more gain at least over one, in arithmetic and from caches of their
# own; 2 on a quiet machine.
_LEAST_GAIN = 1.3
# The same for a core of many: less than half of it where heat and unequal cores lower the clock.
_LEAST_PART = 0.25
# More than all threads together can gain over one, for each of them: the clock is higher for one.
_MOST_PART = 1.25
# Of what the peaks gain by threads, least over most: all are those of the same cores, whatever
# they have in common. 0.95 and more on a quiet machine.
_EVEN = 0.85
# Twice the elements fit into a vector; four times where float64 has half the units (Cortex-A53).
_FLOAT32_GAIN = (1.6, 4.8)
# A level may read so much faster than the one that is nearer to the core; they should be ordered,
# but some systems on a chip have hardly a difference.
_ORDER = 1.25
# Threads may share a level, but not slow each other down.
_LEAST_SHARED = 0.7
# Two cores of one chip take 0.2 to 0.8 us, of two sockets 1 to 2; more threads more.
_MOST_HANDOFF_US = 5.0
_MOST_HANDOFF_US_A_THREAD = 0.5
# A call takes 0.3 us on a fast machine, some 3 on a slow one.
_MOST_CALL_US = 50.0
# What the measuring gives where many layers seemed to take no longer than one.
_LEAST_LAYER_US = 1e-3


@dataclass(frozen=True)
class Doubt:
    """A bound that is broken.

    Attributes
    ----------
    words : str
        What is wrong.
    names : tuple of Name
        The figures, one of which at least must be wrong.
    """

    words: str
    names: tuple[Name, ...]


def doubts(machine: Machine) -> list[Doubt]:
    """Return what cannot be true of the figures, though each of them was measured.

    Parameters
    ----------
    machine : Machine
        The figures.

    Returns
    -------
    list of Doubt
        Empty where everything is plausible.
    """
    found = [*_peaks(machine), *_under_way(machine), *_bandwidths(machine), *_calls(machine)]
    if machine.cores > 1:
        found += [*_gains(machine), *_uneven(machine)]
    return found


def _peaks(machine: Machine) -> Iterator[Doubt]:
    """Hold the types against each other: the same units work on both."""
    least, most = _FLOAT32_GAIN
    for isa, peaks in machine.isa_peak_gflops.items():
        single, double = (peaks[dtype] for dtype in DTYPES)
        for threads, ratio in (
            (1, single.one_thread / double.one_thread),
            (machine.cores, single.all_threads / double.all_threads),
        ):
            if not least <= ratio <= most:
                yield Doubt(
                    f"the {isa} peak in float32 is {figure(ratio)} times that in float64, of "
                    f"{_threads(threads)}",
                    tuple(("fma", isa, dtype, threads) for dtype in DTYPES),
                )


def _under_way(machine: Machine) -> Iterator[Doubt]:
    """Hold peaks against the latency, which is a few cycles of the clock that both have.

    Peak times latency is how many vectors are under way at once: units times cycles. That is one
    at least, and no more than the loop has that do not wait for each other (Little's law).
    """
    for dtype, latency_ns in machine.fma_latency_ns.items():
        lanes, chains = probes.fma_shape(dtype, machine.isa)
        vectors = machine.peak_gflops[dtype].one_thread * latency_ns / (2 * lanes)
        if not 0.9 <= vectors <= 1.1 * chains:
            yield Doubt(
                f"a {machine.isa} peak of {figure(machine.peak_gflops[dtype].one_thread)} GFLOP/s "
                f"in {dtype} with a latency of {figure(latency_ns)} ns has {figure(vectors)} "
                f"multiply-adds under way, and {chains} at most are",
                (("fma", machine.isa, dtype, 1), ("latency", dtype)),
            )


def _bandwidths(machine: Machine) -> Iterator[Doubt]:
    """Hold each level against the one that is nearer to the core."""
    levels = list(machine.bandwidth_gb_s)
    for index, near in enumerate(levels[:-1]):
        far = levels[index + 1]
        for threads in dict.fromkeys((1, machine.cores)):
            slow, fast = machine.bandwidth(near, threads), machine.bandwidth(far, threads)
            if fast > _ORDER * slow:
                yield Doubt(
                    f"{far} is read at {figure(fast)} GB/s and {near} at {figure(slow)}, by "
                    f"{_threads(threads)}",
                    (("read", near, threads), ("read", far, threads)),
                )


def _calls(machine: Machine) -> Iterator[Doubt]:
    most = _MOST_HANDOFF_US + _MOST_HANDOFF_US_A_THREAD * machine.cores
    if machine.handoff_us > most:
        yield Doubt(
            f"handing work to {_threads(machine.cores)} takes {figure(machine.handoff_us)} us",
            (("handoff",),),
        )
    if machine.call_us > _MOST_CALL_US:
        yield Doubt(f"a call from Python takes {figure(machine.call_us)} us", (("call",),))
    if machine.layer_us <= _LEAST_LAYER_US:
        yield Doubt("many layers of one number take no longer than one", (("call",),))


def _gains(machine: Machine) -> Iterator[Doubt]:
    """Hold what all threads reach against what one does."""
    cores = machine.cores
    # Hardware threads of one core gain little by each other, and share its nearest cache.
    shared = machine.caches[0].shared_by if machine.caches else 1
    for isa, peaks in machine.isa_peak_gflops.items():
        for dtype, rate in peaks.items():
            gain = rate.all_threads / rate.one_thread
            if not _least_gain(cores, shared) <= gain <= _MOST_PART * cores:
                yield Doubt(
                    f"{_threads(cores)} compute {figure(gain)} times what one does, in {isa} "
                    f"{dtype}",
                    tuple(("fma", isa, dtype, threads) for threads in (1, cores)),
                )
    sharing = {cache.name: cache.shared_by for cache in machine.caches}
    for level, rate in machine.bandwidth_gb_s.items():
        gain = rate.all_threads / rate.one_thread
        least = _least_gain(cores, sharing[level]) if level in sharing else _LEAST_SHARED
        if not least <= gain <= _MOST_PART * cores:
            yield Doubt(
                f"{_threads(cores)} read {figure(gain)} times from {level} what one does",
                tuple(("read", level, threads) for threads in (1, cores)),
            )


def _least_gain(threads: int, shared_by: int) -> float:
    """Return what threads gain at least, where `shared_by` CPUs share what they use."""
    own = threads // max(1, shared_by)
    return max(_LEAST_GAIN, _LEAST_PART * own) if own > 1 else _LEAST_SHARED


def _uneven(machine: Machine) -> Iterator[Doubt]:
    """Hold the gains of the peaks against each other."""
    gains = {
        (isa, dtype): rate.all_threads / rate.one_thread
        for isa, peaks in machine.isa_peak_gflops.items()
        for dtype, rate in peaks.items()
    }
    least, most = (choose(gains, key=lambda name: gains[name]) for choose in (min, max))
    if gains[least] < _EVEN * gains[most]:
        yield Doubt(
            f"{_threads(machine.cores)} compute {figure(gains[least])} times what one does in "
            f"{' '.join(least)} and {figure(gains[most])} times in {' '.join(most)}",
            tuple(
                ("fma", *name, threads) for name in (least, most) for threads in (1, machine.cores)
            ),
        )


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"
