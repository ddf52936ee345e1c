"""Small regression networks: how soon each method reaches an error, side by side in one run.

    python bench/least_squares.py [--seconds 20] [--starts 3] [--json FILE]

laminet's Levenberg-Marquardt against Adam and L-BFGS of PyTorch, SciPy's L-BFGS with laminet's
gradients, scikit-learn's MLPRegressor (L-BFGS), and SciPy's least_squares with an analytic Jacobian
in NumPy. Full batches, float64, the same starts (scikit-learn draws its own). Each method is a
process of its own, and gets as long as `--seconds` says; the clock runs while it computes, and
stands while an error is noted. Adam has the learning rate that serves it best. A table for each
case has the median over the starts of the seconds to an error (mean squared, on the samples).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

#: Network, rows, errors to be reached. The function is not noisy: the errors can be.
CASES = [
    ((1, 5, 1), 200, (1e-3, 1e-4, 1e-5)),
    ((1, 5, 1), 2_000, (1e-3, 1e-4, 1e-5)),
    ((10, 50, 1), 2_000, (1e-2, 1e-3, 1e-4)),
    ((10, 50, 1), 20_000, (1e-2, 1e-3, 1e-4)),
]
RATES = (3e-2, 1e-2, 3e-3)


def problem(sizes: tuple[int, ...], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and their targets: a sine of each input and of their mean."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (rows, sizes[0]))
    return x, np.sin(3 * x).mean(axis=1, keepdims=True) + np.sin(3 * x.mean(axis=1, keepdims=True))


class Late(Exception):  # noqa: N818 - no error: it ends a run
    """The time is over, or the last error has been reached."""


class Clock:
    """Notes when which error was reached."""

    def __init__(self, seconds: float, last: float) -> None:
        self.seconds, self.last = seconds, last
        self.curve: list[tuple[float, float]] = []
        self.stood = 0.0
        self.begin = time.perf_counter()

    def note(self, loss: Callable[[], float] | float) -> None:
        now = time.perf_counter()
        value = float(loss() if callable(loss) else loss)
        self.curve.append((now - self.begin - self.stood, value))
        if value <= self.last or self.curve[-1][0] > self.seconds:
            raise Late
        self.stood += time.perf_counter() - now


def start(sizes: tuple[int, ...], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((m, n)) / np.sqrt(n), 0.1 * rng.standard_normal(m))
        for n, m in pairwise(sizes)
    ]


def network(sizes: tuple[int, ...], seed: int) -> Any:
    import laminet as ln

    layers = start(sizes, seed)
    last = len(layers) - 1
    return ln.MLP(
        [ln.Dense(w, b, "identity" if i == last else "tanh") for i, (w, b) in enumerate(layers)]
    )


def run_laminet(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int) -> None:
    import laminet as ln
    from laminet.training.least_squares import least_squares

    x, y = problem(sizes, rows)
    net = network(sizes, seed)
    method = ln.optim.LevenbergMarquardt(100_000, tolerance_gradient=0, tolerance_change=0)
    clock.begin = time.perf_counter()
    least_squares(net, x, y, method, on_iteration=lambda run: clock.note(run.loss))


def torch_module(sizes: tuple[int, ...], seed: int) -> Any:
    import torch

    layers: list[Any] = []
    for w, b in start(sizes, seed):
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def run_adam(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int, rate: float) -> None:
    import torch

    x, y = map(torch.from_numpy, problem(sizes, rows))
    module = torch_module(sizes, seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate, fused=True)
    mse = torch.nn.MSELoss()
    clock.begin = time.perf_counter()
    while True:
        optimizer.zero_grad()
        loss = mse(module(x), y)
        clock.note(loss.item())
        loss.backward()
        optimizer.step()


def run_torch_lbfgs(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int) -> None:
    import torch

    x, y = map(torch.from_numpy, problem(sizes, rows))
    module = torch_module(sizes, seed)
    optimizer = torch.optim.LBFGS(
        module.parameters(),
        max_iter=100_000,
        max_eval=10**9,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )
    mse = torch.nn.MSELoss()

    def closure() -> Any:
        optimizer.zero_grad()
        loss = mse(module(x), y)
        clock.note(loss.item())
        loss.backward()
        return loss

    clock.begin = time.perf_counter()
    optimizer.step(closure)


def run_scipy_lbfgs(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int) -> None:
    """Value and gradient from laminet: a network anew for each, as its numbers never change."""
    import scipy.optimize

    import laminet as ln

    x, y = problem(sizes, rows)
    shapes = [p.shape for layer in start(sizes, seed) for p in layer]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        arrays = [p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True)]
        last = len(arrays) - 2
        net = ln.MLP(
            [
                ln.Dense(arrays[i], arrays[i + 1], "identity" if i == last else "tanh")
                for i in range(0, len(arrays), 2)
            ]
        )
        error = net(x) - y
        loss = float((error * error).mean())
        clock.note(loss)
        found = net.gradients(x, 2 / error.size * error)
        pairs = zip(found.weights, found.biases, strict=True)
        return loss, np.concatenate([g.ravel() for pair in pairs for g in pair])

    flat = np.concatenate([p.ravel() for layer in start(sizes, seed) for p in layer])
    options = {"maxiter": 10**6, "maxfun": 10**9, "maxcor": 20, "ftol": 0, "gtol": 0}
    clock.begin = time.perf_counter()
    scipy.optimize.minimize(value, flat, jac=True, method="L-BFGS-B", options=options)


def run_sklearn(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int) -> None:
    import warnings

    from sklearn.neural_network import MLPRegressor

    class Noted(MLPRegressor):
        def _loss_grad_lbfgs(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._loss_grad_lbfgs(*args, **kwargs)
            clock.note(2 * found[0])  # it takes half the squares
            return found

    x, y = problem(sizes, rows)
    model = Noted(
        hidden_layer_sizes=sizes[1:-1],
        activation="tanh",
        solver="lbfgs",
        alpha=0,
        max_iter=10**6,
        max_fun=10**9,
        tol=1e-30,
        random_state=seed,
    )
    warnings.simplefilter("ignore")
    clock.begin = time.perf_counter()
    model.fit(x, y.ravel())


def run_scipy_lm(clock: Clock, sizes: tuple[int, ...], rows: int, seed: int) -> None:
    """MINPACK's, with the Jacobian of a network of one hidden layer and one output in NumPy."""
    import scipy.optimize

    x, y = problem(sizes, rows)
    n, m, _ = sizes

    def split(flat: np.ndarray) -> tuple[np.ndarray, ...]:
        w, b = flat[: n * m].reshape(m, n), flat[n * m : n * m + m]
        return w, b, flat[n * m + m : -1], flat[-1]

    def residuals(flat: np.ndarray) -> np.ndarray:
        w, b, v, c = split(flat)
        r: np.ndarray = np.tanh(x @ w.T + b) @ v + c - y[:, 0]
        clock.note(lambda: (r @ r) / rows)
        return r

    def jacobian(flat: np.ndarray) -> np.ndarray:
        w, b, v, _ = split(flat)
        h = np.tanh(x @ w.T + b)
        d = (1 - h * h) * v
        of_weights = (d[:, :, None] * x[:, None, :]).reshape(rows, -1)
        return np.hstack([of_weights, d, h, np.ones((rows, 1))])

    flat = np.concatenate([p.ravel() for layer in start(sizes, seed) for p in layer])
    clock.begin = time.perf_counter()
    scipy.optimize.least_squares(
        residuals, flat, jacobian, method="lm", ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=10**6
    )


