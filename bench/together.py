"""bench/peers.py --together: all runtimes in one process, each call after the others' calls.

Most programs have more than one library in them, whose threads are idle, asleep or still spinning
when another is called. For each cell the runtimes take turns, each after a rest of 0.11 s, in which
all threads go to sleep. The order of each round is drawn anew, so that nobody always follows the
same one; a cell has the same orders in every run. laminet takes its turn in a process of its own
too, before the turn among the others and after it by turns: `of alone` is the one median over the
other. `from rest` is the time of the calls that begin in the first 2 ms after the rest, in the 2 ms
after these, and so on, over the median of the series; a call that is longer than that leaves the
later ones empty.

`--against PATH` puts the other laminet into a second process with all runtimes, and into one of its
own; the two laminets go first by turns.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import answers
import cells
import commandline
import numpy as np
from runtimes import NUMPY_OTHER, OTHER, AnyNetwork, Call
from workers import Worker, summary

REST = 0.11  # seconds: what users' pauses are like, and OpenBLAS's idle threads spin for 0.1
#: Milliseconds after the rest.
WINDOWS = ((0, 2), (2, 4), (4, 20))
BLOCK = 100_000  # nanoseconds: calls that are timed in one, where they are shorter

# When a block began and how long a call took in it, in microseconds; of one turn.
Lap = list[tuple[float, float]]


class Company:
    """A laminet among all runtimes in one process, and alone in another."""

    def __init__(self, ours: str, peers: list[str], options: argparse.Namespace) -> None:
        self.ours = ours
        self.names = [ours, *peers]
        self.together, self.alone = (
            commandline.start_worker(ours, options, options.threads, options.dtype)
            for _ in range(2)
        )
        self.laps: dict[str, list[Lap]] = {}
        self.laps_alone: list[Lap] = []
        self._blocks: dict[str, int] = {}

    def prepare(self, net: AnyNetwork, batch: int, expected: np.ndarray, bound: float) -> None:
        """Build the network in every runtime, and compare the answers."""
        for name in self.names:
            answer = self.together.prepare(net, batch, runtime=name)
            answers.compare(answer, expected, bound, name, net)
            self._blocks[name] = self.together.run(calls_in_block, runtime=name)
        answers.compare(self.alone.prepare(net, batch), expected, bound, self.ours, net)
        self.laps = {name: [] for name in self.names}
        self.laps_alone = []

    def turn(self, index: int, seconds: float, backwards: bool) -> None:
        """Time one of the runtimes, laminet in both processes, in the one or the other order."""
        name = self.names[index]
        turns = [(self.together, self.laps[name])]
        if name == self.ours:
            turns.append((self.alone, self.laps_alone))
        for worker, laps in turns[::-1] if backwards else turns:
            laps.append(rested_lap(worker, name, self._blocks[name], seconds))

    def close(self) -> None:
        """End both processes."""
        self.together.close()
        self.alone.close()


def compare(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    report = commandline.begin("together", options.threads, options.dtype)
    report |= {"windows_ms": WINDOWS, "cells": []}
    names = commandline.chosen_runtimes(options, options.dtype)
    builds = [n for n in names if n in ("laminet", OTHER)]
    peers = [n for n in names if n not in builds]
    companies = [Company(ours, peers, options) for ours in builds]
    shown = [n for n in names if n != NUMPY_OTHER]
    print(cells.heading(shown))
    for net, batch in commandline.chosen_cells(cells.NETWORKS, options):
        cell = measure(companies, net, batch, options)
        report["cells"].append(cell)
        print(cells.line(cell, shown), line(cell), flush=True)
    for company in companies:
        company.close()
    cells.conclude(report)
    conclude(report)
    commandline.end(report, options)
    return 0


def measure(
    companies: list[Company], net: AnyNetwork, batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Compare the answers, then time all runtimes in turns."""
    expected, bound = answers.reference(net, batch, options.dtype)
    for company in companies:
        company.prepare(net, batch, expected, bound)
    # Seeded by the cell, for one seed would give all cells the same few orders.
    chance = random.Random(f"{net.name} {batch}")
    count = len(companies[0].names)
    first = chance.randrange(2)  # of an odd number of rounds the one more
    for number in range(first, first + options.rounds):
        backwards = number % 2 == 1
        for index in chance.sample(range(count), count):
            for company in companies[::-1] if backwards else companies:
                company.turn(index, options.seconds, backwards)
    # The peers' figures are those of the company of the laminet that is judged.
    laps = companies[0].laps | {company.ours: company.laps[company.ours] for company in companies}
    cell = cells.judge(net, batch, {name: summary(times(of)) for name, of in in_order(laps)})
    cell["from_rest"] = {name: from_rest(of) for name, of in laps.items()}
    cell["alone_us"] = {c.ours: statistics.median(times(c.laps_alone)) for c in companies}
    cell["alone_from_rest"] = {c.ours: from_rest(c.laps_alone) for c in companies}
    cell["of_alone"] = {
        name: cell["us"][name]["median_us"] / alone for name, alone in cell["alone_us"].items()
    }
    return cell


