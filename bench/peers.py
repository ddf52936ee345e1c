"""laminet beside NumPy, PyTorch, ONNX Runtime, OpenVINO and JAX: one table, one picture.

    pip install '.[bench]' && python bench/peers.py --json peers.json --picture peers.png

Answers are compared with NumPy in float64 before anything is timed. For each cell (a network and a
batch) the runtimes take turns, a few rounds each, so that what disturbs the machine disturbs all of
them; figures are medians over all rounds. `--threads 1` holds every runtime to one CPU,
`--dtype float64` compares with NumPy and PyTorch in double precision. `--derivatives` compares
Jacobians, vector-Jacobian products and gradients with JAX and PyTorch instead (derivatives.py).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markdown import figures, glance
from runtimes import FLOAT64_RUNTIMES, RUNTIMES, Network, Timing, Worker, summary, versions

NETWORKS = (
    Network((17, 64, 64, 6), "tanh", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192, 65536)),
    Network((784, 256, 128, 10), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192)),
    Network((784, 512, 256, 128, 10), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096)),
    Network((32, 64, 64, 64, 64, 16), "relu", (1, 8, 32, 64, 128, 512, 1024, 4096, 8192, 262144)),
    Network((479, 1024, 1024, 512, 256, 1), "relu", (1, 8, 32, 64, 128, 512, 1024, 2048)),
    Network((1024, 4096, 4096, 1024), "gelu", (1, 8, 32, 64, 128, 512)),
)


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    # Set on some machines for the sake of old builds; they hold a new OpenBLAS to older kernels.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    os.environ["LAMINET_NUM_THREADS"] = str(options.threads)
    if options.derivatives:
        import derivatives

        passed = ["--threads", str(options.threads), "--only", options.network or ""]
        for option in ("json", "picture"):
            if value := getattr(options, option):
                passed += [f"--{option}", value]
        return derivatives.main(passed)
    names = [n for n in chosen_runtimes(options) if n not in options.skip]
    workers = [Worker(name, options.threads, options.dtype) for name in names]
    report: dict[str, Any] = {
        "machine": machine(),
        "threads": options.threads,
        "dtype": options.dtype,
        "versions": versions(),
        "cells": [],
    }
    print(f"{report['machine']['cpu']}, {options.threads} thread(s), {options.dtype}")
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    shown = [n for n in names if n != "NumPy (out, in)"]
    print(
        f"\n{'microseconds a call (median)':32}" + "".join(f"{n:>14}" for n in shown) + "   ratio"
    )
    for net in NETWORKS:
        if options.network and options.network not in net.name:
            continue
        for batch in net.batches:
            if options.batches and batch not in options.batches:
                continue
            cell = measure(workers, net, batch, options)
            report["cells"].append(cell)
            print(line(cell, shown), flush=True)
    for worker in workers:
        worker.close()
    ratios = [cell["ratio"] for cell in report["cells"] if "ratio" in cell]
    if ratios:
        report["geometric_mean"] = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(
            f"\nbest peer / laminet: geometric mean {report['geometric_mean']:.2f}, "
            f"least {min(ratios):.2f}, over {len(ratios)} cells"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        Path(options.markdown).write_text(f"{glance(report)}\n{figures(report)}")
    if options.picture:
        from picture import draw

        draw(report, options.picture)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--network", help="only networks whose name contains this")
    parser.add_argument("--batches", type=int, nargs="+", help="only these batches")
    parser.add_argument("--skip", nargs="+", default=[], help="runtimes to leave out")
    parser.add_argument("--derivatives", action="store_true", help="compare derivatives instead")
    parser.add_argument("--seconds", type=float, default=0.1, help="a round of one runtime")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="where to write all figures")
    parser.add_argument("--markdown", help="where to write the tables for a README")
    parser.add_argument("--picture", help="where to draw (.png or .svg)")
    return parser.parse_args()


def chosen_runtimes(options: argparse.Namespace) -> list[str]:
    """Those that are installed; the missing ones are named."""
    installed = versions()
    names = FLOAT64_RUNTIMES if options.dtype == "float64" else tuple(RUNTIMES)
    missing = [n for n in names if n.split(" (")[0] not in installed]
    if missing:
        print("not installed, not compared:", ", ".join(missing), file=sys.stderr)
    return [n for n in names if n not in missing]


def machine() -> dict[str, Any]:
    """Measure what stands beside every figure, now and here."""
    import laminet as ln

    result: dict[str, Any] = ln.machine(refresh=True).to_dict()
    return result


def measure(
    workers: list[Worker], net: Network, batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Compare the answers, then time all runtimes in turns."""
    expected, bound = reference(net, batch, options.dtype)
    for worker in workers:
        answer = worker.prepare(net, batch)
        worst = float(np.max(np.abs(answer - expected)))
        if answer.shape != expected.shape or not worst <= bound:
            raise SystemExit(f"{worker.runtime} is wrong on {net.name}, batch {batch}: {worst:.2e}")
    samples: dict[str, list[float]] = {worker.runtime: [] for worker in workers}
    peaks = []
    for _ in range(options.rounds):
        for worker in workers:
            time.sleep(0.12)  # OpenBLAS's idle threads spin for 0.1 s
            samples[worker.runtime] += worker.time(options.seconds)
            if worker.runtime == "laminet":
                # Here, not once before: a clock that is high for a moment is no measure of 0.1 s.
                peaks.append(worker.peak(options.seconds))
    timings = {name: summary(values) for name, values in samples.items()}
    fold_numpy(timings)
    cell: dict[str, Any] = {
        "network": net.name,
        "activation": net.activation,
        "batch": batch,
        "flops": batch * net.flops_per_sample,
        "us": {name: asdict(timing) for name, timing in timings.items()},
    }
    if peaks:
        cell["peak_gflops"] = statistics.median(peaks)
    peers = {n: t.median_us for n, t in timings.items() if n != "laminet"}
    if peers and "laminet" in timings:
        cell["best_peer"] = min(peers, key=lambda n: peers[n])
        cell["ratio"] = peers[cell["best_peer"]] / timings["laminet"].median_us
    return cell


