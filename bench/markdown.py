"""Tables for a README, of the reports that the scripts here write.

python bench/markdown.py REPORT.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def tables(report: dict[str, Any]) -> str:
    """Return all tables of a report, whichever script wrote it."""
    made: tuple[Callable[[dict[str, Any]], str], ...] = TABLES[report["kind"]]
    if report["kind"] == "peers" and "narrow_ratio" in report["cells"][0]:
        made = (glance, narrow)
    return "\n".join(table(report) for table in made)


def glance(report: dict[str, Any]) -> str:
    """Best peer's time over laminet's: a line a network, a column a batch."""
    batches = sorted({cell["batch"] for cell in report["cells"]})
    ratios = {(cell["network"], cell["batch"]): cell.get("ratio") for cell in report["cells"]}
    names = {cell["network"]: cell["activation"] for cell in report["cells"]}
    lines = [["network", *(f"{batch:,}" for batch in batches)]]
    for network, activation in names.items():
        cells = [ratios.get((network, batch)) for batch in batches]
        lines.append([f"{network} {activation}", *map(_ratio, cells)])
    return _table(lines)


def figures(report: dict[str, Any]) -> str:
    """Median microseconds of every runtime, laminet's minimum and its share of the FMA peak."""
    runtimes = list(report["cells"][0]["us"])
    if "laminet" not in runtimes:
        raise SystemExit("the table is about laminet, which this report does not have")
    lines = [["network", "batch", *runtimes, "laminet, least", "ratio", "GFLOP/s", "of peak"]]
    for cell in report["cells"]:
        us = cell["us"]
        rate = cell["flops"] / us["laminet"]["median_us"] / 1e3
        lines.append(
            [
                cell["network"],
                f"{cell['batch']:,}",
                *(four_digits(us[name]["median_us"]) for name in runtimes),
                four_digits(us["laminet"]["min_us"]),
                _ratio(cell.get("ratio")),
                f"{rate:.0f}",
                f"{100 * rate / cell['peak_gflops']:.0f} %",
            ]
        )
    return _table(lines)


def narrow(report: dict[str, Any]) -> str:
    """Of a report with another precision: its times, ratios and largest errors, side by side."""
    cells = report["cells"]
    ours, theirs = cells[0]["errors"] if len(cells[0]["errors"]) > 1 else (*cells[0]["errors"], "")
    lines = [["network", "batch", "laminet", ours, theirs, "best peer", "ratio", "float32 / this"]]
    lines[0] += ["its error", "theirs"]
    for cell in cells:
        us = {name: f"{of['median_us']:,.4g}" for name, of in cell["us"].items()}
        errors = {name: f"{error:.1e}" for name, error in cell["errors"].items()}
        line = [cell["network"], f"{cell['batch']:,}", us["laminet"], us[ours], us.get(theirs, "")]
        line += [cell.get("best_peer", ""), _ratio(cell.get("ratio"))]
        lines.append([*line, _ratio(cell["narrow_ratio"]), errors[ours], errors.get(theirs, "")])
    return _table(lines)


def training(report: dict[str, Any]) -> str:
    """Median microseconds of a step in every runtime, and laminet's share of its roof."""
    runtimes = list(report["cells"][0]["us"])
    lines = [["network", "loss", "batch", *runtimes, "ratio", "arithmetic + Adam", "share"]]
    for cell in report["cells"]:
        line = [f"{cell['network']} {cell['activation']}", cell["loss"].replace("_", " ")]
        line.append(f"{cell['batch']:,}")
        line += [four_digits(cell["us"][name]["median_us"]) for name in runtimes]
        line.append(_ratio(cell.get("ratio")))
        if "roof_us" in cell:
            line += [four_digits(cell["roof_us"]), f"{100 * cell['share']:.0f} %"]
        else:
            line += ["", ""]
        lines.append(line)
    return _table(lines)


def derivatives(report: dict[str, Any]) -> str:
    """Median microseconds of each operation: laminet's, and the better ones of JAX and PyTorch."""
    found = {
        (r["network"], r["activation"], r["batch"], r["operation"]): r["microseconds"]
        for r in report["results"]
    }
    operations = list(dict.fromkeys(operation for *_, operation in found))
    lines = [["network", "batch", *(f"{o}: laminet / JAX / PyTorch" for o in operations)]]
    for network, activation, batch in dict.fromkeys(key[:3] for key in found):
        line = [f"{network} {activation}", f"{batch:,}"]
        for operation in operations:
            us = found.get((network, activation, batch, operation), {})
            of = [[t for name, t in us.items() if name.startswith(peer)] for peer in _DERIVING]
            line.append(" / ".join(four_digits(min(times)) for times in of if times))
        lines.append(line)
    return _table(lines)


