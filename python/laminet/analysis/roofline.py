"""Measured against what the machine allows: the roofline of a network, by batch and by layer."""

from __future__ import annotations

import operator
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.analysis.arguments import require_network
from laminet.analysis.cost import Cost, cost
from laminet.analysis.machine import Machine, let_stand, machine, measured_again
from laminet.analysis.prediction import predict, roofs
from laminet.analysis.roofline_check import contradictions
from laminet.core import runtime
from laminet.core.conversion.counts import largest_batch, shown
from laminet.core.mlp import MLP
from laminet.show.report import Report, TableData, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LayerRow", "Roofline", "RooflineRow", "call_seconds", "roofline"]

# Of the whole network and of its layers, each, for every batch.
_SECONDS = 0.1
_LEAST_ROUNDS = 5


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network at one batch size.

    Attributes
    ----------
    index : int
        Number of the layer, counted from 1.
    shape : str
        ``"in -> out activation"``.
    intensity : float
        FLOPs for each byte.
    level : str
        The memory level whose roof applies: where its weights live, or input or output where these
        take longer.
    bound : str
        ``"memory"`` or ``"compute"``.
    attainable_gflops : float
        The roof, 10^9 FLOPs a second.
    predicted_us, measured_us : float
        Microseconds by the model, and measured: the layer as a network of its own, in turn with
        the others, less the time of a call.
    measured_gflops : float
        10^9 FLOPs a second.
    activation_us : float
        The part of the predicted time that is the activation function's.
    lanes_used : float
        The part of the vectors over the outputs that holds outputs.
    """

    index: int
    shape: str
    intensity: float
    level: str
    bound: str
    attainable_gflops: float
    measured_gflops: float
    predicted_us: float
    measured_us: float
    activation_us: float
    lanes_used: float

    @property
    def share(self) -> float:
        """Measured speed as a share of the roof."""
        return self.measured_gflops / self.attainable_gflops

    @property
    def bound_by(self) -> str:
        """The bound by name: ``"arithmetic"``, ``"the call"`` or the memory level."""
        return _bound_by(self)


@dataclass(frozen=True)
class RooflineRow:
    """A network at one batch size.

    Attributes
    ----------
    batch : int
        Samples in the batch.
    intensity : float
        FLOPs for each byte.
    level : str
        The memory level that the weights come from.
    bound : str
        What most of the predicted time goes to: ``"memory"``, ``"compute"`` or ``"overhead"`` (of
        the call).
    attainable_gflops : float
        The roof, 10^9 FLOPs a second: the least time of each layer, by compute or by memory.
    measured_gflops : float
        10^9 FLOPs a second.
    predicted_us, measured_us : float
        Microseconds of a call, by the model and measured.
    overhead_us : float
        The part of the predicted time that is the call's: Python, layers, handing out work.
    threads : int
        Threads that the batch is worth.
    layers : tuple of LayerRow
        The layers.
    """

    batch: int
    intensity: float
    level: str
    bound: str
    attainable_gflops: float
    measured_gflops: float
    predicted_us: float
    measured_us: float
    overhead_us: float
    threads: int
    layers: tuple[LayerRow, ...]

    @property
    def share(self) -> float:
        """Measured speed as a share of the roof."""
        return self.measured_gflops / self.attainable_gflops

    @property
    def bound_by(self) -> str:
        """The bound by name: ``"arithmetic"``, ``"the call"`` or the memory level."""
        return _bound_by(self)

    @property
    def predicted_gflops(self) -> float:
        """10^9 FLOPs a second by the model."""
        return self.measured_gflops * self.measured_us / self.predicted_us

    @property
    def samples_per_second(self) -> float:
        """Throughput."""
        return self.batch / self.measured_us * 1e6


@dataclass(frozen=True, repr=False)
class Roofline(Report):
    """How fast a network is, how fast it could be, and why; it prints as tables.

    Attributes
    ----------
    network : str
        The network in one line.
    sizes : tuple of int
        ``(in_features, ..., out_features)``.
    dtype : str
        Of its numbers.
    threads : int
        So many threads could be used.
    backend : str
        The back end.
    cost : Cost
        What a sample costs.
    machine : Machine
        The figures that the roofs are made of.
    rows : tuple of RooflineRow
        One for each batch size.
    """

    network: str
    sizes: tuple[int, ...]
    dtype: str
    threads: int
    backend: str
    cost: Cost
    machine: Machine
    rows: tuple[RooflineRow, ...]

    def best_batch(self, latency_us: float | None = None) -> int:
        """Return the batch size of the highest throughput, of those that were measured.

        Parameters
        ----------
        latency_us : float, optional
            Only batches that take no more microseconds than this; by default all.

        Returns
        -------
        int
            The smallest batch whose throughput is within 2 % of the highest.

        Raises
        ------
        ValueError
            If no batch is fast enough, or `latency_us` is not positive.
        TypeError
            If `latency_us` is not a number.
        """
        if latency_us is not None:
            if isinstance(latency_us, bool) or not isinstance(latency_us, Real):
                raise TypeError(f"latency_us must be a number, got {type(latency_us).__name__}")
            if not latency_us > 0:
                raise ValueError(f"latency_us is {latency_us}, expected a positive number")
        rows = [r for r in self.rows if latency_us is None or r.measured_us <= latency_us]
        if not rows:
            least = min(self.rows, key=lambda r: r.measured_us)
            raise ValueError(
                f"latency_us is {latency_us}, but the fastest batch, {least.batch}, takes "
                f"{figure(least.measured_us)} us"
            )
        best = max(r.samples_per_second for r in rows)
        return min(r.batch for r in rows if r.samples_per_second >= 0.98 * best)

    def advice(self) -> list[str]:
        """Return a few sentences that follow from the figures: what bounds it, what to choose."""
        from laminet.analysis.advice import advice

        return advice(self)

    def plot(self, target: str | os.PathLike[str] | Axes | None = None) -> Figure:
        """Draw the roofline: speed over intensity, the roofs, and where the network stands.

        Parameters
        ----------
        target : path or matplotlib Axes, optional
            Where to draw or write: a file (.png, .svg, .pdf) or axes; by default a new figure.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install laminet[plot]``).
        """
        from laminet.analysis.roofline_plot import plot_roofline

        return plot_roofline(self, target)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page with the tables, the pictures and the advice; it needs nothing but itself.

        Parameters
        ----------
        path : path
            The file; it is complete or absent.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install laminet[plot]``).
        OSError
            If the file cannot be written.
        """
        from laminet.analysis.roofline_page import write_page

        return write_page(self, path)

    def tables(self) -> list[TableData]:
        """Return the tables that show this result."""
        figures = ("FLOPs/byte", "GFLOP/s", "of", "share", "us", "predicted")
        batches: list[tuple[str, ...]] = [("batch", "bound by", *figures)]
        layers: list[tuple[str, ...]] = [("batch", "layer", "bound by", *figures)]
        for row in self.rows:
            batches.append((str(row.batch), row.bound_by, *_cells(row)))
            for layer in row.layers:
                name = f"{layer.index}: {layer.shape}"
                layers.append((str(row.batch), name, layer.bound_by, *_cells(layer)))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        title = f"{self.network}\n{threads}, back end {self.backend}, {self.machine.cpu}"
        by_layer = "Layer by layer"
        if any(layer.share > 1 for row in self.rows if row.batch == 1 for layer in row.layers):
            by_layer += "; of a single sample, zeros and the weights behind them are left out"
        return [TableData(batches, 2, title), TableData(layers, 3, by_layer)]

    def notes(self) -> list[str]:
        """Return what to know of the machine's figures, and where they do not explain the speed."""
        found = self.machine.notes()
        if beaten := self._beaten():
            cause = (
                "There they were disturbed."
                if self.machine.disturbed
                else "Either the model is wrong there, or the machine is another than it was: "
                "ln.machine(refresh=True) measures them again."
            )
            found.append(f"Faster than these figures allow: {'; '.join(beaten)}. {cause}")
        return found

    def _beaten(self) -> list[str]:
        peak = self.machine.peak(self.dtype, self.threads)
        return contradictions(self.rows, self.machine, peak)


