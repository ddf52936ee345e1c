"""What the core measures of the machine it runs on: thin calls, each some milliseconds long."""

from __future__ import annotations

from laminet import _core

__all__ = [
    "accumulators",
    "activation_time",
    "available_memory",
    "cache_levels",
    "cpu_name",
    "fma_latency",
    "fma_rate",
    "handoff_time",
    "instruction_set",
    "instruction_sets",
    "max_threads",
    "read_rate",
    "vector_bytes",
]

_FMA_RATE = {"float32": _core.fma_rate_f32, "float64": _core.fma_rate_f64}
_ACTIVATION_TIME = {
    "float32": _core.activation_time_f32,
    "float64": _core.activation_time_f64,
}
_FMA_LATENCY = {"float32": _core.fma_latency_f32, "float64": _core.fma_latency_f64}


def cpu_name() -> str:
    """Return the CPU's name as it gives it itself."""
    return _core.cpu_name()


def instruction_set() -> str:
    """Return the instruction set in use."""
    return _core.isa()


def instruction_sets() -> list[str]:
    """Return the instruction sets of this build that the CPU has, narrowest first."""
    return _core.available_isas()


def vector_bytes(isa: str) -> int:
    """Return the width of a register of an instruction set."""
    return _core.vector_bytes(isa)


def accumulators(isa: str) -> int:
    """Return how many registers hold sums while an instruction set multiplies matrices."""
    return _core.accumulators(isa)


def max_threads() -> int:
    """Return the most threads that laminet starts in this process, the caller among them."""
    return _core.max_threads()


def cache_levels() -> list[tuple[int, int, int]]:
    """Return level, bytes and number of CPUs that share it for each data cache, smallest first."""
    return _core.cache_levels()


def available_memory() -> int:
    """Return the bytes that this process may still take; 0 where the system does not tell."""
    return _core.available_memory()


def fma_rate(dtype: str, isa: str, threads: int, seconds: float) -> float:
    """Return the operations a second of independent multiply-adds, two an element.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The type of the elements.
    isa : str
        An instruction set of this CPU.
    threads : int
        So many threads work at the same time; at most `max_threads` and `get_num_threads`.
    seconds : float
        Time to spend; the best of short runs counts.

    Returns
    -------
    float
        The sum over the threads.

    Raises
    ------
    RuntimeError
        If another call keeps the threads busy.
    """
    return _FMA_RATE[dtype](isa, threads, seconds)


def fma_latency(dtype: str, isa: str, seconds: float) -> float:
    """Return the seconds from one multiply-add to the next that needs its result."""
    return _FMA_LATENCY[dtype](isa, seconds)


def activation_time(name: str, dtype: str, isa: str, seconds: float) -> float:
    """Return the seconds that an activation takes for one of many elements, in L1."""
    return _ACTIVATION_TIME[dtype](isa, name, seconds)


def read_rate(isa: str, nbytes: int, threads: int, seconds: float) -> float:
    """Return the bytes a second that threads read, each again and again from its own `nbytes`."""
    return _core.read_rate(isa, nbytes, threads, seconds)


def handoff_time(threads: int, seconds: float) -> float:
    """Return the seconds in which a call has each of the threads begin and end an empty task."""
    return _core.handoff_time(threads, seconds)
