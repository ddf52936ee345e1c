"""One page about a network's speed."""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from laminet.analysis.advice import advice
from laminet.analysis.roofline_check import notes
from laminet.analysis.roofline_plot import plot_batches, plot_roofline
from laminet.core import runtime
from laminet.core.report import TableData
from laminet.core.wording import figure, short_name, size, us
from laminet.files.atomic import replacing, text_path
from laminet.show.matplotlib_extra import require_matplotlib
from laminet.show.page import document, picture, table

if TYPE_CHECKING:
    from laminet.analysis.roofline_data import LayerRow, RooflineData, RooflineRow

__all__ = ["page", "write_page"]

# Terminals may not have the letter that pages have; pictures are within attributes.
_MICRO = re.compile(r"(?<=\d )us\b|(?<=>)us(?=<)")


def write_page(roofline: RooflineData, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, which is complete or absent; see `Roofline.to_html`."""
    target = Path(text_path(path))
    text = page(roofline)
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return target


def page(roofline: RooflineData) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    roofline : RooflineData
        The figures.

    Returns
    -------
    str
        A complete document.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    require_matplotlib()
    name = short_name(roofline.sizes)
    threads = "1 thread" if roofline.threads == 1 else f"{roofline.threads} threads"
    about = f"{roofline.dtype}, {threads}, back end {roofline.backend}, {roofline.machine.cpu}"
    pictures = [
        picture(
            plot_roofline(roofline),
            plot_roofline(roofline, narrow=True),
            "Roofline: " + "; ".join(_in_words(row) for row in roofline.rows),
            "Higher is faster. The thick line is the arithmetic of the machine, the slopes are "
            "what each memory level can deliver: dark where this network's weights live, dashed "
            "where they do not; weights that live in two levels can be read faster than by the "
            "lower one. A number is a batch size.",
        ),
        picture(
            plot_batches(roofline),
            plot_batches(roofline, narrow=True),
            "Throughput and time of a call by batch size: "
            + "; ".join(
                f"batch {row.batch} {us(row.measured_us)}, "
                f"{figure(row.samples_per_second)} samples a second"
                for row in roofline.rows
            ),
            "Choose the largest batch whose time you can wait for; where throughput is flat, "
            "larger ones gain nothing.",
        ),
    ]
    sentences = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in advice(roofline))
    ends = (roofline.rows[0], roofline.rows[-1])
    by_layer = "\n".join(_layers(row, row in ends) for row in roofline.rows)
    remarks = "\n".join(f"<p>{escape(note)}</p>" for note in notes(roofline))
    kept = ", not kept" if roofline.machine.disturbed else ", kept since"
    cost, traffic = roofline.cost.tables()
    body = f"""<h1>How fast is {escape(name)}, and why?</h1>
<p class="under">{escape(about)}</p>
<p class="under">{escape(roofline.measured)} UTC</p>
{_facts(roofline)}
{remarks}
<h2>What the figures say</h2>
<ul>
{sentences}
</ul>
<h2>The roofline</h2>
{pictures[0]}
<h2>Which batch size?</h2>
{pictures[1]}
{table(_batches(roofline))}
<h2>Layer by layer</h2>
{by_layer}
<p class="note">Each layer timed as a network of its own, in turn with the others, without the time
of the call.</p>
<h2>The network</h2>
<p class="under">{escape(roofline.network)}</p>
{table(cost)}
{table(traffic)}
<h2>The machine</h2>
{"".join(table(data) for data in roofline.machine.tables())}
<p class="note">Measured {escape(roofline.machine.measured)} UTC{kept}:
<code>ln.machine(refresh=True)</code> measures again.</p>
<h2>How to read this</h2>
<p class="note">FLOPs count multiplications and additions; GFLOP/s are 10<sup>9</sup> of them a
second. Intensity is FLOPs for each byte of weights, input and output. The roof of a layer is the
lesser of what the cores can compute and what memory can deliver at its intensity; the share is
measured speed over that roof. Times are medians of many calls from Python, with the same input each
time. The prediction is a model made of the machine's figures alone; the documentation of
<code>laminet.analysis.prediction</code> has its formula.</p>
<p class="note">Measured {escape(roofline.measured)} UTC with laminet
{escape(runtime.build_info()["version"])}.</p>
"""
    return document(f"{name}: speed", _MICRO.sub("µs", body))


def _facts(roofline: RooflineData) -> str:
    first = roofline.rows[0]
    best = next(r for r in roofline.rows if r.batch == roofline.best_batch())
    fastest = max(roofline.rows, key=lambda r: r.measured_gflops)
    parameters = sum(layer.weight_bytes + layer.bias_bytes for layer in roofline.cost.layers)
    facts = [
        (f"batch {first.batch}", us(first.measured_us)),
        (f"most samples a second (batch {best.batch})", figure(best.samples_per_second)),
        (f"most GFLOP/s (batch {fastest.batch})", figure(fastest.measured_gflops)),
        ("share of the roof there", f"{100 * fastest.share:.0f} %"),
        ("weights", size(parameters)),
    ]
    cells = "".join(
        f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in facts
    )
    return f'<dl class="facts">{cells}</dl>'


def _batches(roofline: RooflineData) -> TableData:
    rows: list[tuple[str, ...]] = [
        ("batch", "bound by", "GFLOP/s", "of roof", "time", "predicted"),
    ]
    rows += [
        (
            f"{row.batch:,}",
            row.bound_by,
            figure(row.measured_gflops),
            f"{100 * row.share:.0f} %",
            us(row.measured_us),
            us(row.predicted_us),
        )
        for row in roofline.rows
    ]
    return TableData(rows, 2)


def _layers(row: RooflineRow, shown: bool) -> str:
    rows: list[tuple[str, ...]] = [("layer", "bound by", "GFLOP/s", "of roof", "time")]
    rows += [_layer(layer) for layer in row.layers]
    state = " open" if shown else ""
    shown_rows = table(TableData(rows, 2))
    return f"<details{state}><summary>Batch {row.batch:,}</summary>{shown_rows}</details>"


def _layer(layer: LayerRow) -> tuple[str, ...]:
    return (
        f"{layer.index}: {layer.shape}",
        layer.bound_by,
        figure(layer.measured_gflops),
        f"{100 * layer.share:.0f} %",
        us(layer.measured_us),
    )


def _in_words(row: RooflineRow) -> str:
    return (
        f"batch {row.batch} reaches {figure(row.measured_gflops)} of "
        f"{figure(row.attainable_gflops)} GFLOP/s, bound by {row.bound_by}"
    )
