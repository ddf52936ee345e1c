"""How well a network does on data, beside its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import shown
from laminet.core.suggestions import unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.training.targets import Goal

    Array = NDArray[Any]
    #: Of outputs, targets and weights of the samples.
    Metric = Callable[[Array, Array, Array | None], float]

__all__ = ["chosen_metrics"]


def _accuracy_of_classes(outputs: Array, targets: Array, weights: Array | None) -> float:
    """Return the share of samples whose class, the most probable one, is right."""
    right = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return float(np.average(outputs.argmax(axis=1) == right, weights=weights))


def _accuracy_of_labels(outputs: Array, targets: Array, weights: Array | None) -> float:
    """Return the share of samples all of whose labels are right."""
    right = ((outputs > 0) == (targets > 0.5)).all(axis=1)
    return float(np.average(right, weights=weights))


def _r2(outputs: Array, targets: Array, weights: Array | None) -> float:
    """Return the coefficient of determination, the mean of those of all outputs."""
    wide = targets.astype(np.float64)
    residual = np.average((outputs - wide) ** 2, axis=0, weights=weights)
    mean = np.average(wide, axis=0, weights=weights)
    total = np.average((wide - mean) ** 2, axis=0, weights=weights)
    # Of what does not vary there is nothing to explain: 1 where it is met exactly, else 0.
    shares = np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), residual == 0)
    return float(shares.mean())


def _mean_absolute_error(outputs: Array, targets: Array, weights: Array | None) -> float:
    errors = np.abs(outputs - targets.astype(np.float64)).mean(axis=1)
    return float(np.average(errors, weights=weights))


_METRICS: dict[str, Metric] = {
    "accuracy": _accuracy_of_classes,
    "r2": _r2,
    "mean_absolute_error": _mean_absolute_error,
}


def _named(name: str, goal: Goal) -> Metric:
    binary = goal.loss.name == "binary_cross_entropy"
    return _accuracy_of_labels if name == "accuracy" and binary else _METRICS[name]


def _of_user(function: Callable[[Array, Array], float]) -> Metric:
    """Return a metric of what a user's function says: of samples that weigh, read alone."""

    def metric(outputs: Array, targets: Array, weights: Array | None) -> float:
        if weights is not None and not weights.all():
            there = weights > 0
            outputs, targets = outputs[there], targets[there]
        return function(_read_only(outputs), _read_only(targets))

    return metric


def _read_only(array: Array) -> Array:
    """Return a view that cannot be written to: targets may be the user's, or in use after this."""
    view: Array = array.view()
    view.flags.writeable = False
    return view


def chosen_metrics(metrics: Any, goal: Goal, outputs: int) -> dict[str, Metric]:
    """Return metrics by name: those that were asked for, or what the loss is mostly seen with.

    Parameters
    ----------
    metrics : None, str, sequence of str, or mapping of str to callable
        Callables take outputs (batch, out_features), logits for cross entropies, and targets.
    goal : Goal
    outputs : int

    Raises
    ------
    ValueError
        If there is no metric of such a name, or it is not for this loss.
    TypeError
        If it is none of these.
    """
    of_classes = goal.loss.name in ("cross_entropy", "binary_cross_entropy")
    one_each = goal.loss.num_targets(outputs) == outputs
    if metrics is None:
        names: Sequence[Any] = ["accuracy"] if of_classes else ["r2"] if one_each else []
        if goal.loss.name == "poisson":
            names = []
        return {name: _named(name, goal) for name in names}
    if isinstance(metrics, Mapping):
        for name, function in metrics.items():
            if not isinstance(name, str):
                raise TypeError(f"metrics must have names as keys, got {shown(name)}")
            if not callable(function):
                raise TypeError(
                    f"metrics[{name!r}] must be callable, got {type(function).__name__}"
                )
        return {name: _of_user(function) for name, function in metrics.items()}
    names = [metrics] if isinstance(metrics, str) else metrics
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"metrics must be names or a dict of callables, got {shown(metrics)}")
    for name in names:
        if name not in _METRICS:
            expected = f"one of {', '.join(_METRICS)}, or a dict of callables"
            raise ValueError(unknown_name("metric", name, _METRICS, expected=expected))
        if (name == "accuracy") != of_classes:
            raise ValueError(f"the metric {name!r} is not for the loss {goal.loss.name}")
    return {name: _named(name, goal) for name in names}
