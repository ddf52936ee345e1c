"""What moves features around and computes nothing: Reshape, Transpose, Flatten, Cast and so on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.arrays import FLOAT_UNITS
from laminet.interop.onnx.graph import Node, Operator
from laminet.interop.onnx.operators import tails
from laminet.interop.onnx.values import BATCH, Labels, RowWise, Tensor

__all__ = ["OPERATORS", "transposed"]

Array = NDArray[Any]

_INTEGER_TYPES = {2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 12: "u4", 13: "u8"}
# A constant of one value can claim any size.
_LARGEST_FILLED = 2**16


def _moved(node: Node) -> Any:
    """Return the first input, whose axes change, or whose type does; a head may have passed."""
    value = node.value(0)
    if value is None:
        raise ValueError("has no input")
    return value


# --- Axes -------------------------------------------------------------------------------------


def transposed(x: Tensor, perm: list[int]) -> Tensor:
    """Return a tensor with its axes in another order."""
    if sorted(perm) != list(range(x.rank)):
        raise ValueError(f"perm {perm} is not an order of {x.rank} axes")
    if perm == list(range(x.rank)):
        return x
    features = [axis for axis in range(x.rank) if axis != x.batch_axis]
    kept = [features.index(axis) for axis in perm if axis != x.batch_axis]
    batch_axis = None if x.batch_axis is None else perm.index(x.batch_axis)
    order = x.order if x.order is None else np.transpose(x.order, kept)
    return replace(x, order=order, batch_axis=batch_axis)


def _transpose(node: Node) -> Any:
    value = _moved(node)
    if isinstance(value, np.ndarray):
        perm = node.attribute("perm", list(range(value.ndim))[::-1])
        if sorted(perm) != list(range(value.ndim)):
            raise ValueError(f"perm {perm} is not an order of {value.ndim} axes")
        return np.transpose(value, perm)
    x = _headed_tensor(value)
    return transposed(x, node.attribute("perm", list(range(x.rank))[::-1]))


def _headed_tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError("is not given a step of the network")
    return value


def _flatten(node: Node) -> Any:
    value = _moved(node)
    axis = node.attribute("axis", 1)
    rank = value.ndim if isinstance(value, np.ndarray) else _headed_tensor(value).rank
    if not -rank <= axis <= rank:
        raise ValueError(f"axis {axis} of {rank} axes")
    axis = axis + rank if axis < 0 else axis
    if isinstance(value, np.ndarray):
        return value.reshape(math.prod(value.shape[:axis]), -1) if value.size else value
    return _with_dims(value, _flattened(value, axis))


def _flattened(x: Tensor, axis: int) -> list[Any]:
    """Return the sizes of both sides of an axis; BATCH can stand alone only."""
    sides: list[Any] = []
    for dims in (x.dims[:axis], x.dims[axis:]):
        rest = [d for d in dims if d is not BATCH and d != 1]
        if BATCH in dims:
            if rest:
                raise ValueError(f"flattens the samples and {rest} together")
            sides.append(BATCH)
        else:
            sides.append(None if None in rest else math.prod(rest))
    return sides


def _with_dims(x: Tensor, dims: list[Any]) -> Tensor:
    """Return a tensor in another shape, whose samples stay whole: C order on both sides."""
    batch_axis = dims.index(BATCH) if BATCH in dims else None
    features = [d for d in dims if d is not BATCH]
    if (x.batch_axis is None) != (batch_axis is None):
        raise ValueError("loses the samples' axis")
    # C order is kept if nothing, or nothing but axes of 1, moves past the samples' axis.
    if batch_axis is not None and x.batch_axis is not None:
        before = [d for d in x.dims[: x.batch_axis] if d != 1]
        after = [d for d in dims[:batch_axis] if d != 1]
        if before != after and math.prod(before) != math.prod(after):
            raise ValueError(f"moves features past the samples: {x.dims} to {dims}")
    if x.order is None:
        if len(features) == 1 and features[0] in (None, x.width):
            return replace(x, batch_axis=batch_axis)
        if x.width is None:
            known = [d for d in features if d != 1]
            if len(known) == 1 and known[0] is not None:
                x = x.sized(known[0])
    order = x.feature_order()
    if math.prod(d or 1 for d in features) != order.size:
        raise ValueError(f"gives {features} of {order.size} features")
    shaped = order.reshape(features)
    in_order = shaped.ndim == 1 and x.order is None
    return replace(x, order=None if in_order else shaped, batch_axis=batch_axis)


def _reshape(node: Node) -> Any:
    value, shape = _moved(node), node.constant(1, "the shape")
    if isinstance(value, Labels):
        return value
    allow_zero = node.attribute("allowzero", 0)
    if shape.ndim != 1:
        raise ValueError(f"the shape has {shape.ndim} axes")
    wanted: list[Any] = [d if d is BATCH else int(d) for d in shape.tolist()]
    if isinstance(value, np.ndarray):
        if BATCH in wanted:
            raise ValueError("gives a constant the samples' axis")
        sizes = [value.shape[i] if d == 0 and not allow_zero else d for i, d in enumerate(wanted)]
        return value.reshape(sizes)
    x = _headed_tensor(value)
    if allow_zero and 0 in wanted:
        raise ValueError("gives a tensor without elements")
    return _with_dims(x, _resolved_shape(x, wanted))


def _resolved_shape(x: Tensor, wanted: list[Any]) -> list[Any]:
    """Return the shape with BATCH where the samples are, and the size that -1 stands for."""
    dims = [x.dims[i] if d == 0 else d for i, d in enumerate(wanted)]
    if x.batch_axis is not None and BATCH not in dims:
        # A fixed batch, or -1 for any: on the first axis that leaves whole samples behind it.
        first = next((i for i, d in enumerate(dims) if d != 1), len(dims) - 1)
        places = [0] if x.batch == 1 and dims and dims[0] == 1 else [first]
        place = next((i for i in places if i < len(dims) and dims[i] in (-1, x.batch)), None)
        if place is None or (dims[place] == -1 and -1 in dims[:place] + dims[place + 1 :]):
            raise ValueError(f"gives the shape {wanted}, which mixes the samples")
        dims = [*dims[:place], BATCH, *dims[place + 1 :]]
    features = [d for d in dims if d is not BATCH]
    if -1 in features:
        size = x.width if x.order is None else x.order.size
        rest = math.prod(d for d in features if d != -1)
        if size is not None and (rest == 0 or size % rest):
            raise ValueError(f"gives the shape {wanted} of {size} features")
        found = None if size is None else size // rest
        if found is None and rest != 1:
            raise ValueError(f"gives the shape {wanted} of an unknown number of features")
        dims = [found if d == -1 else d for d in dims]
    if any(d is not BATCH and d is not None and d < 1 for d in dims):
        raise ValueError(f"gives the shape {wanted}")
    return dims


def _axes(node: Node, rank: int) -> list[int] | None:
    given = node.optional(1, "axes") if node.opset >= 13 else node.attribute("axes")
    if given is None:
        return None
    axes = [int(axis) for axis in np.asarray(given).ravel()]
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {axes} of {rank}")
    return sorted({axis % rank for axis in axes})


def _squeeze(node: Node) -> Any:
    value = _moved(node)
    if isinstance(value, np.ndarray):
        axes = _axes(node, value.ndim)
        return np.squeeze(value, None if axes is None else tuple(axes))
    x = _headed_tensor(value)
    axes = _axes(node, x.rank)
    if axes is None:
        raise ValueError("drops whatever axes are of size 1, which could be the samples'")
    if any(x.dims[axis] != 1 for axis in axes):
        raise ValueError(f"drops the axes {axes} of {x.dims}")
    return _with_dims(x, [d for i, d in enumerate(x.dims) if i not in axes])


def _unsqueeze(node: Node) -> Any:
    value = _moved(node)
    count = np.asarray(node.value(1)).size if node.opset >= 13 else 1
    if isinstance(value, np.ndarray):
        axes = _axes(node, min(value.ndim + count, 32))
        return np.expand_dims(value, tuple(axes or ()))
    x = _headed_tensor(value)
    axes = _axes(node, x.rank + min(count, 8)) or []
    dims = list(x.dims)
    for axis in axes:
        dims.insert(axis, 1)
    return _with_dims(x, dims)


def _concat(node: Node) -> Any:
    values, axis = node.inputs, node.attribute("axis", 0)
    if all(isinstance(v, np.ndarray) for v in values):
        return np.concatenate(values, axis=axis)
    return tails.probabilities_of_two(node, values, axis)


# --- Constants and types ----------------------------------------------------------------------


def _constant(node: Node) -> Array:
    tensor = node.tensor_attribute("value")
    if tensor is not None:
        return tensor
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        value = node.attribute(name)
        if value is not None:
            return np.asarray(value, kind)
    for name, kind in (("value_floats", np.float32), ("value_ints", np.int64)):
        value = node.attribute(name)
        if value is not None:
            return np.asarray(value, kind)
    raise ValueError("holds no numbers")


def _constant_of_shape(node: Node) -> Array:
    shape = tuple(int(d) for d in node.constant(0, "the shape").ravel())
    value = node.tensor_attribute("value")
    if any(d < 0 for d in shape) or math.prod(shape) > _LARGEST_FILLED:
        raise ValueError(f"makes a constant of shape {shape}")
    filled = np.zeros((), np.float32) if value is None else value.reshape(())
    return np.full(shape, filled)


def _cast(node: Node) -> Any:
    value, to = _moved(node), node.attribute("to", 0)
    node.attribute("saturate", 1)
    node.attribute("round_mode", "up")
    if isinstance(value, Labels):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return value
        if to in FLOAT_UNITS:
            # Wide enough for bfloat16, of which a constant was made.
            return value.astype({10: np.float16, 11: np.float64}.get(to, np.float32))
        if to in _INTEGER_TYPES and value.dtype.kind in "iub":
            return value.astype(_INTEGER_TYPES[to])
        raise ValueError(f"casts a constant of {value.dtype} to type {to}")
    if isinstance(value, RowWise):
        raise ValueError("casts a step of a softmax")
    x = _headed_tensor(value)
    if to not in FLOAT_UNITS:
        raise ValueError(f"casts to type {to}, which is no floating-point number")
    return replace(x, integer=False)


def _shape(node: Node) -> Array:
    value = _moved(node)
    dims = value.shape if isinstance(value, np.ndarray) else _headed_tensor(value).dims
    sizes = np.empty(len(dims), dtype=object)
    sizes[:] = list(dims)
    return sizes[node.attribute("start", 0) : node.attribute("end", len(dims))]


def _gather(node: Node) -> Any:
    data, indices = node.constant(0, "the data"), node.constant(1, "the indices")
    if indices.dtype.kind not in "iu" or data.ndim != 1 or node.attribute("axis", 0) not in (0, -1):
        raise ValueError("picks from something else than a list")
    return np.asarray(data[indices], dtype=data.dtype)


def _slice(node: Node) -> Any:
    data = node.constant(0, "the data")
    if data.ndim != 1:
        raise ValueError("cuts something else than a list")
    if node.opset >= 10:
        parts = [node.optional(i, "a bound") for i in range(1, 5)]
    else:
        parts = [node.attribute(name) for name in ("starts", "ends", "axes")] + [None]
    starts, ends, axes, steps = (None if p is None else np.asarray(p).ravel() for p in parts)
    if starts is None or ends is None or starts.size != 1 or ends.size != 1:
        raise ValueError("has no bounds")
    if axes is not None and axes.tolist() not in ([0], [-1]):
        raise ValueError(f"cuts the axes {axes.tolist()}")
    return data[int(starts[0]) : int(ends[0]) : 1 if steps is None else int(steps[0])]


def _dropout(node: Node) -> Any:
    node.attribute("ratio", 0.5)
    node.attribute("seed", 0)
    training = node.optional(2, "training_mode") if node.opset >= 12 else None
    if training is not None and training.any():
        raise ValueError("is in training mode")
    if node.output_count > 1:
        raise ValueError("gives its mask")
    return _moved(node)


OPERATORS: dict[str, Operator] = {
    "Identity": _moved,
    "Dropout": _dropout,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
}
