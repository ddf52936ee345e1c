"""One page about a network's speed, in HTML that needs nothing but itself: no scripts, no fonts."""

from __future__ import annotations

import base64
import io
import os
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
from laminet.show.html import html_table
from laminet.show.matplotlib_extra import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from laminet.analysis.roofline_data import LayerRow, RooflineData, RooflineRow

__all__ = ["page", "write_page"]

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 3rem; color: #1c1c1c;
  background: #fff; font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, li { max-width: 46rem; }
.under { color: #555; margin: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem;
  margin: 1.2rem 0 0; }
.facts div { border: 1px solid #d8d8d8; border-radius: .5rem; padding: .5rem .75rem; }
.facts dt { color: #555; font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
ul { padding-left: 1.2rem; }
li { margin-bottom: .45rem; }
figure { margin: 0 0 1rem; }
img { display: block; width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: .88rem; max-width: 46rem; }
.wide { overflow-x: auto; margin: 0 0 .8rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .6rem 0 .2rem; }
th { font-weight: 600; color: #444; vertical-align: bottom; }
th, td { padding: .28rem .9rem .28rem 0; white-space: nowrap; border-bottom: 1px solid #e8e8e8; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
@media (max-width: 40rem) {
  body { padding: .9rem .8rem 2rem; }
  table { font-size: .78rem; }
  th, td { padding-right: .55rem; }
  .facts { grid-template-columns: 1fr 1fr; }
  .facts dd { font-size: 1.1rem; }
}
@media print { body { max-width: none; } }
"""


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
        _picture(
            plot_roofline(roofline),
            plot_roofline(roofline, narrow=True),
            "Roofline: " + "; ".join(_in_words(row) for row in roofline.rows),
            "Higher is faster. The thick line is the arithmetic of the machine, the slopes are "
            "what each memory level can deliver: dark where this network's weights live, dashed "
            "where they do not; weights that live in two levels can be read faster than by the "
            "lower one. A number is a batch size.",
        ),
        _picture(
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
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}: speed</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>How fast is {escape(name)}, and why?</h1>
<p class="under">{escape(about)}</p>
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
{_table(_batches(roofline))}
<h2>Layer by layer</h2>
{by_layer}
<p class="note">Each layer timed as a network of its own, in turn with the others, without the time
of the call.</p>
<h2>The network</h2>
<p class="under">{escape(roofline.network)}</p>
{_table(cost)}
{_table(traffic)}
<h2>The machine</h2>
{"".join(_table(table) for table in roofline.machine.tables())}
<p class="note">Measured {escape(roofline.machine.measured)} UTC{kept}:
<code>ln.machine(refresh=True)</code> measures again.</p>
<h2>How to read this</h2>
<p class="note">FLOPs count multiplications and additions; GFLOP/s are 10<sup>9</sup> of them a
second. Intensity is FLOPs for each byte of weights, input and output. The roof of a layer is the
lesser of what the cores can compute and what memory can deliver at its intensity; the share is
measured speed over that roof. Times are medians of many calls from Python, with the same input each
time. The prediction is a model made of the machine's figures alone; the documentation of
<code>laminet.analysis.prediction</code> has its formula.</p>
<p class="note">Made by laminet {escape(runtime.build_info()["version"])}.</p>
</body>
</html>
"""


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
    table = _table(TableData(rows, 2))
    state = " open" if shown else ""
    return f"<details{state}><summary>Batch {row.batch:,}</summary>{table}</details>"


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


def _table(data: TableData) -> str:
    return f'<div class="wide">{html_table(data)}</div>'


def _picture(wide: Figure, narrow: Figure, words: str, caption: str) -> str:
    """Return a picture with another shape for narrow screens, as images inside the page."""
    return (
        "<figure><picture>"
        f'<source media="(max-width: 40rem)" srcset="{_data(narrow)}">'
        f'<img alt="{escape(words)}" src="{_data(wide)}">'
        f"</picture><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _data(drawn: Figure) -> str:
    file = io.BytesIO()
    drawn.savefig(file, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
