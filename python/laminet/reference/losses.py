"""Losses and their derivatives with respect to outputs, in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array

if TYPE_CHECKING:
    from laminet.losses import BinaryCrossEntropy, CrossEntropy, Huber, Loss, Quantile

__all__ = ["as_sample_weight", "loss", "loss_gradient", "normalized_weights"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


def loss(
    loss: Loss | str | Mapping[str, Any],
    outputs: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
) -> float:
    """Return the loss of outputs: the mean over the samples, ``sum_i w_i loss_i / sum_i w_i``.

    Parameters
    ----------
    loss : Loss or str
        One of `laminet.losses`.
    outputs : array_like of shape (batch, out_features)
        What the network gives; of classes and labels, logits.
    targets : array_like of shape (batch, targets) or (batch,)
        As `Loss.as_targets` takes them.
    sample_weight : array_like of shape (batch,), optional
        ``w``, finite and at least 0; 1 if nothing is said. A sample of weight 0 counts as absent,
        whatever its loss.
    class_weight : array_like of shape (out_features,), optional
        Of cross entropy: see `laminet.losses.CrossEntropy`.

    Returns
    -------
    float
        0 where all weights are 0. Infinite where it is too large for a float.

    Raises
    ------
    ValueError
        If a shape is wrong, there is no sample, or a target or a weight is out of its bounds.
    TypeError
        If something does not hold real numbers, or `loss` is none.

    Examples
    --------
    >>> from laminet import reference
    >>> reference.loss("squared_error", [[1.0], [5.0]], [1.0, 3.0], sample_weight=[3.0, 1.0])
    1.0
    """
    of_samples, weights, _ = _evaluated(loss, outputs, targets, sample_weight, class_weight)
    # Not by a product: an infinite loss of weight 0 would be NaN.
    with np.errstate(all="ignore"):
        return float(np.sum(np.where(weights == 0, 0.0, weights * of_samples)))


def loss_gradient(
    loss: Loss | str | Mapping[str, Any],
    outputs: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
) -> Array:
    """Return the derivative of `loss` with respect to each output.

    Where there is none, at a target, that of the absolute error and of quantiles is 0.

    Parameters
    ----------
    loss, outputs, targets, sample_weight, class_weight
        As of `loss`.

    Returns
    -------
    ndarray of shape (batch, out_features), float64

    Raises
    ------
    ValueError, TypeError
        As of `loss`.

    Examples
    --------
    >>> from laminet import reference
    >>> reference.loss_gradient("squared_error", [[1.0], [5.0]], [1.0, 3.0])
    array([[0.],
           [2.]])
    """
    _, weights, slopes = _evaluated(loss, outputs, targets, sample_weight, class_weight)
    column = weights[:, None]
    with np.errstate(all="ignore"):
        return np.where(column == 0, 0.0, column * slopes)


class _OfSamples(NamedTuple):
    """The loss of each sample, its derivatives, and how many samples it counts as."""

    losses: Array  # (batch,)
    slopes: Array  # (batch, out_features)
    counts: Array | float = 1.0  # (batch,)


def _evaluated(
    chosen: Any, outputs: ArrayLike, targets: ArrayLike, sample_weight: Any, class_weight: Any
) -> tuple[Array, Array, Array]:
    """Return losses of samples, their parts of the mean, and derivatives of the losses."""
    from laminet.losses import as_loss

    kind = as_loss(chosen)
    o = as_real_array(outputs, _FLOAT64, "outputs")
    if o.ndim != 2 or 0 in o.shape:
        raise ValueError(
            f"outputs must have shape (batch, out_features), none of them 0, got shape {o.shape}"
        )
    y = kind.as_targets(targets, o.shape[1], argument="targets")
    if len(y) != len(o):
        raise ValueError(f"targets has {len(y)} samples, outputs has {len(o)}")
    weights = as_sample_weight(sample_weight, len(o))
    classes = _as_class_weight(class_weight, kind.name, o.shape[1])
    with np.errstate(all="ignore"):
        if kind.name == "cross_entropy":
            found = _cross_entropy(kind, o, y, classes)  # type: ignore[arg-type]  # told by its name
        else:
            found = _LOSSES[kind.name](kind, o, y)
    return found.losses, normalized_weights(weights, found.counts), found.slopes


def normalized_weights(weights: Array, counts: Array | float = 1.0) -> Array:
    """Return weights divided by the sum of weights times counts; 0 where that is 0."""
    # Divided first: a sum of large weights may overflow.
    largest = float(weights.max(initial=0.0))
    scaled = weights / largest if largest > 0 else weights
    total = float((scaled * counts).sum())
    return scaled / total if total > 0 else np.zeros_like(weights)


def as_sample_weight(value: ArrayLike | None, batch: int, name: str = "sample_weight") -> Array:
    """Return weights of samples, finite and at least 0, in float64; 1 for None."""
    if value is None:
        return np.ones(batch)
    return _as_weights(value, (batch,), name)


def _as_class_weight(value: ArrayLike | None, name: str, classes: int) -> Array:
    if value is None:
        return np.ones(classes)
    if name != "cross_entropy":
        raise ValueError(
            f"class_weight is for cross_entropy, and the loss is {name}: give sample_weight"
        )
    return _as_weights(value, (classes,), "class_weight")


def _as_weights(value: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    weights = as_real_array(value, _FLOAT64, name)
    if weights.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got shape {weights.shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"{name} must be finite and at least 0: {name}[{i}] is {weights[i]:g}")
    return weights


# --- One row each -----------------------------------------------------------------------------


def _mean(losses: Array, slopes: Array) -> _OfSamples:
    """Return the mean over the outputs of each sample."""
    count = losses.shape[1]
    return _OfSamples(losses.mean(axis=1), slopes / count)


def _squared_error(_: Loss, o: Array, y: Array) -> _OfSamples:
    e = o - y
    return _mean(e * e, 2 * e)


def _absolute_error(_: Loss, o: Array, y: Array) -> _OfSamples:
    e = o - y
    return _mean(np.abs(e), np.sign(e))


def _huber(kind: Huber, o: Array, y: Array) -> _OfSamples:
    e, d = o - y, kind.delta
    small = np.abs(e) <= d
    losses = np.where(small, e * e / 2, d * (np.abs(e) - d / 2))
    return _mean(losses, np.clip(e, -d, d))


def _quantile(kind: Quantile, o: Array, y: Array) -> _OfSamples:
    q = np.tile(kind.levels, y.shape[1])
    e = np.repeat(y, len(kind.levels), axis=1) - o
    slopes = np.where(e > 0, -q, np.where(e < 0, 1 - q, 0.0))
    # Of an error that is no number, as of infinite outputs, there is no slope either.
    return _mean(np.maximum(q * e, (q - 1) * e), np.where(np.isnan(e), np.nan, slopes))


def _poisson(_: Loss, o: Array, y: Array) -> _OfSamples:
    rate = np.exp(o)
    # Where the rate overflows, so may y o: infinity it is, and not the difference of two.
    return _mean(np.where(np.isinf(rate), rate, rate - y * o), rate - y)


def _binary_cross_entropy(kind: BinaryCrossEntropy, o: Array, y: Array) -> _OfSamples:
    p = (1 - kind.label_smoothing) * y + kind.label_smoothing / 2
    # -(p log s(o) + (1 - p) log s(-o)), where -log s(o) = max(-o, 0) + log(1 + exp(-|o|)): of each
    # sign one product is left, and nothing cancels.
    tail = np.exp(-np.abs(o))
    losses = np.where(o > 0, (1 - p) * o, -p * o) + np.log1p(tail)
    sigmoid = np.where(o >= 0, 1 / (1 + tail), tail / (1 + tail))
    return _mean(losses, sigmoid - p)


def _cross_entropy(kind: CrossEntropy, o: Array, y: Array, classes: Array) -> _OfSamples:
    count = o.shape[1]
    labels = y.ndim == 1
    if labels and classes.any():
        # The mean divides by them again; their products and sums may overflow.
        classes = classes / classes.max()
    p = np.eye(count)[y] if labels else y
    p = (1 - kind.label_smoothing) * p + kind.label_smoothing / count
    p = p * classes
    # The largest logit is taken off all: no exponential overflows.
    below = o.max(axis=1, keepdims=True) - o
    exponentials = np.exp(-below)
    total = exponentials.sum(axis=1, keepdims=True)
    # -log softmax(o)_k; times 0 it is 0, also where it is infinite.
    negative_logs = np.log(total) + below
    losses = np.where(p == 0, 0.0, p * negative_logs).sum(axis=1)
    slopes = exponentials / total * p.sum(axis=1, keepdims=True) - p
    return _OfSamples(losses, slopes, classes[y] if labels else 1.0)


_LOSSES: dict[str, Callable[[Any, Array, Array], _OfSamples]] = {
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "huber": _huber,
    "quantile": _quantile,
    "poisson": _poisson,
    "binary_cross_entropy": _binary_cross_entropy,
}
