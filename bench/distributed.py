"""Steps of `laminet.distributed.fit` on workers of this machine, beside what the model says.

build/engines/bin/python bench/distributed.py

Three figures are measured by themselves: the time of a round of messages (a network of no size),
the speed of what carries parameters and gradients between processes (one of many parameters and few
rows), and the rate of a worker (gradients in this process, on one thread). Of them the model of
docs/how-to/distributed-training.md makes the time of a step, here of other networks and batches.
Beside them: what the scheduler takes for a task, which bounds how many workers are of use.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from dask.distributed import Client, LocalCluster

import laminet as ln

PARTS = 4
#: Widths of a network, and rows of a step.
CASES = [
    ([20, 64, 64, 1], 4096),
    ([20, 64, 64, 1], 65536),
    ([100, 512, 512, 1], 4096),
    ([100, 512, 512, 1], 32768),
    ([100, 1024, 1024, 1024, 1], 8192),
]
EMPTY = ([1, 1], 4)
LARGE = ([100, 1024, 1024, 1024, 1], 4)


def rows(number: int, count: int, features: int) -> tuple[Any, Any]:
    x = np.random.default_rng(number).standard_normal((count // PARTS, features), dtype=np.float32)
    return x, x[:, 0]


def seconds_of_a_step(client: Client, sizes: list[int], batch: int, steps: int) -> float:
    """Return the median over steps of the whole of the rows, after the first."""
    net = ln.MLP.init(sizes, "relu", seed=0)
    parts = client.map(rows, range(PARTS), count=batch, features=sizes[0], pure=False)
    options: Any = {"loss": "squared_error", "optimizer": ln.optim.AdamW(1e-4)}
    fit = ln.distributed.fit(client, net, parts, batch_size=None, epochs=steps + 1, **options)
    return statistics.median(fit.history.seconds[1:])


def seconds_of_gradients(sizes: list[int], batch: int) -> float:
    """Return what the gradients of a step take one worker."""
    trainer = ln.Trainer(ln.MLP.init(sizes, "relu", seed=0), "squared_error")
    taken = [trainer._taken(*rows(i, batch, sizes[0]), None) for i in range(PARTS)]
    times = []
    with ln.num_threads(1):
        for _ in range(4):
            begin = time.perf_counter()
            for part in taken:
                trainer._core.value_and_gradients(*part)
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def bytes_of(sizes: list[int]) -> int:
    return 4 * ln.MLP.init(sizes, seed=0).num_parameters


def seconds_of_a_task(client: Client) -> float:
    """Return what the scheduler takes for each of many tasks that do nothing."""
    client.gather(client.map(abs, range(100), pure=False))
    begin = time.perf_counter()
    client.gather(client.map(abs, range(2000), pure=False))
    return (time.perf_counter() - begin) / 2000


def measure(workers: int, steps: int, alone: dict[str, float]) -> None:
    options: Any = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        round_ = seconds_of_a_step(client, *EMPTY, steps)
        carried = (workers + 1) * bytes_of(LARGE[0])
        large = seconds_of_a_step(client, *LARGE, steps) - round_
        speed = carried / large
        task = seconds_of_a_task(client)
        print(f"\n{workers} workers: round {1e3 * round_:.1f} ms, {speed / 1e6:.0f} MB/s, ", end="")
        print(f"{1e3 * task:.2f} ms a task\n")
        print("| network | rows a step | gradients, alone | step | model | step / model |")
        print("|---|---:|---:|---:|---:|---:|")
        for sizes, batch in CASES:
            work = alone[f"{sizes} {batch}"]
            carried = (workers + 1) * bytes_of(sizes)
            model = work / workers + round_ + (carried / speed if carried > 2**18 else 0)
            taken = seconds_of_a_step(client, sizes, batch, steps)
            cells = ["-".join(map(str, sizes)), f"{batch:,}"]
            cells += [f"{1e3 * x:.1f} ms" for x in (work, taken, model)]
            print(f"| {' | '.join(cells)} | {taken / model:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--steps", type=int, default=15)
    chosen = parser.parse_args()
    alone = {f"{sizes} {batch}": seconds_of_gradients(sizes, batch) for sizes, batch in CASES}
    for workers in chosen.workers:
        measure(workers, chosen.steps, alone)


if __name__ == "__main__":
    main()
