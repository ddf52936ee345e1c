"""bench/peers.py --every SECONDS: each runtime called at a fixed rhythm, from sleep.

This is how robots and controllers call a network: once a millisecond, say, and every call counts.
The process sleeps until the next tick of the clock, calls, and the call alone is timed. The
runtimes, each in a process of its own, take turns in slices of 70 ticks, after a rest and 10 ticks
that do not count, until each has made `--calls` calls. (`--seconds` and `--rounds` do not count
here.) A call that takes longer than a tick leaves the ticks out that it missed. NumPy runs with its
weights stored both ways; each of its percentiles is the better one of the two.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import answers
import commandline
import numpy as np
from runtimes import NUMPY_OTHER, OTHER, AnyNetwork, Call, Network
from workers import REST

NETWORKS = (
    Network((17, 64, 64, 6), "tanh", (1,)),
    Network((784, 256, 128, 10), "relu", (1, 8)),
    Network((784, 512, 256, 128, 10), "relu", (1,)),
    Network((479, 1024, 1024, 512, 256, 1), "relu", (1,)),
)
SLICE = 70
UNCOUNTED = 10


def compare(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    report = commandline.begin("control loop", options.threads, options.dtype)
    report |= {"every": options.every, "calls": options.calls, "cells": []}
    names = commandline.chosen_runtimes(options, options.dtype)
    workers = [commandline.start_worker(n, options, options.threads, options.dtype) for n in names]
    shown = [n for n in names if n != NUMPY_OTHER]
    title = f"us, p50 / p99, every {options.every:g} s"
    print(f"{title:32}" + "".join(f"{n:>18}" for n in shown) + "   best peer / laminet")
    for net, batch in commandline.chosen_cells(NETWORKS, options):
        answers.prepare(workers, net, batch, options.dtype)
        calls: dict[str, list[float]] = {name: [] for name in names}
        while len(calls[names[0]]) < options.calls:
            count = min(SLICE, options.calls - len(calls[names[0]]))
            for worker in workers:
                time.sleep(REST)
                calls[worker.runtime] += worker.run(at_rhythm, options.every, count)
        cell = judge(net, batch, calls)
        report["cells"].append(cell)
        print(line(cell, shown), flush=True)
    for worker in workers:
        worker.close()
    conclude(report)
    commandline.end(report, options)
    return 0


def at_rhythm(call: Call, x: np.ndarray, every: float, count: int) -> list[float]:
    """Microseconds of each of `count` calls, one a tick, from sleep."""
    clock = time.perf_counter_ns
    period = int(every * 1e9)
    samples = []
    tick = clock() + period
    for _ in range(UNCOUNTED + count):
        while (left := tick - clock()) > 0:
            time.sleep(left / 1e9)
        start = clock()
        call(x)
        end = clock()
        samples.append((end - start) / 1e3)
        tick += period * max(1, -(-(end - tick) // period))
    return samples[UNCOUNTED:]


def judge(net: AnyNetwork, batch: int, calls: dict[str, list[float]]) -> dict[str, Any]:
    """Return the cell of a report: percentiles, and laminet's beside the best peer's."""
    us = {
        name: {f"p{percent}": float(np.percentile(of, percent)) for percent in (50, 99)}
        | {"most": max(of)}
        for name, of in calls.items()
    }
    if other_numpy := us.pop(NUMPY_OTHER, None):  # one way may have the better p50, one the p99
        us["NumPy"] = {key: min(value, other_numpy[key]) for key, value in us["NumPy"].items()}
    cell: dict[str, Any] = {"network": net.name, "batch": batch, "us": us}
    peers = [of for name, of in us.items() if name not in ("laminet", OTHER)]
    for key in ("p50", "p99"):
        if "laminet" in us and peers:
            cell[f"ratio_{key}"] = min(of[key] for of in peers) / us["laminet"][key]
        if "laminet" in us and OTHER in us:
            cell[f"other_{key}"] = us[OTHER][key] / us["laminet"][key]
    return cell


def line(cell: dict[str, Any], names: list[str]) -> str:
    """One row of the table."""
    us = cell["us"]
    text = f"{cell['network']:24}{cell['batch']:>7} "
    for name in names:
        pair = f"{us[name]['p50']:.1f} / {us[name]['p99']:.1f}"
        text += f"{pair:>18}"
    if "ratio_p50" in cell:
        text += f"{cell['ratio_p50']:>12.2f} / {cell['ratio_p99']:.2f}"
    if "other_p50" in cell:
        text += f"   other/this {cell['other_p50']:.2f} / {cell['other_p99']:.2f}"
    return text


def conclude(report: dict[str, Any]) -> None:
    """Print the mean and the least of the ratios."""
    for key, title in (("ratio", "best peer / laminet"), ("other", f"{OTHER} / laminet")):
        for percentile in ("p50", "p99"):
            ratios = [c[f"{key}_{percentile}"] for c in report["cells"] if f"{key}_p50" in c]
            if ratios:
                print(
                    f"{title}, {percentile}: geometric mean "
                    f"{statistics.geometric_mean(ratios):.2f}, least {min(ratios):.2f}"
                )
