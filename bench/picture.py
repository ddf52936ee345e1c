"""The picture of bench/peers.py: of each network speed by batch, against the roof, and the ratio.

On a logarithmic axis of three decades nobody tells 1.0 from 1.3: below each panel stands the time
of the best other runtime over laminet's, in numbers.
"""

from __future__ import annotations

import itertools
import statistics
from typing import Any

# Okabe and Ito's colours, which the colour-blind tell apart too.
STYLES = {
    "laminet": ("#D55E00", "o"),
    "OpenVINO": ("#0072B2", "s"),
    "ONNX Runtime": ("#009E73", "^"),
    "NumPy": ("#56B4E9", "v"),
    "JAX": ("#CC79A7", "D"),
    "PyTorch": ("#999999", "x"),
}


def draw(report: dict[str, Any], path: str) -> None:
    """Draw the cells of a report of peers.py into a file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "laminet"})
    from matplotlib import pyplot as plt

    networks = list(dict.fromkeys(cell["network"] for cell in report["cells"]))
    columns = min(3, len(networks))
    rows = -(-len(networks) // columns)
    figure = plt.figure(figsize=(4.4 * columns, 4.5 * rows + 0.7))
    # The layout of a row: speed, ratio, and room for the title of the next.
    grid = figure.add_gridspec(3 * rows, columns, height_ratios=(3.2, 1.1, 0.5) * rows, hspace=0.08)
    axes = [figure.add_subplot(grid[3 * (i // columns), i % columns]) for i in range(len(networks))]
    below = [
        figure.add_subplot(grid[3 * (i // columns) + 1, i % columns], sharex=axis)
        for i, axis in enumerate(axes)
    ]
    which = "one_thread" if report["threads"] == 1 else "all_threads"
    peak = statistics.median(cell["peak_gflops"] for cell in report["cells"])
    for axis, under, network in zip(axes, below, networks, strict=True):
        cells = [cell for cell in report["cells"] if cell["network"] == network]
        batches = [cell["batch"] for cell in cells]
        roof = [attainable(report, cell, which, peak) for cell in cells]
        axis.fill_between(batches, roof, 2 * peak, color="#000000", alpha=0.07, linewidth=0)
        axis.plot(batches, roof, color="black", linewidth=1, label="roof: peak, reading weights")
        for name, (color, marker) in reversed(STYLES.items()):
            points = [
                (cell["batch"], cell["flops"] / cell["us"][name]["median_us"] / 1e3)
                for cell in cells
                if name in cell["us"]
            ]
            if points:
                ours = name == "laminet"
                axis.plot(
                    *zip(*points, strict=True),
                    color=color,
                    marker=marker,
                    markersize=5 if ours else 3.5,
                    linewidth=2.4 if ours else 1.1,
                    label=name,
                )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_ylim(0.2, 1.25 * peak)
        axis.set_title(f"{network} {cells[0]['activation']}", fontsize=10)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.tick_params(labelbottom=False)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        draw_ratios(under, cells)
    for i in range(0, len(networks), columns):
        axes[i].set_ylabel("GFLOP/s")
        below[i].set_ylabel("ratio")
    for under in below[-columns:]:
        under.set_xlabel("batch")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="lower center", ncol=len(labels), frameon=False, fontsize=9
    )
    threads = "1 thread" if report["threads"] == 1 else f"{report['threads']} threads"
    figure.suptitle(
        f"From NumPy array to NumPy array: {report['machine']['cpu']}, {threads}, "
        f"{report['dtype']}, peak {peak:.0f} GFLOP/s;\n"
        "below, the time of the best other runtime over laminet's",
        fontsize=11,
    )
    figure.subplots_adjust(left=0.055, right=0.99, top=0.9, bottom=0.03, wspace=0.16)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.endswith(".svg") else None)


def draw_ratios(axis: Any, cells: list[dict[str, Any]]) -> None:
    """Draw the time of the best other runtime over laminet's, each with its number."""
    points = [(cell["batch"], cell["ratio"]) for cell in cells if "ratio" in cell]
    axis.axhline(1, color="black", linewidth=0.8)
    if points:
        axis.plot(*zip(*points, strict=True), color=STYLES["laminet"][0], marker="o", markersize=3)
    for batch, ratio in points:
        axis.annotate(
            f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}",
            (batch, ratio),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
        )
    axis.set_yscale("log")
    axis.set_ylim(0.7, 16)
    axis.set_yticks((1, 2, 4, 8), ("1", "2", "4", "8"))
    axis.minorticks_off()
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.xaxis.set_major_formatter(
        lambda value, _: f"{value / 1024:g}k" if value >= 1024 else f"{value:g}"
    )


def attainable(report: dict[str, Any], cell: dict[str, Any], which: str, peak: float) -> float:
    """GFLOP/s at most: the peak, or what reading all weights once allows, from where they fit."""
    machine = report["machine"]
    sizes = list(map(int, cell["network"].split("-")))
    weight_bytes = sum(a * b for a, b in itertools.pairwise(sizes)) * (
        4 if report["dtype"] == "float32" else 8
    )
    level = "DRAM"
    for cache in machine["caches"]:
        copies = report["threads"] if cache["shared_by"] == 1 else 1
        if weight_bytes <= cache["bytes"] * copies:
            level = f"L{cache['level']}"
            break
    seconds = weight_bytes / (machine["bandwidth_gb_s"][level][which] * 1e9)
    return float(min(peak, cell["flops"] / seconds / 1e9))
