"""The pictures of a roofline: speed over intensity under its roofs, and time by batch size."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laminet.core.wording import figure as number
from laminet.core.wording import short_name
from laminet.show.matplotlib_extra import require_matplotlib, save_figure, target_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laminet.analysis.roofline_data import LayerRow, RooflineData, RooflineRow

__all__ = ["plot_batches", "plot_roofline"]

# Told apart by lightness as well as by hue, so in grey and by colour-blind eyes too.
_MEASURED = "#0b4f8a"
_PREDICTED = "#c65102"
_LAYERS = "#6ba3d6"
_ROOF = "#3a3a3a"
_PALE = "#9a9a9a"
_LAYER_MARKERS = "sDv^<>phX*"
_MOST_LAYERS = 10
_LABEL_INCHES = 0.6
_MOST_LABELS = 12

_NETWORK: dict[str, Any] = {
    "color": _MEASURED,
    "marker": "o",
    "linestyle": "-",
    "linewidth": 1.6,
    "markersize": 7,
}
_MODEL: dict[str, Any] = {
    "color": _PREDICTED,
    "marker": "o",
    "linestyle": "--",
    "linewidth": 1.1,
    "markersize": 8,
    "markerfacecolor": "white",
}


def plot_roofline(
    roofline: RooflineData,
    target: str | os.PathLike[str] | Axes | None = None,
    *,
    narrow: bool = False,
) -> Figure:
    """Draw speed over arithmetic intensity, both logarithmic; see `Roofline.plot`.

    Parameters
    ----------
    roofline : RooflineData
        The figures.
    target : path or matplotlib Axes, optional
        Where to draw or write.
    narrow : bool
        For a narrow screen.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    axes, path = target_axes(target, *((4.4, 5.2) if narrow else (8.6, 5.4)))
    # What only moves numbers has no place on a logarithmic axis of FLOPs.
    rows = tuple(row for row in roofline.rows if row.measured_gflops > 0)
    layers = [layer for row in rows for layer in row.layers if layer.measured_gflops > 0]
    peak = roofline.peak_gflops
    points: list[RooflineRow | LayerRow] = [*rows, *layers]
    ridge = peak / roofline.machine.bandwidth("DRAM", roofline.threads)
    intensities = [point.intensity for point in points] or [ridge]
    speeds = [point.measured_gflops for point in points] + [r.predicted_gflops for r in rows]
    speeds = speeds or [peak]
    left, right = (
        min(intensities) / (5 if narrow else 2.5),
        max(2.5 * max(intensities), 1.5 * ridge),
    )
    bottom, top = min(speeds) / 2.5, 2 * peak

    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    _style(axes, "arithmetic intensity, FLOPs per byte", "speed, GFLOP/s")
    _draw_roofs(axes, roofline, peak, narrow=narrow)
    for layer in layers:
        axes.plot(
            layer.intensity,
            layer.measured_gflops,
            _LAYER_MARKERS[(layer.index - 1) % len(_LAYER_MARKERS)],
            color=_LAYERS,
            markersize=5,
            markeredgewidth=0,
            zorder=3,
        )
    at = [r.intensity for r in rows]
    axes.plot(at, [r.predicted_gflops for r in rows], zorder=4, **_MODEL)
    axes.plot(at, [r.measured_gflops for r in rows], zorder=5, **_NETWORK)
    _label_batches(axes, rows)
    _legend(axes, roofline, narrow=narrow)
    name = short_name(roofline.sizes)
    threads = "1 thread" if roofline.threads == 1 else f"{roofline.threads} threads"
    about = f"{name}, {roofline.precision}" + ("\n" if narrow else ", ")
    axes.set_title(about + f"{threads} of {roofline.machine.cpu}", loc="left", fontsize=10)
    return _finish(axes, path)


