"""Samples that come in, and the weights that they have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion import as_real_array, real_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.mlp import MLP

__all__ = ["as_sample_weight", "as_samples", "refuse_not_finite", "require_rows", "within_range"]

_FLOAT64 = np.dtype(np.float64)
# Numbers that are looked at at once: of a file that is larger than memory, by and by.
_AT_ONCE = 2**22
# Between these, sums of weights and products of two are numbers.
_SMALLEST, _LARGEST = 1e-100, 1e100


def as_samples(net: MLP, X: ArrayLike, name: str = "X") -> NDArray[Any]:
    """Return samples as an array of a network's dtype, not a copy where none is needed.

    Raises
    ------
    ValueError
        If the shape is wrong, there is no sample, or names of features differ.
    TypeError
        If they are no real numbers.
    """
    if type(X) is np.ndarray and X.dtype == net.dtype and X.dtype.isnative and X.flags.aligned:
        array: NDArray[Any] = X
    else:
        array = as_real_array(X, net.dtype, name, net.feature_names)
    if array.ndim != 2 or array.shape[1] != net.in_features:
        raise ValueError(
            f"{name} must have shape (batch, {net.in_features}), got shape {array.shape}"
        )
    if len(array) == 0:
        raise ValueError(f"{name} has no samples")
    return array


def require_rows(array: Any, rows: int, name: str, other: str = "X") -> None:
    """Raise a ValueError unless there is one for each sample."""
    if len(array) != rows:
        raise ValueError(f"{name} has {len(array)} rows, and {other} has {rows}")


def as_sample_weight(
    value: ArrayLike | None, rows: int, name: str = "sample_weight", some: bool = True
) -> NDArray[np.float64] | None:
    """Return weights of samples, finite, at least 0, and `some` above it; None for None."""
    if value is None:
        return None
    weights = as_real_array(value, _FLOAT64, name)
    if weights.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), got shape {weights.shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"{name} must be finite and at least 0: {name}[{i}] is {weights[i]:g}")
    if some and not weights.any():
        use = "validate with" if name.startswith("validation") else "learn from"
        raise ValueError(f"{name} is 0 for all samples: there is nothing to {use}")
    return weights


def within_range(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights whose sums, and products with others, are numbers; not all are 0.

    Means go by what weights have to each other, which a power of two leaves as it is.
    """
    largest = float(weights.max())
    if _SMALLEST < largest < _LARGEST:
        return weights
    return np.ldexp(weights, -math.frexp(largest)[1])


def refuse_not_finite(array: NDArray[Any], given: Any, name: str) -> None:
    """Raise a ValueError that names the first row with a number that is none.

    `given` is what the user gave: what is finite there is too large for the network's dtype.
    """
    rows = max(1, _AT_ONCE // max(1, array.shape[1]))
    for first in range(0, len(array), rows):
        fine = np.isfinite(array[first : first + rows])
        if fine.all():
            continue
        row, column = (int(i) for i in np.argwhere(~fine)[0])
        value = array[first + row, column]
        what = "NaN" if np.isnan(value) else "an infinity"
        if np.isinf(value) and np.isfinite(real_array(given, name)[first + row, column]):
            what = f"a number that is too large for {array.dtype}"
        raise ValueError(f"{name} must be finite: row {first + row} holds {what} (column {column})")