def _bound_by(row: RooflineRow | LayerRow) -> str:
    return {"compute": "arithmetic", "memory": row.level, "overhead": "the call"}[row.bound]


def _cells(row: RooflineRow | LayerRow) -> tuple[str, ...]:
    return (
        figure(row.intensity),
        figure(row.measured_gflops),
        figure(row.attainable_gflops),
        f"{100 * row.share:.0f} %",
        figure(row.measured_us),
        figure(row.predicted_us),
    )


def roofline(
    net: MLP, batches: Iterable[int] = (1, 8, 64, 512), *, refresh: bool = False
) -> Roofline:
    """Measure a network at some batch sizes, and hold it against what the machine allows.

    Parameters
    ----------
    net : MLP
        The network.
    batches : iterable of int
        Batch sizes, each 1 or more; sorted, and none twice.
    refresh : bool
        Measure the machine again, whatever is known of it; see `machine`.

    Returns
    -------
    Roofline
        For each batch, and each layer of it: arithmetic intensity, the roof that applies, measured
        speed, measured and predicted time, and what bounds it.

    Raises
    ------
    TypeError
        If `net` is not an MLP, a batch not an integer, or `refresh` not a bool.
    ValueError
        If there are no batches, or one is less than 1 or so large that no memory holds it.
    RuntimeError
        If the machine's figures are not known and cannot be measured; see `machine`.

    Notes
    -----
    Times are those of ``net(x)`` in Python with the back end and threads now set: the median of
    rounds that fill a tenth of a second a batch. The input is the same array each time, so that it
    is in cache if it fits.

    The roof of a layer is ``max(flops / peak, bytes / bandwidth)`` for all the threads, with the
    bandwidth of the memory level where the weights live for this network and batch, or where input
    and output do if these take longer; that of the network is the sum over its layers. The
    predicted time is more than that: `laminet.analysis.prediction` says how it is made. Both count
    all weights, while of a single sample the zeros behind relu, with the weights that they would
    read, are left out where no bit of the result changes: there the share may exceed 1.

    A batch above 105 % of the peak, or 150 % of a roof of memory, or that takes less time than a
    network with nothing in it, shows that the machine's figures are wrong, as they were measured
    beside another program or in another state of the machine: they are forgotten, everything is
    measured again, once, and the report says so. Where that explains nothing, it is not tried again
    for a day.
    """
    require_network(net)
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a sequence of integers, got {shown(batches)}")
    sizes = sorted({_batch(b, net) for b in batches})
    if not sizes:
        raise ValueError("batches is empty, expected at least one batch size")
    result = _roofline(net, sizes, machine(refresh=refresh))
    beaten = result._beaten()
    # Beside a neighbour who stays another measuring would bring nothing new.
    if beaten and not result.machine.disturbed and (again := measured_again(beaten)):
        result = _roofline(net, sizes, again)
        if result._beaten():
            let_stand()
    return result


