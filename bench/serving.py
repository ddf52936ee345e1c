"""How services run a model: several processes, or several Python threads, on all CPUs at once.

    python bench/serving.py [--against PATH] [--json FILE]

784-256-128-10: four processes of each runtime beside one of it, and 2, 4 and 8 threads of one
process beside one thread. Every runtime is left at its default number of threads, and every process
at all CPUs, as services leave them. All callers of a turn call without pause; those calls count
that end within one window of `--seconds`, on the clock that all processes share, which opens 0.1 s
after they were told to begin. The runtimes take turns, round after round. The table has samples a
second of all callers, medians over the rounds, and the share: their rate over that of one in the
same round, the median again. NumPy runs with its weights stored both ways; for each number of
callers the better one counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import answers
import commandline
import numpy as np
from runtimes import NUMPY_OTHER, OTHER, Call, Network, of_another_thread
from workers import REST, Worker

SIZES, ACTIVATION = (784, 256, 128, 10), "relu"
OF_PROCESSES = Network(SIZES, ACTIVATION, (1, 32, 1024))
OF_THREADS = Network(SIZES, ACTIVATION, (8, 32, 128))
LEAD = 0.1  # seconds from the first call to the first that counts

# Lets so many callers of a runtime call, and counts the calls that end between two moments.
Turn = Callable[[list[Worker], int, int, int], int]


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    commandline.set_environment(None)
    report = commandline.begin("serving", None)
    report["cells"] = []
    names = commandline.chosen_runtimes(options)
    processes = sorted({1, options.processes})
    workers = {
        name: [commandline.start_worker(name, options, None) for _ in range(processes[-1])]
        for name in names
    }
    for callers, net, counts, turn in (
        ("processes", OF_PROCESSES, processes, turn_of_processes),
        ("threads", OF_THREADS, sorted({1, *options.python_threads}), turn_of_threads),
    ):
        if options.only in (None, callers):
            print(
                f"{'samples/s (share) of ' + callers:39}"
                + "".join(f"{n:>14}       " for n in counts)
            )
            for _, batch in commandline.chosen_cells([net], options):
                cell = measure(workers, net, batch, counts, turn, options)
                report["cells"].append(cell | {"callers": callers})
                print(lines(cell), flush=True)
    for of in workers.values():
        for worker in of:
            worker.close()
    commandline.end(report, options)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = commandline.parser(__doc__, seconds=0.5, rounds=5)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--python-threads", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--only", choices=("processes", "threads"), help="only this half")
    options = parser.parse_args()
    if min(options.processes, *options.python_threads) < 1:
        parser.error("there is at least one process and one thread")
    return options


def measure(
    workers: dict[str, list[Worker]],
    net: Network,
    batch: int,
    counts: list[int],
    turn: Turn,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Compare the answers, then let one and several callers of each runtime call in turns."""
    for of in workers.values():
        answers.prepare(of, net, batch)
    rates: dict[str, dict[int, list[float]]] = {name: {n: [] for n in counts} for name in workers}
    for _ in range(options.rounds):
        for name, of in workers.items():
            for n in counts:
                time.sleep(REST)
                begin = time.perf_counter_ns() + int(LEAD * 1e9)
                calls = turn(of, n, begin, begin + int(options.seconds * 1e9))
                rates[name][n].append(calls * batch / options.seconds)
    return judge(net, batch, rates)


def turn_of_processes(workers: list[Worker], count: int, begin: int, end: int) -> int:
    """Let so many processes call."""
    for worker in workers[:count]:
        worker.start(calls_between, begin, end)
    return sum(worker.wait() for worker in workers[:count])


def turn_of_threads(workers: list[Worker], count: int, begin: int, end: int) -> int:
    """Let so many threads of one process call."""
    calls: int = workers[0].run(calls_of_threads, count, begin, end)
    return calls


def calls_between(call: Call, x: np.ndarray, begin: int, end: int) -> int:
    """Call without pause, and count the calls that end between two moments."""
    clock = time.perf_counter_ns
    count = 0
    now = clock()
    while now < end:
        call(x)
        now = clock()
        count += begin < now <= end
    return count


def calls_of_threads(call: Call, x: np.ndarray, threads: int, begin: int, end: int) -> int:
    """Do so in several threads at once."""
    calls = [call, *(of_another_thread(call) for _ in range(threads - 1))]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda own: calls_between(own, x, begin, end), calls))


def judge(net: Network, batch: int, rates: dict[str, dict[int, list[float]]]) -> dict[str, Any]:
    """Return the cell of a report: rates, shares, and laminet's rate over the best peer's."""
    if other_numpy := rates.pop(NUMPY_OTHER, None):
        # By the rates, not by the shares too, which are high where one caller alone is slow.
        rates["NumPy"] = {
            n: max(of, other_numpy[n], key=statistics.median) for n, of in rates["NumPy"].items()
        }
    figures = {
        name: {
            str(n): {
                "rate": statistics.median(of),
                "share": statistics.median(map(over, of, of_count[1])),
            }
            for n, of in of_count.items()
        }
        for name, of_count in rates.items()
    }
    cell: dict[str, Any] = {"network": net.name, "batch": batch, "rates": figures}
    peers = [of for name, of in figures.items() if name not in ("laminet", OTHER)]
    if "laminet" in figures:
        ours = figures["laminet"]
        if peers:
            cell["ratios"] = {
                n: over(of["rate"], max(peer[n]["rate"] for peer in peers))
                for n, of in ours.items()
            }
        if OTHER in figures:
            cell["this_over_other"] = {
                n: over(of["rate"], figures[OTHER][n]["rate"]) for n, of in ours.items()
            }
    return cell


def over(rate: float, base: float) -> float:
    """Return the ratio; 0 where not even one call of the base ended in its window."""
    return rate / base if base else 0.0


def lines(cell: dict[str, Any]) -> str:
    """One row a runtime, and laminet's rates over the best peer's and the other laminet's."""
    rows = []
    for name, of in cell["rates"].items():
        row = f"{cell['network']:16}{cell['batch']:>6} {name:16}"
        rows.append(row + "".join(f"{f['rate']:>14,.0f} ({f['share']:.2f})" for f in of.values()))
    for key, title in (
        ("ratios", "laminet / best peer"),
        ("this_over_other", f"laminet / {OTHER}"),
    ):
        if key in cell:
            rows.append(f"{title:39}" + "".join(f"{r:>14.2f}       " for r in cell[key].values()))
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
