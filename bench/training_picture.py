"""The picture of bench/peers.py --training: how long a step takes in each runtime."""

from __future__ import annotations

from typing import Any

from picture import STYLES

_STYLES = {name: color for name, (color, _) in STYLES.items()} | {
    "PyTorch (compile)": "#555555",
    "scikit-learn": "#F0E442",
}


def draw(report: dict[str, Any], path: str) -> None:
    """Draw a group of bars for each cell of a report, and its roof, into a file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "laminet"})
    from matplotlib import pyplot as plt

    cells = report["cells"]
    names = [name for name in _STYLES if name in cells[0]["us"]]
    figure, axis = plt.subplots(figsize=(max(10.0, 1.4 * len(cells)), 4.6))
    width = 0.84 / len(names)
    for i, name in enumerate(names):
        places = [place - 0.42 + (i + 0.5) * width for place in range(len(cells))]
        heights = [cell["us"][name]["median_us"] for cell in cells]
        axis.bar(places, heights, width, color=_STYLES[name], label=name)
    for place, cell in enumerate(cells):
        title = "roof: peak, Adam in cache" if place == 0 else None
        ends = (place - 0.46, place + 0.46)
        axis.plot(ends, [cell["roof_us"]] * 2, color="black", linewidth=1.2, label=title)
        if "ratio" in cell:
            height = max(us["median_us"] for us in cell["us"].values())
            text = f"{cell['ratio']:.1f}x"
            axis.text(place, 1.15 * height, text, ha="center", fontsize=9)
    axis.set_yscale("log")
    axis.margins(x=0.01, y=0.08)
    axis.grid(axis="y", alpha=0.25, linewidth=0.5)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    labels = [f"{cell['network']}\n{cell['activation']}, {cell['batch']:,}" for cell in cells]
    axis.set_xticks(range(len(cells)), labels, fontsize=7, rotation=25, ha="right")
    axis.set_ylabel("microseconds a step")
    figure.legend(loc="lower center", ncol=len(names) + 1, frameon=False, fontsize=9)
    threads = "1 thread" if report["threads"] == 1 else f"{report['threads']} threads"
    figure.suptitle(
        "A step of training with Adam, and the best other runtime's time over laminet's:\n"
        f"{report['machine']['cpu']}, {threads}, {report['dtype']}",
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.endswith(".svg") else None)
