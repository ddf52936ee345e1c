"""Some of the features, or those of several values side by side: Slice, Gather, Split, Concat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.constants import is_sizes, of_constants, repeated
from laminet.interop.onnx.operators.joined_inputs import side_by_side
from laminet.interop.onnx.operators.tails import (
    extracted_labels,
    picked_labels,
    probabilities_of_two,
)
from laminet.interop.onnx.values import Column, Decision, Repeated, Rows, Tensor

__all__ = ["OPERATORS"]

Array = NDArray[Any]

_LARGEST_MADE = 2**16


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank} axes")
    return axis % rank


def _picked(node: Node, x: Tensor, axis: int, index: Any) -> Tensor | Column:
    """Return a tensor that has, along an axis of features, those of an index."""
    place = axis - sum(rows is not None for rows in x.axes[:axis])
    order = x.feature_order()
    taken = order[(slice(None),) * place + (index,)]
    if taken.size == 0:
        raise ValueError("takes none of the features")
    axes = x.axes
    if taken.ndim != order.ndim:
        if taken.ndim > order.ndim:
            raise ValueError("arranges the features it takes in more axes")
        axes = (*axes[:axis], *axes[axis + 1 :])
    if taken.shape == order.shape and np.array_equal(taken, order):
        return x
    if x.head is not None:
        if taken.size == 1:
            return Column(x, int(taken.ravel()[0]))
        raise ValueError(f"takes some outputs of a {x.head}: laminet has one of all outputs only")
    features = taken.ravel()
    form = x.value.resolved().selected(features)
    shaped = None if taken.ndim == 1 else np.arange(features.size).reshape(taken.shape)
    return replace(x.with_features(form, shaped), axes=axes)


def _sliced(node: Node, value: Any, axis: int, begin: int, end: int, step: int) -> Any:
    """Return a value between two bounds of an axis, as Python slices."""
    if step == 0:
        raise ValueError("has a step of 0")
    # A bound below the first element means, in steps backwards, that it is included.
    bounds = slice(begin, end if end > -(2**31) or step > 0 else None, step)
    if isinstance(value, np.ndarray):
        return value[(slice(None),) * axis + (bounds,)]
    if isinstance(value.axes[axis], Rows):
        whole = (begin, step) == (0, 1) and end >= 2**31 - 1
        if not whole and not _covers(value.axes[axis].size, bounds):
            raise ValueError("takes some of the samples")
        return value
    return _picked(node, value, axis, bounds)


def _covers(size: int | None, bounds: slice) -> bool:
    return size is not None and range(*bounds.indices(size)) == range(size)


def _slice(node: Node) -> Any:
    value = node.value(0)
    if not isinstance(value, np.ndarray):
        value = node.step()
    if node.opset >= 10:
        parts: list[Any] = [node.optional(i, "a bound") for i in range(1, 5)]
    else:
        parts = [node.attribute(name) for name in ("starts", "ends", "axes")] + [None]
    starts, ends, axes, steps = (None if p is None else np.asarray(p).ravel() for p in parts)
    if starts is None or ends is None:
        raise ValueError("has no bounds")
    rank = value.ndim if isinstance(value, np.ndarray) else value.rank
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), int) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) <= rank:
        raise ValueError("has bounds, axes and steps of different numbers")
    # From the last axis to the first, so that an axis keeps its number.
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = _axis(int(axis), rank)
        if isinstance(end, Rows) and isinstance(value, Tensor) and value.axes[place] == end:
            end = 2**62  # up to the number of samples
        value = _sliced(node, value, place, int(start), int(end), int(step))
    return value


def _gather(node: Node) -> Any:
    value, axis = node.value(0), node.attribute("axis", 0)
    if isinstance(value, np.ndarray) and isinstance(node.value(1), Decision):
        return picked_labels(value, node.value(1))
    return _gathered(node, value, node.constant(1, "the indices"), axis)


def _extract(node: Node) -> Any:
    """Return what an ArrayFeatureExtractor picks: columns of features, or labels by an index."""
    if isinstance(node.value(0), Tensor):
        return _gathered(node, node.value(0), node.constant(1, "the indices").ravel(), -1)
    return extracted_labels(node)


def _gather_nd(node: Node) -> Any:
    """Return a Gather along the first axis, as PyTorch's exporter writes indexing by a list."""
    indices = node.constant(1, "the indices")
    if node.attribute("batch_dims", 0) or indices.ndim != 2 or indices.shape[1] != 1:
        raise ValueError("picks by places in several axes")
    return _gathered(node, node.value(0), indices[:, 0], 0)


def _gathered(node: Node, value: Any, indices: Array, axis: int) -> Any:
    if indices.dtype == object and is_sizes(indices):
        indices = of_constants(lambda v: v.astype(np.int64), indices)
    if indices.dtype.kind not in "iu":
        raise ValueError("picks by something else than integers")
    if isinstance(value, np.ndarray):
        axis = _axis(axis, value.ndim)
        rest = value.size // max(value.shape[axis], 1)
        if rest * indices.size > max(_LARGEST_MADE, value.size):
            raise ValueError(f"makes a constant of {rest * indices.size} elements")
        return _taken(value, indices, axis)
    x = node.step()
    axis = _axis(axis, x.rank)
    rows = x.axes[axis]
    if rows is not None:
        if rows.size != 1 or indices.ndim > 1 or (indices != 0).any() or indices.size != 1:
            raise ValueError("picks some of the samples")
        dropped = replace(x, order=x.feature_order(), axes=(*x.axes[:axis], *x.axes[axis + 1 :]))
        return x if indices.ndim else dropped
    length = x.dims[axis]
    if length is None:
        raise ValueError("picks from a number of features that the model does not fix")
    if indices.size and not (-length <= indices.min() and indices.max() < length):
        raise ValueError(f"picks the features {indices.ravel()[:8].tolist()} of {length}")
    return _picked(node, x, axis, int(indices) if indices.ndim == 0 else indices.astype(np.int64))