def reference(net: Network, batch: int, dtype: str) -> tuple[np.ndarray, float]:
    """Return the answer in float64, and how far a right one may be (a sanity check, no proof)."""
    import laminet as ln

    weights = net.weights(dtype)
    last = len(weights) - 1
    layers = [
        ln.Dense(w, b, "identity" if i == last else net.activation)
        for i, (w, b) in enumerate(weights)
    ]
    x = net.samples(batch, dtype)
    expected = np.concatenate(
        [
            ln.reference.forward(layers, part)
            for part in np.array_split(np.atleast_2d(x), max(1, batch // 4096))
        ]
    )
    unit = np.finfo(dtype).eps
    scale = float(np.max(np.abs(expected))) * math.sqrt(max(net.sizes)) * len(weights)
    return expected[0] if batch == 1 else expected, 8 * unit * scale


def fold_numpy(timings: dict[str, Timing]) -> None:
    """Of the two ways to store NumPy's weights, the better one counts."""
    other = timings.pop("NumPy (out, in)", None)
    if other and other.median_us < timings["NumPy"].median_us:
        timings["NumPy"] = other


def line(cell: dict[str, Any], names: list[str]) -> str:
    """One row of the table."""
    us = cell["us"]
    text = f"{cell['network']:24}{cell['batch']:>7} "
    text += "".join(f"{us[n]['median_us']:>14.2f}" for n in names)
    if "ratio" in cell:
        text += f"{cell['ratio']:>8.2f}"
    if "laminet" in us:
        text += f"{cell['flops'] / us['laminet']['median_us'] / 1e3:>8.0f} GFLOP/s"
    return text


if __name__ == "__main__":
    sys.exit(main())
