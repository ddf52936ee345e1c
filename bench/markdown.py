"""Tables for a README, of the reports that the scripts here write.

python bench/markdown.py REPORT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def tables(report: dict[str, Any]) -> str:
    """Return all tables of a report, whichever script wrote it."""
    return "\n".join(table(report) for table in TABLES[report["kind"]])


def glance(report: dict[str, Any]) -> str:
    """Best peer's time over laminet's: a line a network, a column a batch."""
    batches = sorted({cell["batch"] for cell in report["cells"]})
    ratios = {(cell["network"], cell["batch"]): cell.get("ratio") for cell in report["cells"]}
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
                f"{cell['ratio']:.2f}" if "ratio" in cell else "",
                f"{rate:.0f}",
                f"{100 * rate / cell['peak_gflops']:.0f} %",
            ]
        )
    return _table(lines)


def neighbours(report: dict[str, Any]) -> str:
    """Time beside each neighbour over time alone, and the calls in which the time went."""
    calls = [f"in calls {name}" for name in report["classes"]]
    lines = [["network", "batch", "runtime", "beside", "us, median", "ratio", "mean", *calls]]
    for cell in report["cells"]:
        for runtime, rows in cell["us"].items():
            for name, row in rows.items():
                lines.append(
                    [
                        *(cell["network"], f"{cell['batch']:,}", runtime, name),
                        f"{row['median']:,.4g}",
                        f"{row['median_ratio']:.2f}",
                        f"{row['mean_ratio']:.2f}",
                        *(f"{100 * share:.0f} %" for share in row["shares"]),
                    ]
                )
    return _table(lines)


def _table(lines: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|---|" + "---:|" * (len(lines[0]) - 1)
    return "\n".join([head, rule, *body]) + "\n"


TABLES = {
    "peers": (glance, figures),
    "neighbours": (neighbours,),
}

if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
