"""Softmax and log-softmax, and their derivatives, in NumPy float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array

__all__ = ["apply_head", "head_jacobian", "log_softmax", "softmax"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


def softmax(z: ArrayLike) -> Array:
    """Return probabilities from logits, ``exp(z_i) / sum_j exp(z_j)``, along the last axis.

    The largest logit is subtracted from all: the quotient stays the same, and no exponential
    overflows.

    Parameters
    ----------
    z : array_like of shape (..., n)
        The logits.

    Returns
    -------
    ndarray of the same shape, float64
        Numbers from 0 to 1 that sum to 1 along the last axis.

    Raises
    ------
    ValueError
        If the last axis has no numbers.
    TypeError
        If `z` does not hold real numbers.
    """
    logits = _logits(z)
    with np.errstate(all="ignore"):
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def log_softmax(z: ArrayLike) -> Array:
    """Return the logarithms of probabilities, ``z_i - log sum_j exp(z_j)``, along the last axis.

    Finite even where the probability itself underflows to 0.

    Parameters
    ----------
    z : array_like of shape (..., n)
        The logits.

    Returns
    -------
    ndarray of the same shape, float64
        The log-probabilities.

    Raises
    ------
    ValueError
        If the last axis has no numbers.
    TypeError
        If `z` does not hold real numbers.
    """
    logits = _logits(z)
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def apply_head(head: str | None, a: Array) -> Array:
    """Return the head of the last layer's activations, along the last axis; `a` itself for None."""
    if head is None:
        return a
    return softmax(a) if head == "softmax" else log_softmax(a)


def head_jacobian(head: str, a: Array) -> Array:
    """Return the derivative of a head with respect to its input, (..., n, n)."""
    p = softmax(a)
    identity = np.eye(p.shape[-1])
    with np.errstate(all="ignore"):
        if head == "softmax":
            return np.asarray(p[..., :, None] * (identity - p[..., None, :]))
        return np.asarray(identity - p[..., None, :])


def _logits(z: ArrayLike) -> Array:
    logits = as_real_array(z, _FLOAT64, "z")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"z must have shape (..., n) with n of at least 1, got shape {logits.shape}"
        )
    return logits
