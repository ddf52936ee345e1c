"""What `fit` learns from, and what it holds out."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.training.held_out import held_out_rows
from laminet.training.samples import (
    as_sample_weight,
    as_samples,
    refuse_not_finite,
    require_rows,
    within_range,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.training.targets import Goal

    Array = NDArray[Any]

__all__ = ["Data", "prepared"]


@dataclass(frozen=True)
class Data:
    """Samples as the core takes them.

    Attributes
    ----------
    x : ndarray of shape (batch, in_features)
    y : ndarray of shape (batch, targets), or (batch,) for classes
    weights : ndarray of shape (batch,), or None
    validation : Data or None
        What is held out.
    """

    x: Array
    y: Array
    weights: Array | None
    validation: Data | None = None

    def rows(self, chosen: Array) -> Data:
        """Return some of the rows."""
        return Data(
            self.x[chosen], self.y[chosen], None if self.weights is None else self.weights[chosen]
        )


def prepared(
    net: MLP, goal: Goal, X: Any, y: Any, sample_weight: Any, validation: Any, seed: int
) -> Data:
    """Return all data, checked: finite, and of the shapes that the network takes.

    Raises
    ------
    ValueError
        If something is not, or nothing is left to learn from, or to validate with.
    TypeError
        If something is no real number.
    """
    data = _taken(net, goal, X, y, sample_weight, "")
    if validation is None:
        return data
    if isinstance(validation, (tuple, list)):
        if len(validation) not in (2, 3):
            raise ValueError(
                "validation must be a fraction, (X, y) or (X, y, sample_weight), got a "
                f"{type(validation).__name__} of {len(validation)}"
            )
        weights = validation[2] if len(validation) == 3 else None
        held_out = _taken(net, goal, validation[0], validation[1], weights, "validation ")
        return replace(data, validation=held_out)
    classes = data.y if data.y.ndim == 1 else None
    if classes is None and goal.loss.name == "binary_cross_entropy" and data.y.shape[1] == 1:
        classes = data.y[:, 0]
    there = np.arange(len(data.x)) if data.weights is None else np.flatnonzero(data.weights > 0)
    own = None if classes is None else classes[there]
    rows = there[held_out_rows(validation, len(there), own, seed)]
    held_out = data.rows(rows)
    if _lies_in_a_file(data.x):
        # The rest of a file stays where it is: what is held out is as if it were not there.
        weights = np.ones(len(data.x)) if data.weights is None else data.weights.copy()
        weights[rows] = 0
        return Data(data.x, data.y, weights, held_out)
    rest = np.ones(len(data.x), bool)
    rest[rows] = False
    return replace(data.rows(rest), validation=held_out)


def _lies_in_a_file(array: Any) -> bool:
    """Whether the memory is a file's: of an array, a view of one, or a buffer behind it."""
    while array is not None:
        if isinstance(array, mmap.mmap):
            return True
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return False


def _taken(net: MLP, goal: Goal, X: Any, y: Any, sample_weight: Any, what: str) -> Data:
    x = as_samples(net, X, f"{what}X")
    refuse_not_finite(x, X, f"{what}X")
    targets = goal.targets(y, f"{what}y")
    require_rows(targets, len(x), f"{what}y", f"{what}X")
    weights = as_sample_weight(sample_weight, len(x), f"{what}sample_weight")
    return Data(x, targets, None if weights is None else within_range(weights))
