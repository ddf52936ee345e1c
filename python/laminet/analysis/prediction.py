"""A model of how long a forward pass takes: of the machine's figures and the plan, nothing fitted.

The model. Of a layer of ``n`` outputs and ``m`` inputs the thread that has most takes ::

    t = max(t_compute, t_caches) + t_dram + t_activation

    t_compute    = m  sum over panels, over row groups of max(2 r w / P, d)
    t_caches     = sum over caches of (bytes from the cache / its bandwidth for a thread)
    t_dram       = (bytes from DRAM) / (its bandwidth for a thread)
    t_activation = (its rows) (its outputs) a

and a call ``c + (L - 1) c_l + h (meetings) + sum of t``, of ``L`` layers, or steps where not all
of them are dense. In it

- a panel is ``w`` columns of weights, padding included, and a row group the up to ``r`` rows that
  one register tile takes with it; each of its ``m`` steps does ``2 r w`` operations, ``P`` being
  the FMA peak of one thread of those at work, and cannot be shorter than the latency ``d`` of a
  multiply-add, as each accumulator waits for its last sum. So few rows do not reach the peak,
  whatever the memory, nor does a layer narrower than its panel.
- The bytes are those of the thread's weights, once for each block of rows that goes through the
  layers; of the input at the first layer, of the output at the last. Between the layers
  activations stay in cache and cost nothing. Threads divide the bandwidth among them. Reading from
  a cache overlaps with arithmetic; reading from DRAM does not, as a core looks ahead for less
  than its latency, and a panel is read for the first time while the first tile waits.
- Of data read in circles together with all that is used between, ``F`` bytes in all, a cache of
  ``S`` bytes serves the part ``1.5 - F / S``, between none and all; the next level has the rest.
  Caches that kept what was used last would serve all up to ``F = S`` and nothing beyond; measured
  on Zen 5 (L2 of 1 MiB), reading 0.5, 0.75, 1 and 2 MiB, it is 1, 0.75, 0.5 and 0 of it.
- ``a`` is the time of the activation function for an element; identity and relu are applied in
  registers and take none.
- A layer that is no product, such as a norm, a sum or a function by itself, reads its input from
  the cache that holds a block's activations and writes its result there, as a product does with
  what it is added to; ``t_compute`` is then its operations at the peak ``P``.
- ``c`` is the time of a call from Python, ``c_l`` of a layer with nothing to do, ``h`` of handing
  work to the threads; they meet once a call, or after every layer where they share layers. It is
  measured of all threads; fewer take so much less as fewer are handed work.

All of these are figures of `laminet.machine`; panels, row groups and shares are the plan's. What
is left out makes the model a little fast: the loads of a tile that no multiply-add hides, the step
from one tile to the next, threads that do not begin at once, a head (softmax). It describes the
tiled back end, and is far too fast for OpenBLAS, which packs the weights anew for each batch. The
roofline itself (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009) has only
``max(flops / P, bytes / bandwidth)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from laminet.analysis.cost import Cost, LayerCost
    from laminet.analysis.machine_figures import Machine
    from laminet.core.probes import Plan

__all__ = ["LayerPrediction", "LayerRoof", "Prediction", "predict", "roofs", "served"]

# Applied to a tile while it is in registers.
_IN_REGISTERS = frozenset({"identity", "relu"})


@dataclass(frozen=True)
class LayerRoof:
    """The least time of a layer by the roofline, in microseconds.

    Attributes
    ----------
    compute_us, memory_us : float
        By the peak of the threads, and by the bandwidth of the levels that its bytes come from.
    level : str
        The level that takes longest.
    """

    compute_us: float
    memory_us: float
    level: str

    @property
    def us(self) -> float:
        """The longer of the two."""
        return max(self.compute_us, self.memory_us)


@dataclass(frozen=True)
class LayerPrediction:
    """The predicted time of a layer, in microseconds, and what it is made of.

    Attributes
    ----------
    compute_us, caches_us, dram_us, activation_us : float
        The terms of the model.
    level : str
        The memory level that takes longest.
    lanes_used : float
        Outputs as a part of the columns with their padding.
    """

    compute_us: float
    caches_us: float
    dram_us: float
    activation_us: float
    level: str
    lanes_used: float

    @property
    def memory_us(self) -> float:
        """All reading and writing of memory."""
        return self.caches_us + self.dram_us

    @property
    def us(self) -> float:
        """The time of the layer."""
        return max(self.compute_us, self.caches_us) + self.dram_us + self.activation_us

    @property
    def bound(self) -> str:
        """``"memory"`` or ``"compute"``, whichever takes longer."""
        return "memory" if self.memory_us > self.compute_us + self.activation_us else "compute"


@dataclass(frozen=True)
class Prediction:
    """The predicted time of a call, in microseconds; see the module for the model."""

    layers: tuple[LayerPrediction, ...]
    overhead_us: float
    threads: int

    @property
    def us(self) -> float:
        """The time of a call."""
        return self.overhead_us + sum(layer.us for layer in self.layers)

    @property
    def bound(self) -> str:
        """What most of the time goes to: ``"memory"``, ``"compute"`` or ``"overhead"``."""
        shares = {"overhead": self.overhead_us, "memory": 0.0, "compute": 0.0}
        for layer in self.layers:
            shares[layer.bound] += layer.us
        return max(shares, key=lambda name: shares[name])


def predict(
    counts: Cost, plan: Plan, machine: Machine, dtype: np.dtype[Any], precision: str | None = None
) -> Prediction:
    """Predict the time of ``net(x)`` for a batch, by the model of this module.

    Parameters
    ----------
    counts : Cost
        What the layers do for the batch; see `laminet.cost`.
    plan : Plan
        How the network works through it; see `laminet.core.probes.plan`.
    machine : Machine
        The machine's figures.
    dtype : numpy.dtype
        The network's.
    precision : str, optional
        The network's; by default that of the dtype.

    Returns
    -------
    Prediction
        The time of each layer and of the call, for the back end and threads of the plan.
    """
    threads = plan.threads
    # Of one of the threads at work, in operations and bytes a microsecond.
    kind = _peak_of(dtype, precision)
    rate = machine.peak(kind, threads) / threads * 1e3
    bandwidths = {
        level: machine.bandwidth(level, threads) / threads * 1e3 for level in machine.bandwidth_gb_s
    }
    latency = machine.fma_latency_ns[dtype.name] / 1e3
    if kind in machine.peak_gflops and kind != dtype.name:
        latency /= 2  # of a pair of products, which wait for the last sum together
    levels = _levels(counts, plan, machine, dtype.itemsize)
    products = iter(plan.layers)
    layers = []
    for layer, ends in zip(counts.layers, _bytes_of_ends(counts, dtype.itemsize), strict=True):
        share = next(products) if layer.kind == "dense" else None
        row_parts = min(threads, counts.batch) if share is None else share.row_parts
        column_parts = 1 if share is None else share.column_parts
        rows = math.ceil(counts.batch / row_parts)
        outputs = layer.out_features * layer.copies if share else layer.out_features
        if share is not None:
            steps = sum(
                panel.count * _row_groups(rows, panel.rows, 2 * panel.columns / rate, latency)
                for panel in share.panels
            )
            compute = layer.in_features * steps
        else:
            compute = (layer.bias_flops + layer.other_flops) / counts.batch * rows / rate
        # Where layers are shared, so is each block; `rows` are the thread's.
        blocks = math.ceil((counts.batch if plan.shared else rows) / plan.block_rows)
        times = _times(
            bandwidths,
            levels,
            weights=blocks * (layer.weight_bytes + layer.bias_bytes) / column_parts,
            ends=rows * ends,
            between=rows / column_parts * _bytes_between(layer, ends, dtype.itemsize),
        )
        name = layer.activation
        free = not name or name in _IN_REGISTERS
        each = 0.0 if free else machine.activation_ns[dtype.name][name] / 1e3
        layers.append(
            LayerPrediction(
                compute_us=compute,
                caches_us=sum(times.values()) - times["DRAM"],
                dram_us=times["DRAM"],
                activation_us=rows * outputs / column_parts * each,
                level=max(times, key=lambda level: times[level]),
                lanes_used=1.0 if share is None else outputs / share.padded_columns,
            )
        )
    overhead = machine.call_us + (len(layers) - 1) * machine.layer_us
    if threads > 1:
        part = min(1.0, (threads - 1) / max(1, machine.cores - 1))
        overhead += part * machine.handoff_us * (len(layers) if plan.shared else 1)
    return Prediction(tuple(layers), overhead, threads)


def _peak_of(dtype: np.dtype[Any], precision: str | None) -> str:
    return "bfloat16" if precision == "bfloat16" else dtype.name


def roofs(
    counts: Cost,
    plan: Plan,
    machine: Machine,
    dtype: np.dtype[Any],
    threads: int,
    precision: str | None = None,
) -> tuple[LayerRoof, ...]:
    """Return the least time of each layer by the roofline, all `threads` at work.

    Parameters
    ----------
    counts, plan, machine, dtype
        As `predict` takes them.
    threads : int
        The threads whose peak and bandwidth are the roofs.
    precision : str, optional
        As `predict` takes it.

    Returns
    -------
    tuple of LayerRoof
        One for each layer. Weights are read once, whatever the split.
    """
    levels = _levels(counts, plan, machine, dtype.itemsize)
    peak = machine.peak(_peak_of(dtype, precision), threads) * 1e3
    bandwidths = {
        level: machine.bandwidth(level, threads) * 1e3 for level in machine.bandwidth_gb_s
    }
    result = []
    for layer, ends in zip(counts.layers, _bytes_of_ends(counts, dtype.itemsize), strict=True):
        times = _times(
            bandwidths,
            levels,
            weights=layer.weight_bytes + layer.bias_bytes,
            ends=counts.batch * ends,
            between=counts.batch * _bytes_between(layer, ends, dtype.itemsize),
        )
        slowest = max(times, key=lambda level: times[level])
        result.append(LayerRoof(layer.flops / peak, sum(times.values()), slowest))
    return tuple(result)


def served(footprints: Mapping[str, float], machine: Machine) -> dict[str, float]:
    """Return the parts of data that come from each level, nearest first; they add up to 1.

    Parameters
    ----------
    footprints : mapping of str to float
        The bytes that a cache of each level would have to hold.
    machine : Machine
        Its caches.
    """
    parts = {}
    left = 1.0
    for cache in machine.caches:
        part = min(max(1.5 - footprints[cache.name] / cache.bytes, 0.0), 1.0)
        parts[cache.name] = left * part
        left *= 1.0 - part
    parts["DRAM"] = left
    return parts


@dataclass(frozen=True)
class _Levels:
    """The parts that come from each level: of weights, of input and output, of what is between."""

    weights: Mapping[str, float]
    ends: Mapping[str, float]
    between: Mapping[str, float]


def _levels(counts: Cost, plan: Plan, machine: Machine, item: int) -> _Levels:
    """Return which parts of what is read and written come from which level.

    A cache has to hold what the threads that it serves use: the weights, all or their share; the
    activations of their blocks; and for input and output to stay, the same share of these.
    Activations between layers are used again at once, before the weights of others pass.
    """
    weights = sum(layer.weight_bytes for layer in counts.layers)
    widest = max(layer.input_bytes + layer.output_bytes for layer in counts.layers) // counts.batch
    block = min(plan.block_rows, counts.batch) * widest
    ends = counts.batch * (counts.in_features + counts.out_features) * item
    for_weights = {}
    for_ends = {}
    for_blocks = {}
    for cache in machine.caches:
        part = min(plan.threads, cache.shared_by) / plan.threads
        own = weights * (part if plan.shared else 1.0)
        blocks = block * (part if plan.shared else part * plan.threads)
        for_weights[cache.name] = own + blocks
        for_ends[cache.name] = own + ends * part
        for_blocks[cache.name] = blocks
    return _Levels(*(served(found, machine) for found in (for_weights, for_ends, for_blocks)))


def _times(
    bandwidths: Mapping[str, float],
    levels: _Levels,
    *,
    weights: float,
    ends: float,
    between: float,
) -> dict[str, float]:
    """Return the time of each level for so many bytes of each kind."""
    return {
        level: (
            weights * levels.weights.get(level, 0.0)
            + ends * levels.ends.get(level, 0.0)
            + between * levels.between.get(level, 0.0)
        )
        / bandwidth
        for level, bandwidth in bandwidths.items()
    }


def _bytes_between(layer: LayerCost, ends: int, item: int) -> float:
    """Return the bytes of a sample that a layer reads and writes in cache, but for a product's own.

    `ends` are those of the network's input and output, which are counted by themselves.
    """
    if layer.kind == "dense":
        # What it is added to: read, and written where the product will be.
        return 2 * layer.other_flops / layer.batch * item
    return max(0.0, (layer.input_bytes + layer.output_bytes) / layer.batch - ends)


def _row_groups(rows: int, tile_rows: int, row: float, least: float) -> float:
    """Return the time of a step for all rows: one tile after another, `row` for each row of one."""
    whole, rest = divmod(rows, tile_rows)
    return whole * max(tile_rows * row, least) + (max(rest * row, least) if rest else 0.0)


def _bytes_of_ends(counts: Cost, item: int) -> list[int]:
    """Return for each layer the bytes of a sample that are at an end of the network there.

    They are those of the input at the first layer, and of the output at the last.
    """
    ends = [0] * len(counts.layers)
    ends[0] += counts.in_features * item
    ends[-1] += counts.out_features * item
    return ends
