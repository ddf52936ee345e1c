"""A model of how long a forward pass takes: of the machine's figures and the plan, nothing fitted.

The model. A layer of ``n`` outputs and ``m`` inputs takes, for the ``b`` rows that one of ``p``
threads has ::

    t = max(t_compute, t_memory) + t_activation

    t_compute    = m ceil(n / l) / v  sum over row groups of max(r v 2 l / P, d)
    t_memory     = max over levels of (bytes from there / bandwidth of the level)
    t_activation = b n a

and a call ``c + (L - 1) c_l + h + sum of t``. In it

- ``l`` is the number of elements in a vector, ``P`` the FMA peak of one thread (of ``p`` at work),
  ``d`` the latency of a multiply-add. A register tile has up to ``r`` rows and ``v`` vectors of
  columns; each of its ``m`` steps does one multiply-add for each of its ``r v`` accumulators, and
  cannot be shorter than the latency, as each accumulator waits for its last sum. So a single row
  does not reach the peak, whatever the memory; nor does a layer narrower than a vector.
- The bytes are those of the weights, read once for each block of rows that goes through all
  layers; of the input at the first layer; of the output at the last. Weights come from the
  smallest memory level that holds them with the activations of a block; input and output from the
  smallest that holds them with the weights, as they are when calls follow one another. A
  level that threads share divides its bandwidth among them. Between the layers activations stay in
  cache and cost nothing.
- ``a`` is the time of the activation function for an element; identity and relu are applied in
  registers and take none.
- ``c`` is the time of a call from Python, ``c_l`` of a layer with nothing to do, ``h`` of handing
  work to the threads.

All of these are figures of `laminet.machine`; shapes and split are the plan's. What is left
out makes the model a little fast: the loads of a tile that no multiply-add hides, the step from one
tile to the next, cache lines lost to other programs. The roofline itself (Williams, Waterman and
Patterson, Communications of the ACM 52(4), 2009) has only ``max(flops / P, bytes / bandwidth)``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet import probe
from laminet.analysis.cost import cost

if TYPE_CHECKING:
    from laminet.analysis.machine import Machine
    from laminet.mlp import MLP

__all__ = ["LayerPrediction", "LayerRoof", "Prediction", "predict", "roofs"]

# Applied to a tile while it is in registers.
_IN_REGISTERS = frozenset({"identity", "relu"})


@dataclass(frozen=True)
class Levels:
    """Where the data of a forward pass live: names of memory levels."""

    weights: str
    activations: str


@dataclass(frozen=True)
class Tile:
    """A register tile: rows, and vectors of columns."""

    rows: int
    vectors: int


@dataclass(frozen=True)
class Split:
    """How a batch is worked through.

    Attributes
    ----------
    threads : int
        Threads that share it.
    rows : int
        Rows of the thread that has most.
    block_rows : int
        So many of them go through all layers before the next ones do.
    tiles : tuple of Tile
        Of each layer.
    """

    threads: int
    rows: int
    block_rows: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class LayerRoof:
    """The least time of a layer by the roofline, in microseconds.

    Attributes
    ----------
    compute_us, memory_us : float
        By the peak of the threads, and by the bandwidth of the level that takes longest.
    level : str
        That level.
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
    """The predicted time of a layer, in microseconds, and what it is made of."""

    compute_us: float
    memory_us: float
    activation_us: float
    level: str
    lanes_used: float

    @property
    def us(self) -> float:
        """The time of the layer."""
        return max(self.compute_us, self.memory_us) + self.activation_us

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


def predict(net: MLP, batch: int, machine: Machine, threads: int) -> Prediction:
    """Predict the time of ``net(x)`` for a batch, by the model of this module.

    Parameters
    ----------
    net : MLP
        The network.
    batch : int
        Samples in the batch, 1 or more.
    machine : Machine
        The machine's figures.
    threads : int
        So many threads may be used.

    Returns
    -------
    Prediction
        The time of each layer and of the call.
    """
    dtype = net.dtype.name
    lanes = probe.vector_bytes(machine.isa) // net.dtype.itemsize
    split = planned_split(net, batch, machine, threads)
    # Of one of the threads at work, in operations a microsecond.
    rate = machine.peak(dtype, split.threads) / split.threads * 1e3
    latency = machine.fma_latency_ns[dtype] / 1e3
    levels = memory_levels(net, batch, machine, split)
    blocks = math.ceil(split.rows / split.block_rows)
    layers = []
    for index, (layer, tile) in enumerate(zip(net.layers, split.tiles, strict=True)):
        step = sum(
            max(rows * tile.vectors * 2 * lanes / rate, latency)
            for rows in _row_groups(split.rows, tile.rows)
        )
        traffic = _traffic(net, index, split.rows, blocks, levels)
        level, memory = _longest(traffic, machine, split.threads)
        name = layer.activation.name
        each = 0.0 if name in _IN_REGISTERS else machine.activation_ns[dtype][name] / 1e3
        vectors = math.ceil(layer.out_features / lanes)
        layers.append(
            LayerPrediction(
                compute_us=layer.in_features * vectors / tile.vectors * step,
                memory_us=memory,
                activation_us=split.rows * layer.out_features * each,
                level=level,
                lanes_used=layer.out_features / (vectors * lanes),
            )
        )
    overhead = machine.call_us + (len(layers) - 1) * machine.layer_us
    if split.threads > 1:
        overhead += machine.handoff_us
    return Prediction(tuple(layers), overhead, split.threads)