def _roofline(net: MLP, batches: Iterable[int], figures: Machine) -> Roofline:
    threads = runtime.get_num_threads()
    return Roofline(
        network=repr(net),
        sizes=net.sizes,
        dtype=net.dtype.name,
        threads=threads,
        backend=runtime.get_backend(),
        cost=cost(net),
        machine=figures,
        rows=tuple(_row(net, batch, figures, threads) for batch in batches),
    )


def _batch(value: Any, net: MLP) -> int:
    if isinstance(value, bool):
        raise TypeError("batches holds a bool, expected integers")
    try:
        batch = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"batches holds a {kind}, expected integers") from None
    if batch < 1:
        raise ValueError(f"batches holds {shown(batch)}, expected 1 or more")
    if batch > (most := largest_batch(net.sizes)):
        raise ValueError(f"batches holds {shown(batch)}, more than any memory: at most {most}")
    return batch


def _row(net: MLP, batch: int, figures: Machine, threads: int) -> RooflineRow:
    counts = cost(net, batch)
    whole, parts = _measure(net, batch, figures)
    # Afterwards, by the plan that ran: it follows what handing work over costs, which from rest
    # nobody knows.
    predicted = predict(net, batch, figures)
    least = roofs(net, batch, figures, threads)
    layers = []
    for layer, count, roof, prediction, seconds in zip(
        net.layers, counts.layers, least, predicted.layers, parts, strict=True
    ):
        layers.append(
            LayerRow(
                index=count.index,
                shape=f"{layer.in_features} -> {layer.out_features} {layer.activation.name}",
                intensity=count.intensity,
                level=prediction.level,
                bound=prediction.bound,
                attainable_gflops=count.flops / roof.us / 1e3,
                measured_gflops=count.flops / seconds / 1e9,
                predicted_us=prediction.us,
                measured_us=seconds * 1e6,
                activation_us=prediction.activation_us,
                lanes_used=prediction.lanes_used,
            )
        )
    slowest = max(predicted.layers, key=lambda p: p.memory_us)
    return RooflineRow(
        batch=batch,
        intensity=counts.intensity,
        level=slowest.level,
        bound=predicted.bound,
        attainable_gflops=counts.flops / sum(roof.us for roof in least) / 1e3,
        measured_gflops=counts.flops / whole / 1e9,
        predicted_us=predicted.us,
        measured_us=whole * 1e6,
        overhead_us=predicted.overhead_us,
        threads=predicted.threads,
        layers=tuple(layers),
    )


