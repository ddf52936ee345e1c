"""Derivatives side by side: laminet, JAX (jit) and PyTorch, from Python, in one run.

    python bench/derivatives.py [--json FILE] [--picture FILE] [--threads N] [--only TEXT]

Three operations: `value_and_jacobian`; `vjp` (of a vector for each sample); `gradients` (of all
weights and biases, and of the input, summed over the batch). Every answer is compared with
laminet.reference in float64 before it is timed.

Each runtime is a process of its own, so that the threads of one do not spin while another is timed.
They take turns, round after round, and the median over the rounds counts. JAX and PyTorch get their
own arrays and keep their own results (no conversion from or to NumPy is timed); laminet takes and
gives NumPy arrays. A call is timed until its results are there.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import block_runtimes
import numpy as np
from blocks import Blocks, Ensemble, Nerf, ResidualMLP
from runtimes import AnyNetwork, Network, make, versions

OPERATIONS = ("value_and_jacobian", "vjp", "gradients")
ROUNDS = 9
SECONDS = 0.03  # of calls in one measurement
PAUSE = 0.02  # before it, in which the threads of the runtime before go to sleep


@dataclass(frozen=True)
class Case:
    """A network and a batch; 1 is a single sample (n,)."""

    net: AnyNetwork
    batch: int

    @property
    def name(self) -> str:
        """Return that of the network."""
        return self.net.name

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the same ones for every runtime."""
        return self.net.weights("float32")

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return samples, and a cotangent for each."""
        lead = () if self.batch == 1 else (self.batch,)
        cotangents = np.random.default_rng(3).standard_normal((*lead, self.net.out_features))
        return self.net.samples(self.batch, "float32"), cotangents.astype("float32")

    @property
    def operations(self) -> tuple[str, ...]:
        """Return what is compared; gradients of parameters only of chains, whose are pairs."""
        return OPERATIONS[:2] if isinstance(self.net, Blocks) else OPERATIONS


CASES = [
    Case(net, batch)
    for net in (
        Network((4, 8, 6, 3), "relu", (1, 256)),
        Network((17, 64, 64, 6), "tanh", (1, 256, 4096)),
        Network((784, 256, 128, 10), "relu", (1, 128)),
        Network((32, 64, 64, 64, 64, 16), "relu", (1, 4096)),
        ResidualMLP((1, 64, 1024)),
        Nerf((1, 64, 1024)),
        Ensemble((1, 64, 1024), 10, (17, 64, 64, 6), "tanh"),
        Ensemble((1, 64, 1024), 2, (23, 256, 256, 1), "relu"),
    )
    for batch in net.batches
]

# A call without arguments that leaves its results ready, and what turns these into NumPy arrays:
# [y, J], [J^T v], or [dW_1, db_1, ..., dX].
Job = tuple[Callable[[], Any], Callable[[Any], list[np.ndarray]]]


def laminet_net(case: Case) -> Any:
    return make("laminet", case.net, "float32", case.batch, None)


def laminet(case: Case, operation: str) -> Job:
    net = laminet_net(case)
    x, v = case.arrays()
    if operation == "value_and_jacobian":
        return lambda: net.value_and_jacobian(x), list
    if operation == "vjp":
        return lambda: net.vjp(x, v), lambda r: [r]

    def arrays(g: Any) -> list[np.ndarray]:
        return [a for pair in zip(g.weights, g.biases, strict=True) for a in pair] + [g.input]

    return lambda: net.gradients(x, v), arrays


def _jax(case: Case, operation: str, mode: str) -> Job:
    import jax
    import jax.numpy as jnp

    x, v = map(jnp.asarray, case.arrays())
    weights: Any
    if isinstance(case.net, Blocks):
        ops = block_runtimes.Jax(batched=True)
        weights = [ops.store(layer) for layer in case.weights()]

        def forward(parameters: Any, a: Any) -> Any:
            y = case.net.compute(ops, parameters, a)
            return y.reshape(-1) if a.ndim == 1 else y

    else:
        weights = [(jnp.asarray(w), jnp.asarray(b)) for w, b in case.weights()]
        activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[case.net.activation]

        def forward(parameters: Any, a: Any) -> Any:
            for i, (w, b) in enumerate(parameters):
                z = a @ w.T + b
                a = z if i + 1 == len(parameters) else activation(z)
            return a

    if operation == "value_and_jacobian":

        def both(a: Any) -> Any:
            y = forward(weights, a)
            return y, y

        jacobian = {"rev": jax.jacrev, "fwd": jax.jacfwd}[mode](both, has_aux=True)
        function = jax.jit(jacobian if x.ndim == 1 else jax.vmap(jacobian))
        call = lambda: jax.block_until_ready(function(x))  # noqa: E731 - one of several forms
        return call, lambda r: [np.asarray(r[1]), np.asarray(r[0])]
    if operation == "vjp":
        vjp = jax.jit(lambda a, c: jax.vjp(lambda t: forward(weights, t), a)[1](c)[0])
        return lambda: vjp(x, v).block_until_ready(), lambda r: [np.asarray(r)]
    gradients = jax.jit(lambda p, a, c: jax.vjp(forward, p, a)[1](c))

    def arrays(result: Any) -> list[np.ndarray]:
        parameters, dx = result
        return [np.asarray(a) for pair in parameters for a in pair] + [np.asarray(dx)]

    return lambda: jax.block_until_ready(gradients(weights, x, v)), arrays


def jax_reverse(case: Case, operation: str) -> Job:
    return _jax(case, operation, "rev")


def jax_forward(case: Case, operation: str) -> Job:
    return _jax(case, operation, "fwd")


def _torch(case: Case, operation: str, mode: str) -> Job:
    import torch

    x, v = map(torch.from_numpy, case.arrays())
    net = _torch_module(case)
    if operation == "value_and_jacobian":
        net.requires_grad_(False)

        def both(a: Any) -> Any:
            y = net(a)
            return y, y

        transform = {"rev": torch.func.jacrev, "fwd": torch.func.jacfwd}[mode]
        jacobian = transform(both, has_aux=True)
        function = jacobian if x.ndim == 1 else torch.func.vmap(jacobian)
        return lambda: function(x), lambda r: [r[1].numpy(), r[0].numpy()]
    x.requires_grad_(True)
    if operation == "vjp":
        net.requires_grad_(False)
        return lambda: torch.autograd.grad(net(x), x, v)[0], lambda r: [r.numpy()]
    wanted = [*net.parameters(), x]
    return lambda: torch.autograd.grad(net(x), wanted, v), lambda r: [a.numpy() for a in r]


def _torch_module(case: Case) -> Any:
    import torch

    if isinstance(case.net, Blocks):
        ops = block_runtimes.Torch(batched=True)
        weights = [ops.store(layer) for layer in case.weights()]

        class Module(torch.nn.Module):
            def forward(self, a: Any) -> Any:
                y = case.net.compute(ops, weights, a)
                return y.reshape(-1) if a.ndim == 1 else y

        return Module()
    layers: list[Any] = []
    for w, b in case.weights():
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w))
            layer.bias.copy_(torch.from_numpy(b))
        layers += [layer, {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[case.net.activation]()]
    return torch.nn.Sequential(*layers[:-1])


def torch_reverse(case: Case, operation: str) -> Job:
    return _torch(case, operation, "rev")


def torch_forward(case: Case, operation: str) -> Job:
    return _torch(case, operation, "fwd")


RUNTIMES: dict[str, Callable[[Case, str], Job]] = {
    "laminet": laminet,
    "jax jacrev": jax_reverse,
    "jax jacfwd": jax_forward,
    "torch jacrev": torch_reverse,
    "torch jacfwd": torch_forward,
}
# What the names mean where no Jacobian is asked for; the others have nothing else to offer there.
NAMES = {"laminet": "laminet", "jax jacrev": "jax", "torch jacrev": "torch"}


def serve(pipe: Any, runtime: str, threads: int) -> None:
    """Prepare, answer and time jobs, until told to stop."""
    if runtime.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    elif runtime == "laminet":
        import laminet as ln

        ln.set_num_threads(threads)
    call: Callable[[], Any] = lambda: None  # noqa: E731 - one of several forms
    number = 1
    while (message := pipe.recv()) is not None:
        if isinstance(message, tuple):
            call, arrays = RUNTIMES[runtime](*message)
            pipe.send(arrays(call()))
            end = time.perf_counter() + SECONDS
            number = 0
            while time.perf_counter() < end or number < 2:
                call()
                number += 1
        else:
            for _ in range(1 + number // 8):  # caches and threads are warm again
                call()
            begin = time.perf_counter()
            for _ in range(number):
                call()
            pipe.send((time.perf_counter() - begin) / number * 1e6)


def exact(case: Case, operation: str) -> list[np.ndarray]:
    """Return the answer in float64."""
    from laminet import reference

    net = laminet_net(case)
    x, v = case.arrays()
    if operation == "value_and_jacobian":
        return [reference.forward(net, x), reference.jacobian(net, x)]
    if isinstance(case.net, Blocks):
        return [np.einsum("...o,...oi->...i", v.astype(float), reference.jacobian(net, x))]
    # In the matrix form, which needs no Jacobian of each sample.
    trace = reference.trace(net, np.atleast_2d(x))
    d = np.atleast_2d(v).astype(float)
    parameters: list[np.ndarray] = []
    for layer, z, a in zip(
        net.layers[::-1], trace.pre_activations[::-1], trace.activations[-2::-1], strict=True
    ):
        d = d * reference.activation_derivative(layer.activation, z)
        parameters = [d.T @ a, d.sum(axis=0), *parameters]
        d = d @ layer.weight.astype(float)
    return [d.reshape(x.shape)] if operation == "vjp" else [*parameters, d.reshape(x.shape)]


def check(name: str, got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Stop where an answer is wrong; float32 sums of up to 4096 terms are good for 1e-4.

    But of one sample in 100: where what goes into a relu is next to 0, rounding decides its slope.
    """
    for a, b in zip(got, expected, strict=True):
        if a.shape != b.shape:
            sys.exit(f"{name}: the answer has shape {a.shape}, not {b.shape}")
        wrong = ~(np.abs(a - b) <= 1e-4 * np.abs(b).max())
        if wrong.reshape(len(a), -1).any(axis=1).mean() > 0.01:
            sys.exit(f"{name}: the answer is wrong")


