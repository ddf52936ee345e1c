"""What the core tells of the machine and of its plans, and measures in some milliseconds a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet import _core

if TYPE_CHECKING:
    from laminet.core.name_types import InstructionSetName
    from laminet.core.network import Network

__all__ = [
    "LayerPlan",
    "Panels",
    "Plan",
    "Reading",
    "activation_time",
    "available_memory",
    "cache_levels",
    "cpu_name",
    "fma_latency",
    "fma_rate",
    "fma_shape",
    "handoff_time",
    "instruction_set",
    "instruction_sets",
    "max_threads",
    "multiplies_bfloat16",
    "plan",
    "read_rate",
]

_FMA_RATE = {
    "float32": _core.fma_rate_f32,
    "float64": _core.fma_rate_f64,
    "bfloat16": _core.bfloat16_rate,
}
_ACTIVATION_TIME = {
    "float32": _core.activation_time_f32,
    "float64": _core.activation_time_f64,
}
_FMA_LATENCY = {"float32": _core.fma_latency_f32, "float64": _core.fma_latency_f64}
_FMA_SHAPE = {"float32": _core.fma_shape_f32, "float64": _core.fma_shape_f64}


class Reading(float):
    """What was measured: a number that knows how much of a CPU each of its threads had.

    Parameters
    ----------
    value : float
        The number.
    cpu_share : float
        The part of the time in which every thread had a CPU, in the run of the probe where this
        was most: 1 or little less if no other program had the CPU in that run.
    """

    cpu_share: float

    def __new__(cls, value: float, cpu_share: float = 1.0) -> Reading:
        """Make a float, which is what it is when it is made."""
        reading = super().__new__(cls, value)
        reading.cpu_share = cpu_share
        return reading


def cpu_name() -> str:
    """Return the CPU's name as it gives it itself."""
    return _core.cpu_name()


def instruction_set() -> InstructionSetName:
    """Return the instruction set in use."""
    return _core.isa()


def instruction_sets() -> list[InstructionSetName]:
    """Return the instruction sets of this build that the CPU has, narrowest first."""
    return _core.available_isas()


def max_threads() -> int:
    """Return the most threads that laminet starts in this process, the caller among them."""
    return _core.max_threads()


def cache_levels() -> list[tuple[int, int, int]]:
    """Return level, bytes and number of CPUs that share it for each data cache, smallest first."""
    return _core.cache_levels()


def available_memory() -> int:
    """Return the bytes that this process may still take; 0 where the system does not tell."""
    return _core.available_memory()


def multiplies_bfloat16(isa: str) -> bool:
    """Whether an instruction set has an instruction for products of bfloat16."""
    return isa == "avx512_bf16"


def fma_shape(dtype: str, isa: str) -> tuple[int, int]:
    """Return the elements of a vector, and the vectors that `fma_rate` has under way at once."""
    return _FMA_SHAPE[dtype](isa)


def fma_rate(dtype: str, isa: str, threads: int, seconds: float) -> Reading:
    """Return the operations a second of independent multiply-adds, two an element.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16"}
        The type of the elements; of bfloat16, which are summed in float32, products of the
        instruction for them, where the set has one.
    isa : str
        An instruction set of this CPU.
    threads : int
        So many threads work at the same time; at most `max_threads` and `get_num_threads`.
    seconds : float
        Time to spend; the best of short runs counts.

    Returns
    -------
    Reading
        The sum over the threads.

    Raises
    ------
    RuntimeError
        If another call keeps the threads busy.
    """
    return Reading(*_FMA_RATE[dtype](isa, threads, seconds))


def fma_latency(dtype: str, isa: str, seconds: float) -> Reading:
    """Return the seconds from one multiply-add to the next that needs its result."""
    return Reading(*_FMA_LATENCY[dtype](isa, seconds))


def activation_time(name: str, dtype: str, isa: str, seconds: float) -> Reading:
    """Return the seconds that an activation takes for one of many elements, in L1."""
    return Reading(*_ACTIVATION_TIME[dtype](isa, name, seconds))


def read_rate(isa: str, nbytes: int, threads: int, seconds: float) -> Reading:
    """Return the bytes a second that threads read, each again and again from its own `nbytes`."""
    return Reading(*_core.read_rate(isa, nbytes, threads, seconds))


def handoff_time(threads: int, seconds: float) -> Reading:
    """Return the seconds in which a call has each of the threads begin and end an empty task."""
    return Reading(*_core.handoff_time(threads, seconds))


@dataclass(frozen=True)
class Panels:
    """So many panels of `columns` weights a row, by register tiles of up to `rows` rows."""

    count: int
    rows: int
    columns: int


@dataclass(frozen=True)
class LayerPlan:
    """How threads share a layer.

    Attributes
    ----------
    row_parts, column_parts : int
        The parts of its rows and of its columns.
    padded_columns : int
        Its outputs with the padding of the panels.
    panels : tuple of Panels
        Of the thread that has most of them.
    """

    row_parts: int
    column_parts: int
    padded_columns: int
    panels: tuple[Panels, ...]


@dataclass(frozen=True)
class Plan:
    """How a network works through a batch.

    Attributes
    ----------
    backend : str
        ``"tiled"`` or ``"blas"``.
    shared : bool
        Whether threads share every layer; else each takes its rows through all of them.
    threads : int
        Threads at work.
    block_rows : int
        Rows that go through all layers together.
    layers : tuple of LayerPlan
        The layers.
    """

    backend: str
    shared: bool
    threads: int
    block_rows: int
    layers: tuple[LayerPlan, ...]


def plan(net: Network, batch: int) -> Plan:
    """Return how a network works through a batch with the back end and threads now set."""
    of_type = _core.plan_f32 if net.dtype.itemsize == 4 else _core.plan_f64
    found = of_type(net._core, batch)
    layers = [
        LayerPlan(
            layer["row_parts"],
            layer["column_parts"],
            layer["padded_columns"],
            tuple(Panels(*panels) for panels in layer["panels"]),
        )
        for layer in found["layers"]
    ]
    shared = found["split"] == "layers"
    return Plan(found["backend"], shared, found["threads"], found["block_rows"], tuple(layers))
