"""Optimisers that look at all samples in every iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.dropout import drops
from laminet.core.parameters import by_kind, by_name, parameters
from laminet.optim import LBFGS, LevenbergMarquardt
from laminet.optim.first_order import SGD
from laminet.training.errors import TrainingError
from laminet.training.least_squares import LeastSquaresRun
from laminet.training.trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.optim import Optimizer
    from laminet.training.targets import Goal

__all__ = ["fit_full_batch"]


def fit_full_batch(run: Any, net: MLP, goal: Goal, method: Optimizer, epochs: int) -> None:
    """Make iterations until the run ends or nothing is to be gained; an iteration is an epoch."""
    if drops(net.layers):
        raise ValueError(
            f"{type(method).__name__} is for a loss that stays the same, and the network has "
            "Dropout, by which it is another at each look: take ln.optim.AdamW or another that "
            "makes steps"
        )
    if isinstance(method, LBFGS):
        _lbfgs(run, net, goal, method, min(epochs, method.max_iterations))
    elif isinstance(method, LevenbergMarquardt):
        _least_squares(run, net, goal, method, min(epochs, method.max_iterations))
    else:
        raise TypeError(f"optimizer must be another one, ln.fit has no {method!r}")


class _EndedError(Exception):
    """The run is over: a way out of the loop of every version of SciPy."""


def _lbfgs(run: Any, net: MLP, goal: Goal, method: LBFGS, iterations: int) -> None:
    try:
        from scipy.optimize import minimize
    except ImportError as missing:
        raise ImportError(
            "LBFGS needs SciPy, which is not installed: pip install scipy"
        ) from missing

    trainer = Trainer(net, goal.loss, SGD(1.0), class_weight=goal.class_weight, seed=0)
    places = trainer._trained._places
    known = parameters(trainer._trained)
    ends = np.cumsum([value.size for value in known.values()])
    decayed = np.concatenate(
        [
            np.full(value.size, method.weight_decay if method.decays(value.ndim) else 0.0)
            for value in known.values()
        ]
    )
    data = run.data
    weights = goal.weights(data.y, data.weights)
    last: dict[str, Any] = {"flat": np.empty(0), "loss": np.inf}

    def flattened(arrays: Any) -> NDArray[np.float64]:
        found = by_name(arrays, places)
        return np.concatenate([np.asarray(found[name], np.float64).ravel() for name in known])

    def assign(flat: NDArray[np.float64]) -> None:
        parts = zip(known.items(), np.split(flat, ends[:-1]), strict=True)
        named = {name: part.reshape(v.shape).astype(v.dtype) for (name, v), part in parts}
        trainer._core.assign("parameters", by_kind(named, places))

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        assign(flat)
        loss, arrays = trainer._core.value_and_gradients(data.x, data.y, weights)
        last["flat"], last["loss"] = flat.copy(), loss
        decay = 0.5 * float(decayed @ flat**2)
        return loss + decay, flattened(arrays) + decayed * flat

    def over(flat: NDArray[np.float64]) -> None:
        if not np.array_equal(flat, last["flat"]):
            value(flat)
        assign(flat)
        if _note(run, trainer, goal, float(last["loss"])):
            raise _EndedError

    start = flattened(trainer._core.arrays("parameters"))
    if not np.isfinite(value(start)[0]):
        error = TrainingError("the loss is not finite at the start: use smaller weights or inputs")
        raise run.diverged(error, net)
    try:
        result = minimize(
            value,
            start,
            method="L-BFGS-B",
            jac=True,
            callback=over,
            options={
                "maxiter": iterations,
                "maxcor": method.history,
                "gtol": method.tolerance_gradient,
                "ftol": method.tolerance_change,
                "maxfun": 20 * iterations,
            },
        )
    except _EndedError:
        return
    except KeyboardInterrupt:  # where the trainer is at a point of a line search
        run.interrupted(lambda: net)
        return
    if not run.rows:  # nothing was to be gained from the start
        assign(start)
        _note(run, trainer, goal, float(last["loss"]))
    # 1 is SciPy's for a limit; else it is at its end, or finds no smaller loss along its line.
    run.stopped = "iterations" if result.status == 1 else "stalled"
    if result.success:
        run.stopped = "converged"


def _note(run: Any, trainer: Trainer, goal: Goal, loss: float) -> bool:
    """Take note of an iteration; whether the run is over."""
    after = None
    if (held_out := run.data.validation) is not None:
        weights = goal.weights(held_out.y, held_out.weights)
        after = trainer._loss(held_out.x, held_out.y, weights)

    def kept() -> Any:
        arrays = trainer._arrays()
        return lambda: trainer._network(arrays)

    arrays = trainer._arrays()
    over: bool = run.over(
        loss, after, 1.0, lambda: trainer._network(arrays), kept, trainer._outputs
    )
    return over


def _least_squares(
    run: Any, net: MLP, goal: Goal, method: LevenbergMarquardt, iterations: int
) -> None:
    if goal.loss.name != "squared_error":
        raise ValueError(
            f"LevenbergMarquardt is for squared_error alone, and the loss is {goal.loss.name}"
        )
    data, held_out = run.data, run.data.validation
    steps = LeastSquaresRun(net, data.x, data.y, method, data.weights)
    if not np.isfinite(steps.loss):
        error = TrainingError("the loss is not finite at the start: use smaller weights or inputs")
        raise run.diverged(error, net)
    try:
        while len(run.rows) < iterations:
            made = steps.run(1)
            if steps.stopped == "not_finite":
                error = TrainingError(
                    "a derivative or its square is too large for a float64, and the loss is not: "
                    "try inputs and targets of a scale near 1",
                    epoch=len(run.rows) + 1,
                )
                raise run.diverged(error, net)
            if len(made) == 0 and run.rows:
                break
            now = steps.network()
            after = None if held_out is None else _mean_square(now, held_out)
            if run.over(float(steps.loss), after, 1.0, *_networks(now)):
                return
            if steps.stopped is not None:
                break
    except KeyboardInterrupt:
        run.interrupted(steps.network)
        return
    run.stopped = "iterations" if steps.stopped is None else "converged"


def _networks(net: MLP) -> tuple[Any, Any, Any]:
    """Return what gives a network, what keeps it, and what gives its outputs."""
    return lambda: net, lambda: lambda: net, net


def _mean_square(net: MLP, data: Any) -> float:
    """Return the mean squared error, by the weights."""
    errors = ((net(data.x) - data.y.astype(np.float64)) ** 2).mean(axis=1)
    return float(np.average(errors, weights=data.weights))
