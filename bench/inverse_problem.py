"""The worked example of docs/how-to/scipy-optimize.md, timed: a surrogate in least_squares.

    python bench/inverse_problem.py

Which inputs give these outputs? The network is 17-64-64-6 with tanh; SciPy asks for residuals and
their Jacobian at each step. The same problem is solved with laminet, with torch.func.jacrev, with
jax.jit of jacrev, and with SciPy's finite differences of laminet. All solutions must be one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import least_squares

import laminet as ln

ROUNDS = 15


def problem() -> tuple[ln.MLP, np.ndarray, np.ndarray]:
    """Return the surrogate, where to begin, and the outputs to be reached."""
    net = ln.MLP.init([17, 64, 64, 6], "tanh", dtype="float64", seed=0)
    rng = np.random.default_rng(1)
    return net, np.zeros(17), net(rng.uniform(-1, 1, 17))


def solve(value: Callable[..., Any], jacobian: Any, start: np.ndarray) -> Any:
    return least_squares(value, start, jac=jacobian, bounds=(-1, 1))


def solvers() -> dict[str, Callable[[], Any]]:
    """Return a call for each way, of the same problem."""
    import jax
    import torch

    net, start, target = problem()
    torch.set_num_threads(1)
    jax.config.update("jax_enable_x64", True)

    layers: list[Any] = []
    for layer in net.layers:
        linear = torch.nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight.copy()))
            linear.bias.copy_(torch.from_numpy(layer.bias.copy()))
        layers += [linear, torch.nn.Tanh()]
    module = torch.nn.Sequential(*layers[:-1]).requires_grad_(False)
    torch_jacobian = torch.func.jacrev(module)

    weights = [(layer.weight, layer.bias) for layer in net.layers]

    @jax.jit
    def jax_net(a: Any) -> Any:
        for i, (w, b) in enumerate(weights):
            a = w @ a + b if i == 2 else jax.numpy.tanh(w @ a + b)
        return a

    jax_jacobian = jax.jit(jax.jacrev(jax_net))
    return {
        "laminet": lambda: solve(lambda x: net(x) - target, net.jacobian, start),
        "jax.jit": lambda: solve(
            lambda x: np.asarray(jax_net(x)) - target,
            lambda x: np.asarray(jax_jacobian(x)),
            start,
        ),
        "torch.func": lambda: solve(
            lambda x: module(torch.from_numpy(x)).numpy() - target,
            lambda x: torch_jacobian(torch.from_numpy(x)).numpy(),
            start,
        ),
        "finite differences": lambda: solve(lambda x: net(x) - target, "2-point", start),
    }


def main() -> int:
    calls = solvers()
    times: dict[str, list[float]] = {name: [] for name in calls}
    results = {name: call() for name, call in calls.items()}
    _, _, target = problem()
    for name, result in results.items():
        if not np.abs(result.fun).max() < 1e-6 * np.abs(target).max():
            sys.exit(f"{name}: not solved")
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    for name, samples in times.items():
        result = results[name]
        print(
            f"{name:20} {statistics.median(samples) * 1e3:7.2f} ms  "
            f"{result.nfev} evaluations, {result.njev} Jacobians"
        )
    # What SciPy itself takes is in all of them; this is what the network takes.
    net, start, target = problem()
    begin = time.perf_counter()
    for _ in range(1000):
        net(start)
        net.jacobian(start)
    print(f"network and Jacobian alone, laminet: {(time.perf_counter() - begin) * 1e3:.2f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