METHODS: dict[str, Callable[..., None]] = {
    "laminet, Levenberg-Marquardt": run_laminet,
    "PyTorch, Adam": run_adam,
    "PyTorch, L-BFGS": run_torch_lbfgs,
    "SciPy L-BFGS, laminet's gradients": run_scipy_lbfgs,
    "scikit-learn, L-BFGS": run_sklearn,
    "SciPy least_squares (MINPACK)": run_scipy_lm,
}


def curve(
    name: str, sizes: tuple[int, ...], rows: int, seed: int, last: float, seconds: float, *more: Any
) -> list[tuple[float, float]]:
    """Return seconds and errors of one run, in a process that has nothing else."""
    # Once before, for what is made at first need: imports, memory, threads.
    for limit in (min(0.3, seconds), seconds):
        clock = Clock(limit, last)
        with contextlib.suppress(Late):
            METHODS[name](clock, sizes, rows, seed, *more)
    return clock.curve


def reached(found: list[tuple[float, float]], error: float) -> float:
    return next((seconds for seconds, loss in found if loss <= error), np.inf)


def in_process(*args: Any) -> list[tuple[float, float]]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(curve, args)


def measure(sizes: tuple[int, ...], rows: int, levels: tuple[float, ...], options: Any) -> Any:
    """Return for each method the median seconds to each error."""
    times: dict[str, list[float]] = {}
    runs: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for seed in range(options.starts):
        for name in METHODS:
            more: list[tuple[Any, ...]] = [()]
            if name == "PyTorch, Adam":
                more = [(rate,) for rate in RATES]
            found = [
                in_process(name, sizes, rows, seed, levels[-1], options.seconds, *one)
                for one in more
            ]
            runs[name].append([min(reached(f, level) for f in found) for level in levels])
    for name, of in runs.items():
        times[name] = [statistics.median(one) for one in zip(*of, strict=True)]
    return times


def table(sizes: tuple[int, ...], rows: int, levels: tuple[float, ...], times: Any) -> str:
    own = times["laminet, Levenberg-Marquardt"]
    head = [f"{'-'.join(map(str, sizes))}, {rows:,} rows: seconds to an error of"]
    head += [f"{level:g}" for level in levels]
    lines = [head]
    for name, of in times.items():
        line = [name]
        for seconds, ours in zip(of, own, strict=True):
            if np.isinf(seconds):
                line.append("-")
            else:
                line.append(f"{seconds:.3g} ({seconds / ours:.3g}x)")
        lines.append(line)
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([body[0], "|---|" + "---:|" * len(levels), *body[1:]]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # What slows the OpenBLAS of NumPy and SciPy down.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    cells = []
    for sizes, rows, levels in CASES:
        times = measure(sizes, rows, levels, options)
        print(table(sizes, rows, levels, times), flush=True)
        cells.append({"network": sizes, "rows": rows, "levels": levels, "seconds": times})
    if options.json:
        options.json.write_text(json.dumps({"kind": "least squares", "cells": cells}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