def measure(workers: dict[str, Any], case: Case, operation: str) -> dict[str, float]:
    """Median microseconds of a call of each runtime, by its name."""
    names = NAMES if operation != "value_and_jacobian" else {name: name for name in workers}
    expected = exact(case, operation)
    for worker in names:
        workers[worker].send((case, operation))
        check(f"{worker}, {case}, {operation}", workers[worker].recv(), expected)
    samples: dict[str, list[float]] = {name: [] for name in names.values()}
    for _ in range(ROUNDS):
        for worker, name in names.items():
            time.sleep(PAUSE)
            workers[worker].send(0)
            samples[name].append(workers[worker].recv())
    return {name: statistics.median(values) for name, values in samples.items()}


def ratios(timings: dict[str, float]) -> dict[str, float]:
    """How many times as long as laminet the best of each peer takes."""
    return {
        peer: min(t for name, t in timings.items() if name.startswith(peer)) / timings["laminet"]
        for peer in ("jax", "torch")
    }


def picture(results: list[dict[str, Any]], file: str, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    all_axes = figure.subplots(1, len(OPERATIONS), sharey=True)
    for axes, operation in zip(all_axes, OPERATIONS, strict=True):
        rows = [r for r in results if r["operation"] == operation]
        places = np.arange(len(rows))
        for shift, peer, color in ((-0.2, "jax", "#4c78a8"), (0.2, "torch", "#e0662c")):
            heights = [ratios(r["microseconds"])[peer] for r in rows]
            axes.bar(places + shift, heights, 0.4, color=color, label=peer)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_title(operation, fontsize=10)
        labels = [f"{r['network']} x {r['batch']}" for r in rows]
        axes.set_xticks(places, labels, rotation=60, ha="right", fontsize=7)
    all_axes[0].set_ylabel("time / laminet's time")
    all_axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(file, dpi=160)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--picture", help="write a picture to this file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="cases and operations whose line has this text")
    parser.add_argument("--chains", action="store_true", help="no networks of blocks")
    parser.add_argument("--laminet", action="store_true", help="laminet alone")
    options = parser.parse_args(arguments)

    chosen = []
    for operation in OPERATIONS:
        for case in CASES:
            if (
                operation in case.operations
                and not (options.chains and isinstance(case.net, Blocks))
                and options.only in f"{operation} {case.name} x {case.batch}"
            ):
                chosen.append((operation, case))
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in ["laminet"] if options.laminet else RUNTIMES:
        here, there = context.Pipe()
        context.Process(target=serve, args=(there, name, options.threads), daemon=True).start()
        workers[name] = here
    if options.laminet:
        NAMES.clear()
        NAMES["laminet"] = "laminet"

    import laminet as ln

    info = ln.build_info()
    title = f"{info['cpu']}, {info['isa']}, {options.threads} threads, float32, medians of {ROUNDS}"
    print(title)
    results = []
    for operation, case in chosen:
        timings = measure(workers, case, operation)
        results.append(
            {
                "operation": operation,
                "network": case.name,
                "activation": case.net.activation,
                "batch": case.batch,
                "microseconds": timings,
            }
        )
        times = "  ".join(f"{name} {t:.2f}" for name, t in timings.items())
        best = "" if options.laminet else f"  {min(ratios(timings).values()):.2f}x"
        print(f"{operation:18} {case.name:24} x {case.batch:<5} {times} us{best}", flush=True)
    for worker in workers.values():
        worker.send(None)
    if not options.laminet:
        for operation in OPERATIONS:
            rows = [r for r in results if r["operation"] == operation]
            least = [min(ratios(r["microseconds"]).values()) for r in rows]
            if least:
                mean = math.exp(statistics.mean(map(math.log, least)))
                print(f"{operation}: at least {min(least):.2f}x, {mean:.2f}x in geometric mean")
    if options.json:
        with open(options.json, "w") as file:
            report = {
                "kind": "derivatives",
                "machine": {"cpu": info["cpu"], "isa": info["isa"]},
                "threads": options.threads,
                "versions": versions(),
                "results": results,
            }
            json.dump(report, file, indent=1)
    if options.picture:
        picture(results, options.picture, title)
    return 0


if __name__ == "__main__":
    sys.exit(main())