def plot_batches(
    roofline: RooflineData, target: str | os.PathLike[str] | None = None, *, narrow: bool = False
) -> Figure:
    """Draw throughput and time of a call by batch size, measured and predicted.

    Parameters
    ----------
    roofline : RooflineData
        The figures.
    target : path, optional
        A file to write.
    narrow : bool
        One above the other, for a narrow screen.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    require_matplotlib()
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    whole, path = target_axes(target, *((4.4, 6.0) if narrow else (8.6, 3.6)))
    figure = _figure_of(whole)
    figure.clear()
    throughput, latency = figure.subplots(*((2, 1) if narrow else (1, 2)))
    rows = roofline.rows
    batches = [r.batch for r in rows]
    for axes, predicted, measured, title in (
        (
            throughput,
            [r.batch / r.predicted_us * 1e6 for r in rows],
            [r.samples_per_second for r in rows],
            "throughput, samples a second",
        ),
        (
            latency,
            [r.predicted_us for r in rows],
            [r.measured_us for r in rows],
            "time of a call, µs",
        ),
    ):
        axes.set(xscale="log", yscale="log")
        axes.plot(batches, predicted, label="predicted", **_MODEL)
        axes.plot(batches, measured, label="measured", **_NETWORK)
        _style(axes, "batch size", "")
        axes.set_title(title, loc="left", fontsize=10)
        if len(batches) <= _MOST_LABELS:
            axes.set_xticks(batches, [str(b) for b in batches])
            axes.xaxis.set_minor_locator(NullLocator())
        if max(measured) < 100 * min(measured):
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    handles, labels = throughput.get_legend_handles_labels()
    throughput.legend(handles[::-1], labels[::-1], loc="lower right", frameon=False, fontsize=9)
    return _finish(throughput, path)


def _style(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    # 0.1, 1, 10, 1000: powers of ten read worse than they are short.
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _draw_roofs(axes: Axes, roofline: RooflineData, peak: float, *, narrow: bool) -> None:
    """Draw the peak, and the bandwidth of each level up to it, each with its name on it."""
    machine, threads = roofline.machine, roofline.threads
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    used = {row.level for row in roofline.rows}
    used |= {layer.level for row in roofline.rows for layer in row.layers}
    levels = [(name, machine.bandwidth(name, threads)) for name in machine.bandwidth_gb_s]
    # Degrees of a roof on paper, for the axes' place before the layout is fitted to the texts.
    width, height = _figure_of(axes).get_size_inches() * axes.get_position().size
    slope = math.degrees(
        math.atan2(height / math.log(top / bottom), width / math.log(right / left))
    )
    start = peak / levels[0][1]
    axes.plot([max(left, start), right], [peak, peak], color=_ROOF, linewidth=2, zorder=2)
    axes.annotate(
        f"{machine.isa} peak {number(peak)} GFLOP/s",
        (right, peak),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        color=_ROOF,
        fontsize=9,
    )
    for name, bandwidth in levels:
        begin = max(left, bottom / bandwidth)
        end = peak / bandwidth
        if begin >= end:
            continue
        color = _ROOF if name in used else _PALE
        style = "-" if name in used else (0, (4, 3))
        axes.plot(
            [begin, end],
            [begin * bandwidth, peak],
            color=color,
            linestyle=style,
            linewidth=1.4,
            zorder=2,
        )
        # Near the lower end, where the lines are farthest from the points.
        at = begin * (end / begin) ** (0.04 if narrow else 0.05)
        axes.annotate(
            f"{name} {number(bandwidth)} GB/s",
            (at, at * bandwidth),
            xytext=(2, 3),
            textcoords="offset points",
            rotation=slope,
            rotation_mode="anchor",
            ha="left",
            va="bottom",
            color=color,
            fontsize=8 if narrow else 9,
            zorder=6,
        )


def _label_batches(axes: Axes, rows: tuple[RooflineRow, ...]) -> None:
    """Write each batch size under its point, lower where the last label is in the way."""
    left, right = axes.get_xlim()
    inches = _figure_of(axes).get_size_inches()[0] / math.log(right / left)  # a factor of e
    before, drop = -math.inf, 0
    every = max(1, math.ceil(len(rows) / _MOST_LABELS))
    for row in rows[::every]:
        at = math.log(row.intensity) * inches
        drop = drop + 1 if at - before < _LABEL_INCHES else 0
        before = at
        axes.annotate(
            f"batch {row.batch}" if row is rows[0] else f"{row.batch}",
            (row.intensity, row.measured_gflops),
            xytext=(5, -12 - 11 * (drop % 3)),
            textcoords="offset points",
            color=_MEASURED,
            fontsize=9,
            fontweight="bold",
            zorder=6,
        )


def _legend(axes: Axes, roofline: RooflineData, *, narrow: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label="network by batch size, measured", **_NETWORK),
        Line2D([], [], label="predicted", **_MODEL),
    ]
    handles += [
        Line2D(
            [],
            [],
            marker=_LAYER_MARKERS[(layer.index - 1) % len(_LAYER_MARKERS)],
            color=_LAYERS,
            linestyle="",
            markersize=5,
            markeredgewidth=0,
            label=f"layer {layer.index}: {layer.shape}",
        )
        for layer in roofline.rows[0].layers[:_MOST_LAYERS]
    ]
    more = len(roofline.rows[0].layers) - _MOST_LAYERS
    if more > 0:
        handles.append(Line2D([], [], linestyle="", label=f"and {more} layers more"))
    if narrow:
        axes.figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=8.5)
    else:
        axes.legend(handles=handles, loc="lower right", frameon=True, framealpha=0.9, fontsize=8.5)


def _figure_of(axes: Axes) -> Figure:
    figure: Figure = axes.figure.figure  # of axes in a part of a figure: the whole
    return figure


def _finish(axes: Axes, path: Path | None) -> Figure:
    figure = _figure_of(axes)
    if path is not None:
        save_figure(figure, path)
    return figure