def _measure(net: MLP, batch: int, figures: Machine) -> tuple[float, list[float]]:
    """Return the seconds of a call, and those of each layer."""
    generator = np.random.default_rng(0)
    shape = (batch, net.in_features) if batch > 1 else (net.in_features,)
    x = generator.standard_normal(shape, np.float64).astype(net.dtype)
    whole = call_seconds(lambda: net(x), _SECONDS)
    if len(net.layers) == 1:
        return whole, [_less(whole, figures.call_us * 1e-6)]
    nets = [MLP([layer]) for layer in net.layers]
    inputs: list[NDArray[Any]] = [x]
    for single in nets[:-1]:
        inputs.append(single(inputs[-1]))
    pairs = list(zip(nets, inputs, strict=True))
    clock = time.perf_counter
    taken: list[list[float]] = [[] for _ in nets]
    end = clock() + _SECONDS
    # One layer after another, so that each finds in cache what it would find in the network.
    while len(taken[0]) < _LEAST_ROUNDS or clock() < end:
        for (single, given), times in zip(pairs, taken, strict=True):
            begin = clock()
            single(given)
            times.append(clock() - begin)
    return whole, [_less(statistics.median(times), figures.call_us * 1e-6) for times in taken]


def _less(seconds: float, call: float) -> float:
    """Return the time without that of a call; a tenth of it at least, where the call is all."""
    return max(seconds - call, seconds / 10)


def call_seconds(function: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call over rounds that fill so many seconds; at least five."""
    clock = time.perf_counter
    function()  # memory is taken and threads start at the first call
    begin = clock()
    function()
    count = max(1, round(seconds / 50 / max(clock() - begin, 1e-9)))
    rounds: list[float] = []
    end = clock() + seconds
    while len(rounds) < _LEAST_ROUNDS or clock() < end:
        begin = clock()
        for _ in range(count):
            function()
        rounds.append((clock() - begin) / count)
    return statistics.median(rounds)
