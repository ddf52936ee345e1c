"""bench/peers.py --training: microseconds of a step of Adam with a mini-batch.

A step gathers a batch of shuffled samples, goes forward, takes the loss, goes backward, and updates
all parameters. laminet makes epochs with `Trainer.epoch`; PyTorch steps, eagerly and with
`torch.compile`, with its fused Adam; JAX an epoch in one `jit`, a `lax.scan`; scikit-learn an epoch
by `partial_fit`. Each turn begins with the initial parameters.

Before anything is timed, the loss of the first step and the parameters after ten are compared with
`laminet.reference.training_step`, in float64. The roof of a step is its arithmetic at the measured
FMA peak, and after it Adam: parameters, gradients and two moments read and all but the gradients
written, 28 bytes a parameter in float32, at the bandwidth of the cache that holds the four.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import Any

import cells
import commandline
import numpy as np
from runtimes import NARROW
from tasks import CHECKED_STEPS, LEARNING_RATE, TASKS, Task, Weights
from training_runtimes import Training
from workers import REST, Worker, fma_peak, series, summary

#: By how much of a parameter array's way from the start a runtime may be off. Those that are right
#: are by up to 3e-3 in float32: Adam's first steps have the length of the learning rate whatever
#: the gradient, so that rounding decides which way the parameters of the least ones go. A second
#: moment that forgets ten times as fast is 2e-3 off, which float64 alone tells apart.
BOUNDS = {"float32": 0.01, "float64": 1e-3}

#: The same of products of bfloat16, and of the loss of the first step: numbers are 2^-9 off.
BOUND_OF_BFLOAT16 = 0.3
LOSS_OF_BFLOAT16 = 2.0**-7


def compare(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    report = commandline.begin("training", options.threads, options.dtype)
    report["machine"] = commandline.machine()
    names = commandline.chosen_to_train(options)
    chosen = commandline.chosen_cells(TASKS, options)
    workers = [commandline.start_worker(n, options, options.threads, options.dtype) for n in names]
    report["cells"] = []
    print(heading(names))
    for task, batch in chosen:
        assert isinstance(task, Task)
        cell = measure(workers, task, batch, options, report["machine"])
        report["cells"].append(cell)
        print(line(cell, names), flush=True)
    for worker in workers:
        worker.close()
    cells.conclude(report)
    commandline.end(report, options)
    if options.picture:
        from training_picture import draw

        draw(report, options.picture)
    return 0


def measure(
    workers: list[Worker],
    task: Task,
    batch: int,
    options: argparse.Namespace,
    machine: dict[str, Any],
) -> dict[str, Any]:
    """Compare the first steps, then time all runtimes in turns."""
    expected = reference(task, batch, options.dtype)
    errors = {}
    for worker in workers:
        worker.prepare(task, batch)
        found = worker.run(first_steps)
        errors[worker.runtime] = check(found, expected, task, options.dtype, worker.runtime)
    samples: dict[str, list[float]] = {worker.runtime: [] for worker in workers}
    peaks = []
    for _ in range(options.rounds):
        for worker in workers:
            time.sleep(REST)
            samples[worker.runtime] += worker.run(step_series, options.seconds)
            if worker.runtime == "laminet":
                peaks.append(worker.run(fma_peak, options.threads, options.seconds))
    timings = {name: summary(values) for name, values in samples.items()}
    narrow = NARROW[options.precision][0] if options.precision else None
    cell = cells.judge(task, batch, timings, narrow) | {
        "loss": task.loss,
        "parameters": task.parameters,
        "steps": task.steps(batch),
        "errors": errors,
    }
    if peaks:
        cell["peak_gflops"] = statistics.median(peaks)
        cell["adam_level"], rate = bandwidth(machine, task, options.threads, options.dtype)
        cell["adam_gb_s"] = rate
        size = np.dtype(options.dtype).itemsize
        arithmetic = cell["flops"] / cell["peak_gflops"] / 1e3
        cell["roof_us"] = arithmetic + 7 * size * task.parameters / rate / 1e3
        cell["share"] = cell["roof_us"] / timings["laminet"].median_us
    return cell


def first_steps(training: Training, _x: np.ndarray) -> tuple[float, Weights]:
    """Return the loss of the first step and the parameters after ten."""
    return training.first_steps()


def step_series(training: Training, x: np.ndarray, seconds: float) -> list[float]:
    """Microseconds a step, from the initial parameters on."""
    # Gradients of a network that has learnt its samples by heart would be denormal numbers.
    training.reset()
    return [us / training.steps for us in series(training, x, seconds)]


def reference(task: Task, batch: int, dtype: str) -> tuple[float, Weights]:
    """Return the loss of the first step and the parameters after ten, in float64."""
    import laminet as ln

    last = len(task.sizes) - 2
    net = ln.MLP(
        [
            ln.Dense(w, b, "identity" if i == last else task.activation)
            for i, (w, b) in enumerate(task.weights(dtype))
        ]
    )
    x, y = task.samples(batch, dtype), task.targets(batch, dtype)
    adam = ln.optim.Adam(LEARNING_RATE)
    state, losses = None, []
    for rows in task.checked(batch):
        net, state, loss = ln.reference.training_step(net, x[rows], y[rows], task.loss, adam, state)
        losses.append(loss)
    layers: Any = net.layers
    return losses[0], [(layer.weight, layer.bias) for layer in layers]


def check(
    found: tuple[float, Weights],
    expected: tuple[float, Weights],
    task: Task,
    dtype: str,
    runtime: str,
) -> dict[str, float]:
    """End the run in words if a runtime learns something else; return how far off it is.

    Of the parameters the way from the start counts, array by array: the norm of what is wrong with
    it over its own.
    """
    narrow = runtime == NARROW["bfloat16"][0]
    loss = abs(found[0] - expected[0]) / abs(expected[0])
    if not loss <= (LOSS_OF_BFLOAT16 if narrow else 100 * np.finfo(dtype).eps):
        raise SystemExit(f"{runtime} has another loss on {task.name}: {loss:.2e} off")
    worst = 0.0
    arrays = [
        itertools.chain.from_iterable(w) for w in (found[1], expected[1], task.weights(dtype))
    ]
    for got, right, start in zip(*arrays, strict=True):
        if got.shape != right.shape:
            raise SystemExit(f"{runtime} is wrong on {task.name}: {got.shape}, not {right.shape}")
        way = np.linalg.norm(right - start)
        worst = max(worst, float(np.linalg.norm(got - right) / way))
    if not worst <= (BOUND_OF_BFLOAT16 if narrow else BOUNDS[dtype]):
        raise SystemExit(
            f"{runtime} is wrong on {task.name}: after {CHECKED_STEPS} steps the parameters are "
            f"{worst:.2e} of their way off"
        )
    return {"loss": loss, "parameters": worst}


def bandwidth(machine: dict[str, Any], task: Task, threads: int, dtype: str) -> tuple[str, float]:
    """Return the level that holds parameters, gradients and both moments, and its GB/s."""
    size = 4 * np.dtype(dtype).itemsize * task.parameters
    level = "DRAM"
    for cache in machine["caches"]:
        if size <= cache["bytes"] * (threads if cache["shared_by"] == 1 else 1):
            level = f"L{cache['level']}"
            break
    which = "one_thread" if threads == 1 else "all_threads"
    return level, float(machine["bandwidth_gb_s"][level][which])


def heading(names: list[str]) -> str:
    """Return what stands above `line`."""
    title = "microseconds a step (median)"
    return f"{title:36}" + "".join(f"{n:>18}" for n in names) + "   ratio   of roof"


def line(cell: dict[str, Any], names: list[str]) -> str:
    """One row of the table."""
    text = f"{cell['network']:28}{cell['batch']:>7,} "
    text += "".join(f"{cell['us'][n]['median_us']:>18.2f}" for n in names)
    if "ratio" in cell:
        text += f"{cell['ratio']:>8.2f}"
    if "share" in cell:
        text += f"{100 * cell['share']:>8.0f} %"
    if "narrow_ratio" in cell:
        text += f"   float32/bfloat16 {cell['narrow_ratio']:.3f}"
    if "other_ratio" in cell:
        text += f"   other/this {cell['other_ratio']:.3f}"
    return text
