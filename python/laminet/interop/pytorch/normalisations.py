"""The operations of PyTorch that normalise: softmax, batch normalisation; and dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laminet.interop.pytorch import modules
from laminet.interop.pytorch.tensors import LogSum, Tracked

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
    "dropout": _dropout,
    "native_dropout": lambda x, p, train: (_dropout(x, p, train), None),
}
