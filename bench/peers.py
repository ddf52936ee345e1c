"""laminet beside NumPy, PyTorch, ONNX Runtime, OpenVINO and JAX: one table, one picture.

    pip install '.[bench]' && python bench/peers.py --json peers.json --picture peers.png

Answers are compared with NumPy in float64 before anything is timed. For each cell (a network and a
batch) the runtimes take turns, a few rounds each, so that what disturbs the machine disturbs all of
them; figures are medians over all rounds. `--threads 1` holds every runtime to one CPU,
`--dtype float64` compares with NumPy and PyTorch in double precision, `--against PATH` with another
build of laminet. `--derivatives` compares Jacobians, vector-Jacobian products and gradients with
JAX and PyTorch instead (derivatives.py).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import asdict
from typing import Any

import answers
import commandline
from runtimes import NUMPY_OTHER, OTHER, Network
from workers import REST, Timing, Worker, fma_peak, series, summary

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
    commandline.set_environment(options.threads)
    if options.derivatives:
        return compare_derivatives(options)
    report = commandline.begin("peers", options.threads, options.dtype)
    names = commandline.chosen_runtimes(options, options.dtype)
    workers = [commandline.start_worker(n, options, options.threads, options.dtype) for n in names]
    report["cells"] = []
    shown = [n for n in names if n != NUMPY_OTHER]
    print(f"{'microseconds a call (median)':32}" + "".join(f"{n:>16}" for n in shown) + "   ratio")
    for net, batch in chosen_cells(options):
        cell = measure(workers, net, batch, options)
        report["cells"].append(cell)
        print(line(cell, shown), flush=True)
    for worker in workers:
        worker.close()
    conclude(report)
    commandline.end(report, options)
    if options.picture:
        from picture import draw

        draw(report, options.picture)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = commandline.parser(__doc__, seconds=0.1, rounds=3)
    commandline.add_threads(parser)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--derivatives", action="store_true", help="compare derivatives instead")
    parser.add_argument("--picture", help="where to draw (.png or .svg)")
    options = parser.parse_args()
    if options.derivatives and options.against:
        parser.error("--derivatives compares with JAX and PyTorch alone")
    return options


def compare_derivatives(options: argparse.Namespace) -> int:
    """Run derivatives.py with the options that it has."""
    import derivatives

    passed = ["--threads", str(options.threads), "--only", options.network or ""]
    for option in ("json", "picture"):
        if value := getattr(options, option):
            passed += [f"--{option}", value]
    return derivatives.main(passed)


def chosen_cells(options: argparse.Namespace) -> list[tuple[Network, int]]:
    """Return networks and batches, without those that the options leave out."""
    return [
        (net, batch)
        for net in NETWORKS
        for batch in net.batches
        if (not options.network or options.network in net.name)
        and (not options.batches or batch in options.batches)
    ]


def measure(
    workers: list[Worker], net: Network, batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Compare the answers, then time all runtimes in turns."""
    answers.prepare(workers, net, batch, options.dtype)
    samples: dict[str, list[float]] = {worker.runtime: [] for worker in workers}
    peaks = []
    for _ in range(options.rounds):
        for worker in workers:
            time.sleep(REST)
            samples[worker.runtime] += worker.run(series, options.seconds)
            if worker.runtime == "laminet":
                # Here, not once before: a clock that is high for a moment is no measure of 0.1 s.
                peaks.append(worker.run(fma_peak, options.threads, options.seconds))
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
    if "laminet" not in timings:
        return cell
    ours = timings["laminet"].median_us
    if OTHER in timings:
        cell["other_ratio"] = timings[OTHER].median_us / ours
    peers = {n: t.median_us for n, t in timings.items() if n not in ("laminet", OTHER)}
    if peers:
        cell["best_peer"] = min(peers, key=lambda n: peers[n])
        cell["ratio"] = peers[cell["best_peer"]] / ours
    return cell


def fold_numpy(timings: dict[str, Timing]) -> None:
    """Of the two ways to store NumPy's weights, the better one counts."""
    other = timings.pop(NUMPY_OTHER, None)
    if other and other.median_us < timings["NumPy"].median_us:
        timings["NumPy"] = other


def line(cell: dict[str, Any], names: list[str]) -> str:
    """One row of the table."""
    us = cell["us"]
    text = f"{cell['network']:24}{cell['batch']:>7} "
    text += "".join(f"{us[n]['median_us']:>16.2f}" for n in names)
    if "ratio" in cell:
        text += f"{cell['ratio']:>8.2f}"
    if "laminet" in us:
        text += f"{cell['flops'] / us['laminet']['median_us'] / 1e3:>8.0f} GFLOP/s"
    if "other_ratio" in cell:
        text += f"   other/this {cell['other_ratio']:.3f}"
    return text


def conclude(report: dict[str, Any]) -> None:
    """Print the means over all cells, and keep that of the best peers."""
    for key, title in (("ratio", "best peer / laminet"), ("other_ratio", f"{OTHER} / laminet")):
        ratios = [cell[key] for cell in report["cells"] if key in cell]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            print(
                f"\n{title}: geometric mean {mean:.3f}, "
                f"least {min(ratios):.3f}, over {len(ratios)} cells"
            )
            report["geometric_mean" if key == "ratio" else "other_geometric_mean"] = mean


if __name__ == "__main__":
    sys.exit(main())
