"""Normalisations of each sample, means over features or branches, and stacks of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import numpy as np

from laminet.interop.keras.tensors import Tensor, as_array, concatenated

__all__ = ["NORMALISATIONS", "STATISTICS"]

_MOST_PARTS = 256


def _normalised(x: Tensor, axis: Any, kind: str, eps: float, gamma: Any, beta: Any) -> Tensor:
    axes = sorted(a % (len(x.shape) + 1) for a in (axis if _is_list(axis) else [axis]))
    if axes != list(range(len(x.shape) + 1 - len(axes), len(x.shape) + 1)):
        raise ValueError("normalises other axes than the last ones")
    rest = x.shape[: len(x.shape) - len(axes)]
    if not x.rows and any(n != 1 for n in rest):
        raise ValueError("normalises a part of the features of each sample by themselves")
    arrays = [None if a is None else as_array(a).reshape(-1) for a in (gamma, beta)]
    return x.in_order().applied(lambda v: v.normalised(kind, float(eps), *arrays))


def _layer_normalization(layer: Any, x: Tensor) -> Tensor:
    if getattr(layer, "rms_scaling", False):
        raise ValueError("scales by the variance without taking the mean away (rms_scaling=True)")
    gamma, beta = layer.gamma if layer.scale else None, layer.beta if layer.center else None
    return _normalised(x, layer.axis, "layer", layer.epsilon, gamma, beta)


def _rms_normalization(layer: Any, x: Tensor) -> Tensor:
    return _normalised(x, layer.axis, "rms", layer.epsilon, layer.scale, None)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _axis_of(axis: Any, x: Tensor) -> int:
    """Return an axis, counted from that of the samples; refuse none, several and the samples'."""
    axes = list(axis) if _is_list(axis) else [axis]
    if len(axes) != 1 or axes[0] is None:
        raise ValueError("is not taken over one axis")
    result = int(axes[0]) % (len(x.shape) + 1)
    if result == 0:
        raise ValueError("is taken over the samples")
    return result


def _total(operation: Any, x: Tensor, *, mean: bool) -> Tensor:
    axis = _axis_of(operation.axis, x)
    if axis == len(x.shape) and x.flat:
        return x.averaged(operation.keepdims) if mean else _sum_of_features(operation, x)
    if x.rows:
        raise ValueError("is taken over the rows of a sample, which other layers take one by one")
    orders = np.moveaxis(x.places(), axis, 0)
    if len(orders) > _MOST_PARTS:
        raise ValueError(f"is taken of {len(orders)} parts")
    parts = [x.open().selected(order.ravel()) for order in orders]
    total = reduce(lambda a, b: a.combined(b, "add"), parts)
    shape = list(x.shape)
    shape[axis - 1 : axis] = [1] if operation.keepdims else []
    value = total.scaled(1 / len(parts), 0.0) if mean else total
    return replace(x, value=value, shape=tuple(shape), order=None)


def _sum_of_features(operation: Any, x: Tensor) -> Tensor:
    total = x.linear(np.ones((1, x.in_order().value.width or 0)), None)
    return total if operation.keepdims else replace(total, shape=total.shape[:-1])


def _variance(operation: Any, x: Tensor) -> Tensor:
    if _axis_of(operation.axis, x) != len(x.shape) or not x.flat:
        raise ValueError("is not taken over all features of each sample")
    x = x.in_order()
    shape = (*x.shape[:-1], *([1] if operation.keepdims else []))
    return replace(x, value=x.open().variance(), shape=shape)


def _stack(operation: Any, xs: Any) -> Tensor:
    if not all(isinstance(x, Tensor) for x in xs):
        raise ValueError("joins the model's values with constants")
    rank = len(xs[0].shape) + 2
    axis = int(operation.axis) % rank
    if axis == 0:
        raise ValueError("joins samples")
    return concatenated(
        [x.reshaped((*x.shape[: axis - 1], 1, *x.shape[axis - 1 :])) for x in xs], axis
    )


def _power(exponent: float) -> Callable[[Any, Tensor], Tensor]:
    return lambda operation, x: x.applied(lambda v: v.power(exponent))


#: Layers, by their names in ``keras.layers``.
NORMALISATIONS: dict[str, Callable[[Any, Any], Tensor]] = {
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
}
#: Operations, by the names of their classes.
STATISTICS: dict[str, Callable[..., Any]] = {
    "Mean": partial(_total, mean=True),
    "Sum": partial(_total, mean=False),
    "Var": _variance,
    "Std": lambda operation, x: _power(0.5)(operation, _variance(operation, x)),
    "Sqrt": _power(0.5),
    "Rsqrt": _power(-0.5),
    "Stack": _stack,
}