def _taken(value: Array, indices: Array, axis: int) -> Array:
    try:
        taken = np.take(value, indices, axis=axis)
    except IndexError:
        raise ValueError(f"picks what a constant of shape {value.shape} does not have") from None
    if np.ndim(taken) or value.dtype != object:
        return np.asarray(taken)
    single = np.empty((), dtype=object)  # NumPy would make an array of what it stands for
    single[()] = taken
    return single


def _split(node: Node) -> Any:
    value = node.value(0)
    if not isinstance(value, np.ndarray):
        value = node.step()
    rank = value.ndim if isinstance(value, np.ndarray) else value.rank
    axis = _axis(node.attribute("axis", 0), rank)
    length = value.shape[axis] if isinstance(value, np.ndarray) else value.dims[axis]
    count = node.attribute("num_outputs", 0) or len(node.proto.output)
    given = node.optional(1, "the sizes") if node.opset >= 13 else node.attribute("split")
    if isinstance(length, Rows):
        if given is None and count == 1:
            return value
        raise ValueError("splits the samples")
    if length is None or count > 2**12:
        raise ValueError("splits a number of features that the model does not fix")
    if given is None:
        size = -(-length // count)
        sizes = [min(size, length - size * i) for i in range(count)]
    else:
        sizes = [int(size) for size in np.asarray(given).ravel()]
    if sum(sizes) != length or min(sizes, default=0) < 0 or len(sizes) != len(node.proto.output):
        raise ValueError(f"splits {length} features into {sizes[:8]}")
    ends = np.cumsum(sizes).tolist()
    results = []
    for name, size, end in zip(node.proto.output, sizes, ends, strict=True):
        part = size > 0 and name
        results.append(_sliced(node, value, axis, end - size, end, 1) if part else None)
    return results


def _concat(node: Node) -> Any:
    values, axis = node.inputs, node.attribute("axis", 0)
    values = [v for v in values if not (isinstance(v, np.ndarray) and v.size == 0)] or values[:1]
    if len(values) == 1:
        return values[0]
    if all(isinstance(v, np.ndarray) for v in values):
        node.graph.make(sum(v.size for v in values))
        return of_constants(lambda *arrays: np.concatenate(arrays, axis=axis), *values)
    if all(isinstance(v, (np.ndarray, Repeated)) for v in values):
        return _of_repeated(values, axis)
    if not all(isinstance(v, Tensor) for v in values):
        raise ValueError(
            "joins results of the network with constants: laminet has no such step; leave the "
            "constants out and add them to the result"
        )
    two = probabilities_of_two(node, values, axis)
    return _joined(node, values, axis) if two is None else two


def _of_repeated(values: list[Any], axis: int) -> Any:
    parts = [v if isinstance(v, Repeated) else Repeated(v, v.shape) for v in values]
    rank = len(parts[0].dims)
    axis = _axis(axis, rank)
    if any(len(p.dims) != rank or isinstance(p.dims[axis], Rows) for p in parts):
        raise ValueError("joins constants of different numbers of axes, or samples")
    array = of_constants(lambda *a: np.concatenate(a, axis=axis), *(p.array for p in parts))
    dims: list[Any] = list(parts[0].dims)
    dims[axis] = array.shape[axis]
    return repeated(array, dims)


def _joined(node: Node, values: list[Tensor], axis: int) -> Tensor:
    """Return the features of several values along an axis."""
    first, rank = values[0], values[0].rank
    axis = _axis(axis, rank)
    if any(v.head is not None for v in values):
        raise ValueError("joins results of a softmax with others: laminet has one, of all outputs")
    if any(v.axes != first.axes for v in values):
        raise ValueError("joins values of different axes of samples")
    if first.axes[axis] is not None:
        raise ValueError("joins samples, not features")
    sizes = {v.axes[i].size for v in values for i in first.row_axes}  # type: ignore[union-attr]  # rows
    if len(sizes - {None}) > 1:
        raise ValueError("joins values of different numbers of samples")
    place = axis - sum(rows is not None for rows in first.axes[:axis])
    orders, start = [], 0
    for value in values:
        order = value.feature_order()
        orders.append(np.arange(start, start + order.size).reshape(order.shape))
        start += order.size
    order = of_constants(lambda *arrays: np.concatenate(arrays, axis=place), *orders)
    integer = {v.integer for v in values}
    if len(integer) > 1:
        raise ValueError("joins integers and real numbers")
    form, inputs = side_by_side(values)
    shaped = None if order.ndim == 1 else order
    return replace(first.with_features(form, shaped), inputs=inputs)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Slice"): _slice,
    ("", "Gather"): _gather,
    ("", "GatherND"): _gather_nd,
    ("", "Split"): _split,
    ("", "Concat"): _concat,
    ("ai.onnx.ml", "ArrayFeatureExtractor"): _extract,
}
