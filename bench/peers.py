"""laminet beside NumPy, PyTorch, ONNX Runtime, OpenVINO and JAX: one table, one picture.

    pip install . --group bench && python bench/peers.py --json peers.json --picture peers.png

Answers are compared with NumPy in float64 before anything is timed. For each cell (a network and a
batch) the runtimes take turns, a few rounds each, so that what disturbs the machine disturbs all of
them; figures are medians over all rounds. `--threads 1` holds every runtime to one CPU,
`--dtype float64` compares with NumPy and PyTorch in double precision, `--against PATH` with another
build of laminet. `--precision bfloat16` (or bfloat16_weights) compares laminet in that with the
others and with OpenVINO in bfloat16, and shows the errors, over the largest output.

Instead: `--training` compares steps of training with PyTorch, JAX and scikit-learn (training.py),
`--together` puts all runtimes into one process (together.py), `--every 1e-3` calls each once a
millisecond (control_loop.py), `--derivatives` compares Jacobians, vector-Jacobian products and
gradients with JAX and PyTorch (derivatives.py).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import answers
import cells
import commandline
from runtimes import NARROW, NUMPY_OTHER, AnyNetwork
from workers import REST, Worker, fma_peak, series, summary


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    commandline.set_environment(options.threads)
    if options.derivatives:
        return compare_derivatives(options)
    if options.training:
        import training

        return training.compare(options)
    if options.together:
        import together

        return together.compare(options)
    if options.every:
        import control_loop

        return control_loop.compare(options)
    report = commandline.begin("peers", options.threads, options.dtype)
    report["machine"] = commandline.machine()
    names = commandline.chosen_runtimes(options, options.dtype)
    workers = [commandline.start_worker(n, options, options.threads, options.dtype) for n in names]
    report["cells"] = []
    shown = [n for n in names if n != NUMPY_OTHER]
    print(cells.heading(shown))
    for net, batch in commandline.chosen_cells(cells.NETWORKS, options):
        cell = measure(workers, net, batch, options)
        report["cells"].append(cell)
        print(cells.line(cell, shown), flush=True)
    for worker in workers:
        worker.close()
    cells.conclude(report)
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
    parser.add_argument(
        "--precision",
        choices=tuple(NARROW),
        help="laminet in it, and calls of OpenVINO in bf16",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--together", action="store_true", help="all runtimes in one process")
    instead.add_argument("--every", type=float, metavar="SECONDS", help="one call each so often")
    instead.add_argument("--training", action="store_true", help="compare steps of training")
    instead.add_argument("--derivatives", action="store_true", help="compare derivatives")
    parser.add_argument("--calls", type=int, default=700, help="of each runtime, with --every")
    parser.add_argument("--picture", help="where to draw (.png or .svg)")
    options = parser.parse_args()
    if options.derivatives and (options.against or options.markdown):
        parser.error("--derivatives has neither --against nor --markdown")
    if options.picture and (options.together or options.every):
        parser.error("--picture draws neither --together nor --every")
    if "laminet" in options.skip:
        if options.together:
            parser.error("--together is about laminet: --skip cannot leave it out")
        if options.picture or (options.markdown and not options.every):
            parser.error("--markdown and --picture are about laminet: --skip cannot leave it out")
    plain = not (options.together or options.every or options.training or options.derivatives)
    trains = options.training and options.precision == "bfloat16"
    if options.precision and (options.dtype != "float32" or options.picture):
        parser.error("--precision is of float32, without a picture")
    if options.precision and not (plain or trains):
        parser.error("--precision is of calls, and bfloat16 of --training")
    if options.every is not None and options.every <= 0:
        parser.error("--every wants more than 0 seconds")
    return options


def compare_derivatives(options: argparse.Namespace) -> int:
    """Run derivatives.py with the options that it has."""
    import derivatives

    passed = ["--threads", str(options.threads), "--only", options.network or ""]
    for option in ("json", "picture"):
        if value := getattr(options, option):
            passed += [f"--{option}", value]
    return derivatives.main(passed)


def measure(
    workers: list[Worker], net: AnyNetwork, batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Compare the answers, then time all runtimes in turns."""
    errors = answers.prepare(workers, net, batch, options.dtype)
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
    narrow = NARROW[options.precision] if options.precision else ()
    cell = cells.judge(net, batch, timings, narrow[0] if narrow else None)
    if narrow:
        cell["errors"] = {name: errors[name] for name in narrow if name in errors}
    if peaks:
        cell["peak_gflops"] = statistics.median(peaks)
    return cell


if __name__ == "__main__":
    sys.exit(main())
