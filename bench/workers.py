"""Processes that hold runtimes, one each as a rule, and how calls are timed in them.

A process of its own keeps the pools of threads apart: whoever is not being timed waits on a pipe,
its threads asleep, and its settings (threads, affinity) touch nobody else.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from runtimes import AnyNetwork, Call, make

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

REST = 0.12  # seconds: OpenBLAS's idle threads spin for 0.1


@dataclass(frozen=True)
class Timing:
    """Microseconds a call, over `samples` measurements."""

    median_us: float
    min_us: float
    samples: int


def summary(samples: list[float]) -> Timing:
    """Median and minimum."""
    return Timing(statistics.median(samples), min(samples), len(samples))


def series(call: Call, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds a call: medians need many samples, and a sample must dwarf the clock."""
    clock = time.perf_counter_ns
    call(x)
    start = clock()
    call(x)
    once = max(clock() - start, 100)
    calls = max(1, 300_000 // once)
    end = clock() + int(seconds * 1e9)
    for _ in range(max(1, min(calls, int(0.3 * seconds * 1e9 / once)))):  # wakes threads and clocks
        call(x)
    samples = []
    while len(samples) < 3 or clock() < end:
        repeat = range(calls)
        start = clock()
        for _ in repeat:
            call(x)
        samples.append((clock() - start) / calls / 1e3)
    return samples


def fma_peak(_call: Call, x: np.ndarray, threads: int, seconds: float) -> float:
    """GFLOP/s of multiply-adds in registers, by laminet's own loop."""
    # By the name that every version of laminet has for it: an older one may be compared with.
    from laminet import build_info, probe

    isa = build_info()["isa"]
    rates = []
    end = time.perf_counter() + seconds
    while not rates or time.perf_counter() < end:
        rates.append(probe.fma_rate(str(x.dtype), isa, threads, 0.002) / 1e9)
    return statistics.median(rates)


class Worker:
    """A process that holds a runtime, on `threads` CPUs; None: all of them, and default pools.

    `tree` is a directory to import laminet from instead of the one that the parent has.
    """

    def __init__(
        self, runtime: str, threads: int | None, dtype: str = "float32", tree: str | None = None
    ) -> None:
        self.runtime = runtime
        self.threads = threads
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:threads])  # inherited by the child
        self._process = context.Process(
            target=_serve, args=(child, runtime, threads, dtype, tree), daemon=True
        )
        self._process.start()
        child.close()
        os.sched_setaffinity(0, cpus)

    def prepare(self, net: AnyNetwork, batch: int, runtime: str | None = None) -> np.ndarray:
        """Build the network and return its answer; of another runtime beside, if one is named."""
        answer: np.ndarray = self._ask("prepare", runtime or self.runtime, net, batch)
        return answer

    def run(self, function: Callable[..., Any], *arguments: Any, runtime: str | None = None) -> Any:
        """Return function(call, x, *arguments) of what was prepared, made in the process."""
        self.start(function, *arguments, runtime=runtime)
        return self.wait()

    def start(
        self, function: Callable[..., Any], *arguments: Any, runtime: str | None = None
    ) -> None:
        """Let the process begin with it; `wait` gives the result."""
        self._pipe.send((function, runtime or self.runtime, *arguments))

    def wait(self) -> Any:
        """Return the result of what was started."""
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.runtime}: its process ended, see above") from None

    def _ask(self, *message: Any) -> Any:
        self._pipe.send(message)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(
    pipe: Connection, _runtime: str, threads: int | None, dtype: str, tree: str | None
) -> None:
    """Answer ("prepare", runtime, net, batch), and (function, runtime, *arguments)."""
    if tree:
        _import_laminet(tree)
    calls: dict[str, Call] = {}
    while (message := _next(pipe)) is not None:
        what, runtime, *arguments = message
        if what == "prepare":
            net, batch = arguments
            calls[runtime] = make(runtime, net, dtype, batch, threads)
            x = net.samples(batch, dtype)
            pipe.send(np.array(calls[runtime](x)))
        else:
            pipe.send(what(calls[runtime], x, *arguments))


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:  # the parent has ended, and said why
        return None


def _import_laminet(tree: str) -> None:
    """From `tree` and nowhere else: a comparison of a build with itself would say nothing."""
    sys.path.insert(0, tree)
    import laminet

    found = Path(laminet.__file__).parent
    if not found.samefile(Path(tree) / "laminet"):
        raise SystemExit(f"laminet came from {found}, not from {tree}")