def roofs(net: MLP, batch: int, machine: Machine, threads: int) -> tuple[LayerRoof, ...]:
    """Return the least time of each layer by the roofline, all `threads` at work.

    Parameters
    ----------
    net : MLP
        The network.
    batch : int
        Samples in the batch, 1 or more.
    machine : Machine
        The machine's figures.
    threads : int
        The threads whose peak and bandwidth are the roofs.

    Returns
    -------
    tuple of LayerRoof
        One for each layer. Weights are read once, whatever the split.
    """
    levels = memory_levels(net, batch, machine, planned_split(net, batch, machine, threads))
    peak = machine.peak(net.dtype, threads) * 1e3
    result = []
    for index, layer in enumerate(cost(net, batch).layers):
        traffic = _traffic(net, index, batch, 1, levels)
        level, memory = _longest(traffic, machine, threads, shared=True)
        result.append(LayerRoof(layer.flops / peak, memory, level))
    return tuple(result)


def memory_levels(net: MLP, batch: int, machine: Machine, split: Split) -> Levels:
    """Return where weights, and input and output, live while calls follow one another.

    A level holds what its CPUs use: all weights, and of the activations the share of the threads
    that it serves.
    """
    item = net.dtype.itemsize
    weights = sum(
        (layer.weight.size + (0 if layer.bias is None else layer.bias.size)) * item
        for layer in net.layers
    )
    widest = max(n + m for n, m in itertools.pairwise(net.sizes)) * item
    block = min(split.rows, split.block_rows) * widest
    ends = batch * (net.in_features + net.out_features) * item

    def smallest(ours: Callable[[float], float]) -> str:
        for cache in machine.caches:
            served = min(split.threads, cache.shared_by)
            if ours(served) <= cache.bytes:
                return cache.name
        return "DRAM"

    return Levels(
        weights=smallest(lambda served: weights + served * block),
        activations=smallest(lambda served: weights + served / split.threads * ends),
    )


def planned_split(net: MLP, batch: int, machine: Machine, threads: int) -> Split:
    """Return how the engine splits this batch."""
    item = net.dtype.itemsize
    lanes = probe.vector_bytes(machine.isa) // item
    flops = sum(2 * n * m for n, m in itertools.pairwise(net.sizes)) * batch
    used = threads if flops >= 1e6 and batch > 1 else 1
    tiles = []
    accumulators = probe.accumulators(machine.isa)
    for layer in net.layers:
        vectors = min(4, math.ceil(layer.out_features / lanes))
        tiles.append(Tile(min(16, accumulators // vectors), vectors))
    widest = max(n + m for n, m in itertools.pairwise(net.sizes)) * item
    cache = next((c.bytes for c in machine.caches if c.level == 2), 2**18)
    rows = max(math.ceil(batch / used), min(batch, tiles[0].rows))
    block = max(tiles[0].rows, cache // 2 // widest // tiles[0].rows * tiles[0].rows)
    return Split(used, rows, block, tuple(tiles))


def _row_groups(rows: int, tile: int) -> Iterator[int]:
    """Rows of one tile after another."""
    for first in range(0, rows, tile):
        yield min(tile, rows - first)


def _traffic(net: MLP, index: int, rows: int, blocks: int, levels: Levels) -> Mapping[str, int]:
    """Return the bytes that a layer moves from and to each level, for `rows` rows."""
    layer, item = net.layers[index], net.dtype.itemsize
    bias = 0 if layer.bias is None else layer.bias.size
    traffic = {levels.weights: blocks * (layer.weight.size + bias) * item}
    ends = layer.in_features * (index == 0) + layer.out_features * (index == len(net.layers) - 1)
    if ends:
        known = traffic.get(levels.activations, 0)
        traffic[levels.activations] = known + rows * ends * item
    return traffic


def _longest(
    traffic: Mapping[str, int], machine: Machine, threads: int, *, shared: bool = False
) -> tuple[str, float]:
    """Return the level whose traffic takes longest, and its microseconds.

    The traffic is that of one of the threads, or with `shared` that of all together.
    """
    parts = 1 if shared else threads
    times = {
        level: nbytes / (machine.bandwidth(level, threads) / parts * 1e3)
        for level, nbytes in traffic.items()
    }
    level = max(times, key=lambda name: times[name])
    return level, times[level]