def estimators(report: dict[str, Any]) -> str:
    """Seconds an epoch of scikit-learn's estimators and of laminet's, and scores of seeds."""
    lines = [
        ["estimator", "rows", "library", "ms an epoch", "ratio", "score", "difference", "seeds"]
    ]
    for cell in report["cells"]:
        apart = f"{cell['score_difference']:+.4f} ± {cell['score_difference_error']:.4f}"
        for name, of in cell["libraries"].items():
            lines.append(
                [
                    *(f"{cell['estimator']} {cell['network']}", f"{cell['rows']:,}", name),
                    four_digits(1e3 * of["epoch_s"]),
                    _ratio(cell["ratio"] if name == "laminet" else None),
                    f"{of['score']:.4f} ± {of['score_sd']:.4f}",
                    apart if name == "laminet" else "",
                    str(len(of["scores"])),
                ]
            )
    return _table(lines)


def together(report: dict[str, Any]) -> str:
    """Medians in one process, laminet's over its own alone, and how a series begins."""
    runtimes = list(report["cells"][0]["us"])
    builds = list(report["cells"][0]["of_alone"])
    windows = [f"{begin} to {end} ms" for begin, end in report["windows_ms"]]
    lines = [["network", "batch", *runtimes, "ratio"]]
    for build in builds:
        lines[0] += [f"{build} alone", "together / alone", *windows]
    for cell in report["cells"]:
        line = [cell["network"], f"{cell['batch']:,}"]
        line += [four_digits(cell["us"][name]["median_us"]) for name in runtimes]
        line.append(_ratio(cell.get("ratio")))
        for build in builds:
            line += [four_digits(cell["alone_us"][build]), _ratio(cell["of_alone"][build])]
            line += [_ratio(ratio) for ratio in cell["from_rest"][build]]
        lines.append(line)
    return _table(lines)


def control_loop(report: dict[str, Any]) -> str:
    """Median and 99th percentile of every runtime, and the best peer's over laminet's."""
    runtimes = list(report["cells"][0]["us"])
    lines = [["network", "rows", *(f"{name}, p50 / p99" for name in runtimes), "ratios"]]
    for cell in report["cells"]:
        line = [cell["network"], f"{cell['batch']:,}"]
        line += [
            f"{four_digits(of['p50'])} / {four_digits(of['p99'])}"
            for of in map(cell["us"].get, runtimes)
        ]
        line.append(f"{_ratio(cell.get('ratio_p50'))} / {_ratio(cell.get('ratio_p99'))}")
        lines.append(line)
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
                        four_digits(row["median"]),
                        f"{row['median_ratio']:.2f}",
                        f"{row['mean_ratio']:.2f}",
                        *(f"{100 * share:.0f} %" for share in row["shares"]),
                    ]
                )
    return _table(lines)


def serving_processes(report: dict[str, Any]) -> str:
    """Rates of one and of several processes."""
    return _serving(report, "processes")


def serving_threads(report: dict[str, Any]) -> str:
    """Rates of one and of several threads of one process."""
    return _serving(report, "threads")


def _serving(report: dict[str, Any], callers: str) -> str:
    cells = [cell for cell in report["cells"] if cell["callers"] == callers]
    if not cells:
        return ""
    counts = list(next(iter(cells[0]["rates"].values())))
    more = [title for n in counts[1:] for title in (f"{n} {callers}", "share")]
    lines = [["network", "batch", "runtime", "samples/s of one", *more]]
    for cell in cells:
        for name, of in cell["rates"].items():
            line = [cell["network"], f"{cell['batch']:,}", name, f"{of['1']['rate']:,.0f}"]
            for n in counts[1:]:
                line += [f"{of[n]['rate']:,.0f}", _ratio(of[n]["share"])]
            lines.append(line)
    return _table(lines)


def four_digits(value: float) -> str:
    """Return a number with four digits that count, and never an exponent."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1e4 else f"{rounded:,.4g}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(lines: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    rule = "|---|" + "---:|" * (len(lines[0]) - 1)
    return "\n".join([head, rule, *body]) + "\n"


_DERIVING = ("laminet", "jax", "torch")

TABLES = {
    "derivatives": (derivatives,),
    "peers": (glance, figures),
    "training": (training,),
    "estimators": (estimators,),
    "together": (glance, together),
    "control loop": (control_loop,),
    "serving": (serving_processes, serving_threads),
    "neighbours": (neighbours,),
}

if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
