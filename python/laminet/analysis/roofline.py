"""Measured against what the machine allows: the roofline of a network, by batch and by layer."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.analysis.arguments import require_network
from laminet.analysis.cost import Cost, cost
from laminet.analysis.machine import Machine, let_stand, machine, measured_again
from laminet.analysis.prediction import predict, roofs
from laminet.analysis.roofline_check import beaten, notes
from laminet.analysis.roofline_data import LayerRow, RooflineData, RooflineRow
from laminet.analysis.roofline_measuring import measure
from laminet.core import probes, runtime
from laminet.core.conversion.counts import largest_batch, shown
from laminet.core.layers.tree import brief
from laminet.core.mlp import MLP
from laminet.core.report import Report, TableData
from laminet.core.rows import are_a_chain
from laminet.core.steps import program_of
from laminet.core.wording import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laminet.analysis.cost import LayerCost
    from laminet.analysis.prediction import LayerPrediction, LayerRoof
    from laminet.core.steps import Program, Step

__all__ = ["LayerRow", "Roofline", "RooflineRow", "roofline"]

# Characters of a layer in a table.
_LONGEST = 40


@dataclass(frozen=True, repr=False)
class Roofline(Report, RooflineData):
    """How fast a network is, how fast it could be, and why; it prints as tables.

    Attributes
    ----------
    network : str
        The network in one line.
    sizes : tuple of int
        ``(in_features, ..., out_features)``.
    dtype : str
        Of its numbers.
    precision : str
        Of its products; the peak is that of this.
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
    measured : str
        When: date and time in UTC.
    """

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
        return notes(self)


def _cells(row: RooflineRow | LayerRow) -> tuple[str, ...]:
    return (
        figure(row.intensity),
        figure(row.measured_gflops),
        figure(row.attainable_gflops),
        f"{100 * row.share:.0f} %" if row.attainable_gflops else "-",
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
        speed, measured and predicted time, and what bounds it. A layer that is made of others, as a
        `Residual`, is one of them; one that has become part of the layer before, as an `Activation`
        that follows a `Dense`, is in its row.

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

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP.init([784, 256, 10], seed=0)
    >>> roof = ln.roofline(net, batches=(1, 64))
    >>> [row.batch for row in roof.rows], roof.rows[0].measured_us > 0
    ([1, 64], True)
    >>> for sentence in roof.advice():
    ...     assert sentence.endswith(".")
    """
    require_network(net)
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a sequence of integers, got {shown(batches)}")
    sizes = sorted({_batch(b, net) for b in batches})
    if not sizes:
        raise ValueError("batches is empty, expected at least one batch size")
    costs = {batch: cost(net, batch) for batch in {1, *sizes}}
    result = _roofline(net, sizes, costs, machine(refresh=refresh))
    found = beaten(result)
    # Beside a neighbour who stays another measuring would bring nothing new.
    if found and not result.machine.disturbed and (again := measured_again(found)):
        result = _roofline(net, sizes, costs, again)
        if beaten(result):
            let_stand()
    return result


def _roofline(
    net: MLP, batches: Iterable[int], costs: Mapping[int, Cost], figures: Machine
) -> Roofline:
    threads = runtime.get_num_threads()
    program = program_of(net)
    return Roofline(
        network=repr(net),
        sizes=net.sizes,
        dtype=net.dtype.name,
        precision=net.precision,
        threads=threads,
        backend=runtime.get_backend(),
        cost=costs[1],
        machine=figures,
        rows=tuple(_row(net, program, costs[batch], figures, threads) for batch in batches),
        measured=time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    )


def _batch(value: Any, net: MLP) -> int:
    if isinstance(value, (bool, np.bool_)):  # which was an integer before NumPy 2
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


def _row(net: MLP, program: Program, counts: Cost, figures: Machine, threads: int) -> RooflineRow:
    whole, parts = measure(net, counts.batch, figures.call_us)
    # Afterwards, the plan that ran: it follows what handing work over costs, which from rest
    # nobody knows.
    plan = probes.plan(net, counts.batch)
    predicted = predict(counts, plan, figures, net.dtype, net.precision)
    least = roofs(counts, plan, figures, net.dtype, threads, net.precision)
    found = list(zip(program.before_head, counts.layers, least, predicted.layers, strict=True))
    layers = []
    for part, seconds in zip(program.parts, parts, strict=True):
        # A copy to the output belongs to no layer.
        own = [one for one in found if (part[-1] if one[0].top is None else one[0].top) in part]
        layers.append(_layer_row(net, part, own, seconds))
    slowest = max(predicted.layers, key=lambda p: p.memory_us)
    return RooflineRow(
        batch=counts.batch,
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


def _layer_row(
    net: MLP,
    part: range,
    found: Sequence[tuple[Step, LayerCost, LayerRoof, LayerPrediction]],
    seconds: float,
) -> LayerRow:
    """Return the row of a layer of the network, with those after it that have no steps."""
    counts = [count for _, count, _, _ in found]
    predictions = [prediction for _, _, _, prediction in found]
    flops = sum(count.flops for count in counts)
    reading = max(predictions, key=lambda p: p.memory_us)
    computing = max(predictions, key=lambda p: p.compute_us)
    _, of_function, _, _ = max(found, key=lambda one: one[3].activation_us)
    memory = sum(p.memory_us for p in predictions)
    arithmetic = sum(p.compute_us + p.activation_us for p in predictions)
    return LayerRow(
        index=part[0] + 1,
        shape=_shape(net, part, counts),
        intensity=flops / sum(count.bytes for count in counts),
        level=reading.level,
        bound="memory" if memory > arithmetic else "compute",
        attainable_gflops=flops / sum(roof.us for _, _, roof, _ in found) / 1e3,
        measured_gflops=flops / seconds / 1e9,
        predicted_us=sum(p.us for p in predictions),
        measured_us=seconds * 1e6,
        activation_us=sum(p.activation_us for p in predictions),
        lanes_used=computing.lanes_used,
        activation=of_function.activation,
    )


def _shape(net: MLP, part: range, counts: Sequence[LayerCost]) -> str:
    if len(counts) == 1 and are_a_chain([replace(counts[0], index=part[0] + 1)]):
        (count,) = counts
        return f"{count.in_features} -> {count.out_features} {count.activation}"
    text = brief(net.layers[i] for i in part)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