def in_order(laps: dict[str, list[Lap]]) -> list[tuple[str, list[Lap]]]:
    """Return laminet's first, the other's next to it."""
    return sorted(laps.items(), key=lambda item: (item[0] != "laminet", item[0] != OTHER))


def rested_lap(worker: Worker, runtime: str, block: int, seconds: float) -> Lap:
    """Rest, and let a runtime of the process take its turn."""
    time.sleep(REST)
    result: Lap = worker.run(lap, block, seconds, runtime=runtime)
    return result


def calls_in_block(call: Call, x: np.ndarray) -> int:
    """Return how many calls are timed in one, so that they dwarf the clock."""
    clock = time.perf_counter_ns
    least = BLOCK
    for _ in range(20):
        start = clock()
        call(x)
        least = min(least, clock() - start)
    return max(1, BLOCK // max(least, 100))


def lap(call: Call, x: np.ndarray, block: int, seconds: float) -> Lap:
    """Time calls from the very first on."""
    clock = time.perf_counter_ns
    repeat = range(block)
    blocks: Lap = []
    now = first = clock()
    end = first + int(seconds * 1e9)
    while now < end or len(blocks) < 3:
        for _ in repeat:
            call(x)
        then = clock()
        blocks.append(((now - first) / 1e3, (then - now) / block / 1e3))
        now = then
    return blocks


def times(laps: list[Lap]) -> list[float]:
    """Microseconds a call, of all blocks."""
    return [us for lap in laps for _, us in lap]


def from_rest(laps: list[Lap]) -> list[float | None]:
    """Median over the laps of the mean time in each window, over the median of all."""
    series = statistics.median(times(laps))
    ratios: list[float | None] = []
    for begin, end in WINDOWS:
        inside = [[us for at, us in lap if begin * 1e3 <= at < end * 1e3] for lap in laps]
        means = [statistics.fmean(window) for window in inside if window]
        ratios.append(statistics.median(means) / series if means else None)
    return ratios


def line(cell: dict[str, Any]) -> str:
    """Return what stands behind the row of a cell."""
    texts = []
    for name, ratio in cell["of_alone"].items():
        windows = " ".join("-" if r is None else f"{r:.2f}" for r in cell["from_rest"][name])
        texts.append(f"  {name}: of alone {ratio:.3f}, from rest {windows}")
    return "".join(texts)


def conclude(report: dict[str, Any]) -> None:
    """Print how far laminet is from itself alone."""
    for name in report["cells"][0]["of_alone"]:
        ratios = [cell["of_alone"][name] for cell in report["cells"]]
        near = sum(ratio <= 1.03 for ratio in ratios)
        print(
            f"{name}, time together over time alone: "
            f"geometric mean {statistics.geometric_mean(ratios):.3f}, worst {max(ratios):.3f}, "
            f"{near} of {len(ratios)} cells within 3 %"
        )
