"""laminet beside something else that wants the CPUs: the time of a call over its time alone.

    python bench/neighbours.py [--against PATH] [--json FILE]

Two neighbours: another process that spins, wherever the scheduler puts it; and NumPy in the same
process, whose idle BLAS threads spin for 0.1 s after each threaded product. Where n CPUs have one
such neighbour, a fair share of them is n / (n - 1/2) times the time: 1.33 on two.

Beside nothing, beside the one, beside the other, round after round, every call timed. The table has
the median call, the ratios of the median and of the mean to those beside nothing, and what share of
the time went into calls of which length, in times of the median beside nothing. `--against PATH`
measures another build of laminet in the same rounds, `--runtimes` others of bench/peers.py.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import answers
import commandline
import numpy as np
from runtimes import OTHER, RUNTIMES, AnyNetwork, Call, Network
from workers import REST, Worker

NETWORKS = (
    Network((784, 256, 128, 10), "relu", (128,)),
    Network((784, 512, 256, 128, 10), "relu", (512,)),
    Network((479, 1024, 1024, 512, 256, 1), "relu", (128,)),
    Network((32, 64, 64, 64, 64, 16), "relu", (4096,)),
)
ALONE, PROCESS, PRODUCT = "nothing", "a spinning process", "NumPy's idle threads"
#: In times of the median alone. 1.1 is what a call alone may take too.
CLASSES = (1.1, 1.45, 2.5)
SETTLE = 0.05  # seconds from the start of the spinning to the first call that counts
AFTER = 0.05  # seconds of calls after a product, in the 0.1 that its threads spin


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    commandline.set_environment(options.threads)
    report = commandline.begin("neighbours", options.threads)
    report |= {"classes": class_names(), "cells": []}
    names = [n for n in commandline.chosen_runtimes(options) if n in options.runtimes]
    if not names:
        raise SystemExit("no runtime is left")
    spinner = Spinner(options.threads)
    workers = [commandline.start_worker(name, options, options.threads) for name in names]
    print(
        f"{'':31}{'':16}{'beside':22}{'us, median':>10}{'ratio':>7}{'mean':>7}"
        + "".join(f"{name:>12}" for name in class_names())
    )
    for net, batch in commandline.chosen_cells(NETWORKS, options):
        cell = measure(workers, spinner, net, batch, options)
        report["cells"].append(cell)
        print(lines(cell), flush=True)
    for worker in workers:
        worker.close()
    spinner.close()
    commandline.end(report, options)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = commandline.parser(__doc__, seconds=0.4, rounds=5)
    commandline.add_threads(parser)
    parser.add_argument(
        "--runtimes", nargs="+", default=["laminet"], choices=list(RUNTIMES), metavar="RUNTIME"
    )
    options = parser.parse_args()
    if options.against:
        options.runtimes = [*options.runtimes, OTHER]
    return options


class Spinner:
    """A process that takes all the time that it is given, while it is told to."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._on = context.Value("b", 0)
        self._wake = context.Semaphore(0)
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:threads])  # those of the workers
        self._process = context.Process(target=_spin, args=(self._on, self._wake), daemon=True)
        self._process.start()
        os.sched_setaffinity(0, cpus)

    def __enter__(self) -> None:
        self._on.value = 1
        self._wake.release()
        time.sleep(SETTLE)

    def __exit__(self, *_: object) -> None:
        self._on.value = 0

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def _spin(on: Synchronized[int], wake: Any) -> None:
    flag = on.get_obj()  # without the lock, so that it computes and never sleeps
    while wake.acquire():
        while flag.value:
            pass


def measure(
    workers: list[Worker],
    spinner: Spinner,
    net: AnyNetwork,
    batch: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Time all runtimes in turns, alone and beside each neighbour."""
    answers.prepare(workers, net, batch)
    calls: dict[str, dict[str, list[float]]] = {
        worker.runtime: {ALONE: [], PROCESS: [], PRODUCT: []} for worker in workers
    }
    for _ in range(options.rounds):
        for worker in workers:
            of = calls[worker.runtime]
            time.sleep(REST)
            of[ALONE] += worker.run(single_calls, options.seconds)
            with spinner:
                of[PROCESS] += worker.run(single_calls, options.seconds)
            time.sleep(REST)
            of[PRODUCT] += worker.run(calls_after_product, options.seconds)
    us = {name: figures(of) for name, of in calls.items()}
    other: dict[str, float] = {}
    if OTHER in us and "laminet" in us:
        other = {name: us[OTHER][name]["mean"] / us["laminet"][name]["mean"] for name in us[OTHER]}
    return {"network": net.name, "batch": batch, "us": us, "other_mean_ratios": other}


def single_calls(call: Call, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds of each call for `seconds`, after a tenth of that which does not count."""
    timed(call, x, 0.1 * seconds)
    return timed(call, x, seconds)


def calls_after_product(call: Call, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds of each call after a threaded product, which is made anew before it fades."""
    matrix = np.ones((512, 512), np.float32)
    timed(call, x, 0.1 * seconds)
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        matrix @ matrix
        samples += timed(call, x, AFTER)
    return samples


def timed(call: Call, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds of each call."""
    clock = time.perf_counter_ns
    samples = []
    start = clock()
    end = start + int(seconds * 1e9)
    while start < end:
        call(x)
        now = clock()
        samples.append((now - start) / 1e3)
        start = now
    return samples


def figures(calls: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, means, their ratios to those alone, and the shares of the time."""
    median = statistics.median(calls[ALONE])
    mean = statistics.fmean(calls[ALONE])
    result = {}
    for name, samples in calls.items():
        total = sum(samples)
        shares = [0.0] * (len(CLASSES) + 1)
        for us in samples:
            shares[bisect.bisect_left(CLASSES, us / median)] += us / total
        result[name] = {
            "median": statistics.median(samples),
            "mean": statistics.fmean(samples),
            "median_ratio": statistics.median(samples) / median,
            "mean_ratio": statistics.fmean(samples) / mean,
            "shares": shares,
            "calls": len(samples),
        }
    return result


def class_names() -> list[str]:
    """Return what stands above the shares."""
    inner = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(CLASSES)]
    return [f"up to {CLASSES[0]:g}", *inner, f"over {CLASSES[-1]:g}"]


def lines(cell: dict[str, Any]) -> str:
    """One row a runtime and neighbour, and the other laminet's time over this one's."""
    rows = []
    for runtime, of in cell["us"].items():
        for name, beside in of.items():
            rows.append(
                f"{cell['network']:24}{cell['batch']:>5}  {runtime:16}{name:22}"
                f"{beside['median']:>10.2f}{beside['median_ratio']:>7.2f}{beside['mean_ratio']:>7.2f}"
                + "".join(f"{f'{100 * share:.0f} %':>12}" for share in beside["shares"])
            )
    if ratios := cell["other_mean_ratios"]:
        text = ", ".join(f"{ratio:.3f} beside {name}" for name, ratio in ratios.items())
        rows.append(f"{OTHER} / laminet, of the means: {text}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
