"""Tensors whose features stand in the same places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from laminet.interop.onnx.values import Array, Tensor
from laminet.interop.symbolic.value import Value

__all__ = ["alike", "in_order", "of_order"]


def alike(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return two tensors broadcast to each other; as they are where that cannot be."""
    if x.axes != y.axes:
        return x, y
    first, second = x.feature_order(), y.feature_order()
    if first.shape == second.shape and np.array_equal(first, second):
        return x, y
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError:
        return x, y
    return _placed(x, first), _placed(y, second)


def _placed(x: Tensor, order: Array) -> Tensor:
    return of_order(x, x.value.selected(order.ravel()), order.shape)


def in_order(x: Tensor) -> Value:
    """Return the features of a tensor in C order."""
    return x.value if x.order is None else x.value.selected(x.order.ravel())


def of_order(x: Tensor, value: Value, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor with the features of a value, in C order in axes of these lengths."""
    order = None if len(shape) == 1 else np.arange(int(np.prod(shape))).reshape(shape)
    return replace(x, value=value, order=order, width=value.width)
