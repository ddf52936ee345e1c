"""The operations of PyTorch that normalise, by a batch or each sample; softmax and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.interop.pytorch import modules
from laminet.interop.pytorch.products import total
from laminet.interop.pytorch.tensors import LogSum, Tracked
from laminet.interop.pytorch.values import as_optional, unit_roundoff

__all__ = ["NORMALISATIONS"]

_EVAL = "call eval() on the module first"


def _softmax(head: str) -> Callable[..., Tracked]:
    def operation(x: Tracked, dim: int, *_: Any, **__: Any) -> Tracked:
        x = _over_features(x, dim)
        return x.with_value(x.value.ended(head))

    return operation


def _over_features(x: Tracked, dim: int) -> Tracked:
    """Return x in order; refuse a dimension that is not all features of a sample."""
    x = x.ordered()
    if not x.shape or x.shape[dim] != x.value.width or dim % len(x.shape) == 0:
        raise ValueError(f"goes over dimension {dim}, not over the features (1 or -1)")
    return x


def _log_sum(x: Tracked, dim: Any, keepdim: bool = False) -> LogSum:
    axes = [dim] if isinstance(dim, int) else list(dim)
    if len(axes) != 1 or not keepdim:
        raise ValueError("is no step of a log-softmax")
    return LogSum(_over_features(x, axes[0]))


def _batch_norm(
    x: Tracked, weight: Any, bias: Any, mean: Any, var: Any, training: bool, eps: float
) -> Tracked:
    x = x.ordered()
    if len(x.shape) < 2 or x.shape[1] != x.value.width:
        raise ValueError("normalises channels of several numbers")
    return x.with_value(modules.batch_norm(x.value, weight, bias, mean, var, training, eps))


def _dropout(x: Tracked, p: float = 0.5, train: Any = True) -> Tracked:
    if train and p > 0:
        raise ValueError(f"is in training mode and drops at random: {_EVAL}")
    return x


# --- By the statistics of each sample -------------------------------------------------------------


def _normalised(x: Tracked, shape: Any, kind: str, eps: Any, weight: Any, bias: Any) -> Tracked:
    x = _of_last(x, len(shape))
    arrays = [as_optional(t, n) for t, n in ((weight, "weight"), (bias, "bias"))]
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    return x.with_value(x.value.normalised(kind, float(eps), *flat))


def _of_last(x: Tracked, axes: int) -> Tracked:
    """Return x in order; refuse last axes that are not all features of a sample."""
    x = x.ordered()
    features = int(np.prod(x.shape[len(x.shape) - axes :], dtype=np.int64))
    if not x.shape or features != x.value.width:
        raise ValueError("normalises a part of the features of each sample by themselves")
    return x


def _rms_norm(x: Tracked, shape: Any, weight: Any = None, eps: Any = None) -> Tracked:
    # PyTorch's default is the unit roundoff of what it computes with: that of the weights here.
    if eps is None and weight is None:
        raise ValueError("has no epsilon, and no weight whose type would tell it: give it one")
    epsilon = unit_roundoff(weight) if eps is None else eps
    return _normalised(x, shape, "rms", epsilon, weight, None)


def _variance(x: Tracked, dim: Any = None, *given: Any, **named: Any) -> Tracked:
    """Return the variance of each sample: ``var.dim``, ``var.correction``."""
    correction = named.get("correction", 1)
    keep = named.get("keepdim", False)
    if given:  # var.dim has whether it is unbiased, and whether the axis is kept
        correction, keep = float(bool(given[0])), (*given, keep)[1]
    axes = [] if isinstance(dim, bool) else [dim] if isinstance(dim, int) else list(dim or ())
    x = _of_last(x, 1)
    if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1]:
        raise ValueError("is not taken over all features of each sample")
    value = x.value.variance(1.0 if correction is None else float(correction))
    result = Tracked.of(value, (*x.shape[:-1], 1), x.samples)
    return result if keep else Tracked(value, result.index.squeeze(-1), x.samples)


def _variance_and_mean(x: Tracked, dim: Any = None, *given: Any, **named: Any) -> Any:
    keep = (*given, named.get("keepdim", False))[1] if given else named.get("keepdim", False)
    return _variance(x, dim, *given, **named), total(mean=True)(x, dim, keep)


def _deviation(*args: Any, **kwargs: Any) -> Tracked:
    return _root(0.5)(_variance(*args, **kwargs))


def _root(exponent: float) -> Callable[[Tracked], Tracked]:
    return lambda x: x.with_value(x.value.power(exponent))


NORMALISATIONS: dict[str, Callable[..., Any]] = {
    "softmax": _softmax("softmax"),
    "_softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "logsumexp": _log_sum,
    "_log_softmax": _softmax("log_softmax"),
    "batch_norm": lambda x, w, b, m, v, training, momentum, eps, *_: _batch_norm(
        x, w, b, m, v, training, eps
    ),
    **{
        name: lambda x, w, b, m, v, training, momentum, eps: (
            _batch_norm(x, w, b, m, v, training, eps),
            None,
            None,
        )
        for name in ("native_batch_norm", "_native_batch_norm_legit")
    },
    "_native_batch_norm_legit_no_training": lambda x, w, b, m, v, momentum, eps: (
        _batch_norm(x, w, b, m, v, False, eps),
        None,
        None,
    ),
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=1e-5, *_: _normalised(
        x, shape, "layer", eps, weight, bias
    ),
    "native_layer_norm": lambda x, shape, weight, bias, eps: (
        _normalised(x, shape, "layer", eps, weight, bias),
        None,
        None,
    ),
    "rms_norm": _rms_norm,
    "_fused_rms_norm": lambda x, shape, weight, eps: (_rms_norm(x, shape, weight, eps), None),
    "var": _variance,
    "var_mean": _variance_and_mean,
    "std": _deviation,
    "sqrt": _root(0.5),
    "rsqrt": _root(-0.5),
    "dropout": _dropout,
    "native_dropout": lambda x, p, train: (_dropout(x, p, train), None),
}
