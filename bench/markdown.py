"""The tables of bench/peers.py for a README: ratios at a glance, and every figure."""

from __future__ import annotations

from typing import Any


def glance(report: dict[str, Any]) -> str:
    """Best peer's time over laminet's: a line a network, a column a batch."""
    batches = sorted({cell["batch"] for cell in report["cells"]})
    ratios = {(cell["network"], cell["batch"]): cell["ratio"] for cell in report["cells"]}
    names = {cell["network"]: cell["activation"] for cell in report["cells"]}
    lines = [["network", *(f"{batch:,}" for batch in batches)]]
    for network, activation in names.items():
        cells = [ratios.get((network, batch)) for batch in batches]
        lines.append([f"{network} {activation}", *("" if r is None else f"{r:.2f}" for r in cells)])
    return _table(lines)


def figures(report: dict[str, Any]) -> str:
    """Median microseconds of every runtime, laminet's minimum and its share of the FMA peak."""
    runtimes = list(report["cells"][0]["us"])
    lines = [["network", "batch", *runtimes, "laminet, least", "ratio", "GFLOP/s", "of peak"]]
    for cell in report["cells"]:
        us = cell["us"]
        rate = cell["flops"] / us["laminet"]["median_us"] / 1e3
        lines.append(
            [
                cell["network"],
                f"{cell['batch']:,}",
                *(f"{us[name]['median_us']:,.4g}" for name in runtimes),
                f"{us['laminet']['min_us']:,.4g}",
                f"{cell['ratio']:.2f}",
                f"{rate:.0f}",
                f"{100 * rate / cell['peak_gflops']:.0f} %",
            ]
        )
    return _table(lines)


def _table(lines: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|---|" + "---:|" * (len(lines[0]) - 1)
    return "\n".join([head, rule, *body]) + "\n"
