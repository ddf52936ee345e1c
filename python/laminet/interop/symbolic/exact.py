"""What is folded into weights and biases: multiplied out in float64, and nothing lost on the way.

A model may hold infinities, which show in its answers; one that comes out of finite numbers would
show in ours alone, and is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["applied", "as_wide", "batch_norm", "composed", "product", "scattered", "total"]

Array = NDArray[Any]


def product(a: Array, b: Array) -> Array:
    """Return ``a * b``."""
    with np.errstate(all="ignore"):
        result: Array = a.astype(np.float64) * b
    return _not_lost(result, np.isfinite(a) & np.isfinite(b))


def total(a: Array, b: Array) -> Array:
    """Return ``a + b``."""
    with np.errstate(all="ignore"):
        result: Array = a.astype(np.float64) + b
    return _not_lost(result, np.isfinite(a) & np.isfinite(b))


def applied(weight: Array, vector: Array) -> Array:
    """Return ``W v``."""
    with np.errstate(all="ignore"):
        result: Array = weight.astype(np.float64) @ vector
    return _not_lost(result, np.isfinite(weight).all(axis=1) & np.isfinite(vector).all())


def composed(weight: Array, first: Array) -> Array:
    """Return ``W V``, one matrix after another."""
    with np.errstate(all="ignore"):
        result: Array = weight.astype(np.float64) @ first.astype(np.float64)
    rows = np.isfinite(weight).all(axis=1, keepdims=True)
    return _not_lost(result, rows & np.isfinite(first).all(axis=0))


def scattered(weight: Array, columns: Array, features: int) -> Array:
    """Return a matrix over all features that does what `weight` does over some of them."""
    result = np.zeros((len(weight), features), weight.dtype)
    if len(np.unique(columns)) == len(columns):
        result[:, columns] = weight
        return result
    # A feature that comes twice: its weights are summed, exactly in float64 where they are float32.
    wide = result.astype(np.float64)
    for column, weights in zip(columns, weight.T, strict=True):
        wide[:, column] = total(wide[:, column], weights)
    return wide


def as_wide(array: Any) -> Array:
    """Return numbers in float64."""
    return np.asarray(array, np.float64)


def batch_norm(
    mean: Any, variance: Any, eps: float, weight: Any = None, bias: Any = None
) -> tuple[Array, Array]:
    """Return scale and shift of ``(x - mean) / sqrt(variance + eps) * weight + bias``."""
    with np.errstate(all="ignore"):
        scale = 1 / np.sqrt(as_wide(variance) + eps)
        if weight is not None:
            scale = scale * as_wide(weight)
        shift = -scale * as_wide(mean)
        if bias is not None:
            shift = shift + as_wide(bias)
    return scale, shift


def _not_lost(result: Array, finite: Any) -> Array:
    """Return `result`; refuse what is not finite where its operands are."""
    if (finite & ~np.isfinite(result)).any():
        raise ValueError("a weight or bias with what is folded into it is too large for float64")
    return result
