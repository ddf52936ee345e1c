"""Constants, shapes, and what passes a value on: none of it computes with the network's input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.arrays import FLOAT_UNITS, INTEGERS
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.tails import above_half
from laminet.interop.onnx.refused import reason_of
from laminet.interop.onnx.values import (
    Column,
    Decision,
    Failure,
    Greater,
    Repeated,
    Rows,
    RowWise,
    Tensor,
)

__all__ = [
    "OPERATORS",
    "enlarged",
    "folded",
    "is_sizes",
    "listed",
    "of_constants",
    "reduced",
    "repeated",
]

Array = NDArray[Any]

# Two constants whose shapes are broadcast could make one of any size, and one value can claim it.
_LARGEST_MADE = 2**16
_LARGEST_SIZE = 2**63


def of_constants(operation: Callable[..., Any], *arrays: Array) -> Array:
    """Return an operation on constants whose result is not larger; refuse what does not fit."""
    try:
        return np.asarray(operation(*arrays))
    except (ValueError, TypeError, IndexError):
        shapes = " and ".join(str(array.shape) for array in arrays[:4])
        raise ValueError(f"does not fit constants of shape {shapes}") from None


def folded(operation: Callable[..., Any], *arrays: Array) -> Array:
    """Return an operation on constants; refuse a result much larger than they are."""
    shape = _broadcast(*(a.shape for a in arrays))
    if math.prod(shape) > max(_LARGEST_MADE, *(a.size for a in arrays)):
        raise ValueError(f"makes a constant of shape {shape} of smaller ones")
    if any(a.dtype == object for a in arrays):
        return _of_sizes(operation, *arrays)
    if any(a.dtype.kind not in "fiub" for a in arrays):
        raise ValueError("computes with constants that are no numbers")
    with np.errstate(all="ignore"):
        return np.asarray(operation(*arrays))


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"its constants of shape {shapes} do not fit each other") from None


def is_sizes(array: Array) -> bool:
    """Whether an array holds sizes of axes, that of samples among them, and no text."""
    return array.size <= 64 and all(isinstance(v, (int, Rows)) for v in array.ravel().tolist())


def _of_sizes(operation: Callable[..., Any], *arrays: Array) -> Array:
    if not all(is_sizes(array) for array in arrays):
        raise ValueError("computes with constants that are no numbers")
    try:
        result = np.asarray(operation(*(a.astype(object) for a in arrays)))
    except TypeError:
        raise ValueError("computes something else than a shape of the number of samples") from None
    if not is_sizes(result) or any(
        isinstance(v, int) and abs(v) >= _LARGEST_SIZE for v in result.ravel().tolist()
    ):
        raise ValueError("computes something else than a shape of the number of samples")
    return result


def listed(shape: Array) -> list[Any]:
    """Return a constant that is a shape as a list of numbers and `Rows`."""
    if shape.ndim != 1 or shape.size > 32 or not (shape.dtype.kind in "iu" or is_sizes(shape)):
        raise ValueError(f"the shape is a constant of shape {shape.shape}, and no list of sizes")
    return [d if isinstance(d, Rows) else int(d) for d in shape.tolist()]


def repeated(array: Array, dims: list[Any]) -> Any:
    """Return a constant of that shape, of which an array has one element for all samples."""
    return Repeated(array, tuple(dims)) if any(isinstance(d, Rows) for d in dims) else array


def enlarged(value: Array | Repeated, wanted: list[Any]) -> Any:
    """Return a constant broadcast to a shape."""
    array = value.array if isinstance(value, Repeated) else value
    own = list(value.dims) if isinstance(value, Repeated) else list(array.shape)
    rank = max(len(own), len(wanted))
    pairs = zip([1] * (rank - len(own)) + own, [1] * (rank - len(wanted)) + wanted, strict=True)
    dims = [b if not isinstance(a, Rows) and a == 1 else a for a, b in pairs]
    single = [1 if isinstance(d, Rows) else d for d in dims]
    if any(d < 0 for d in single) or math.prod(single) > max(_LARGEST_MADE, array.size):
        raise ValueError(f"makes a constant of shape {wanted}")
    return repeated(of_constants(lambda v: np.broadcast_to(v, single), array), dims)


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


def _constant_of_shape(node: Node) -> Any:
    value = node.tensor_attribute("value")
    filled = np.zeros((), np.float32) if value is None else value.reshape(-1)[:1].reshape(())
    return enlarged(filled, listed(node.constant(0, "the shape")))


def _cast(node: Node) -> Any:
    to = node.attribute("to", 0)
    node.attribute("saturate", 1)
    node.attribute("round_mode", "up")
    return _cast_to(node, node.value(0), to)


def _cast_to(node: Node, value: Any, to: int) -> Any:
    if isinstance(value, (Column, Decision)):
        return value
    if isinstance(value, Greater) and not value.swapped:
        return above_half(value.tensor, value.bound)
    if isinstance(value, Repeated):
        return replace(value, array=_cast_to(node, value.array, to))
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return value
        if to in FLOAT_UNITS:
            # Wide enough for bfloat16, of which a constant was made.
            return value.astype({10: np.float16, 11: np.float64}.get(to, np.float32))
        if to in INTEGERS and (value.dtype.kind in "iub" or bool((value % 1 == 0).all())):
            return value.astype(INTEGERS[to])
        raise ValueError(f"casts a constant of {value.dtype} to type {to}")
    if isinstance(value, RowWise):
        raise ValueError("casts a step of a softmax")
    x = node.step()
    if to not in FLOAT_UNITS and not (x.integer and to in INTEGERS):
        raise ValueError(
            f"casts to type {to}, which is no floating-point number: a network's outputs are "
            "real numbers"
        )
    return replace(x, integer=to not in FLOAT_UNITS)


def _cast_like(node: Node) -> Any:
    node.attribute("saturate", 1)
    node.attribute("round_mode", "up")
    target = node.value(1)
    floating = target.dtype.kind == "f" if isinstance(target, np.ndarray) else None
    if isinstance(target, Tensor):
        floating = not target.integer
    if not floating:
        raise ValueError("casts to the type of something that is no floating-point number")
    double = isinstance(target, np.ndarray) and target.dtype == np.float64
    value = node.value(0)
    if isinstance(target, Tensor) and isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value  # as exact as the constant is
    return _cast_to(node, value, 11 if double else 1)


def _shape(node: Node) -> Any:
    value = node.value(0)
    if isinstance(value, np.ndarray):
        dims: list[Any] = list(value.shape)
    else:
        dims = list(value.dims) if isinstance(value, Repeated) else node.step().dims
    sizes = np.empty(len(dims), dtype=object)
    sizes[:] = dims
    part = sizes[node.attribute("start", 0) : node.attribute("end", len(dims))]
    if any(d is None for d in part.tolist()):
        raise ValueError("asks for a length that the model does not fix")
    return part


def _same(node: Node) -> Any:
    if node.value(0) is None:
        raise ValueError("has no input")
    return node.value(0)


def _dropout(node: Node) -> Any:
    node.attribute("ratio", 0.5)
    node.attribute("seed", 0)
    node.attribute("is_test", 1)
    training = node.optional(2, "training_mode") if node.opset >= 12 else None
    if training is not None and training.any():
        raise ValueError("is in training mode")
    return [_same(node), Failure("the mask of a Dropout is no step of a network")]


def _dequantized(node: Node) -> Array:
    """Return ``(x - zero_point) * scale`` of a constant, in the type of the scale, as ONNX does."""
    value, scale = node.constant(0, "its input"), node.constant(1, "the scale")
    zero = node.optional(2, "the zero point")
    axis, block = node.attribute("axis", 1), node.attribute("block_size", 0)
    node.attribute("output_dtype", 0)
    if block or value.dtype.kind not in "iu" or scale.dtype.kind != "f":
        raise ValueError("has blocks, or takes something else than integers and a scale")
    if (scale.ndim == 1 and scale.size > 1) or (scale.ndim == 1 and value.ndim == 1):
        if not -value.ndim <= axis < value.ndim or value.shape[axis] != scale.size:
            raise ValueError(f"has {scale.size} scales for a constant of shape {value.shape}")
        shape = [1] * value.ndim
        shape[axis] = scale.size
        scale = scale.reshape(shape)
        zero = None if zero is None else of_constants(lambda z: z.reshape(shape), zero)
    elif scale.size != 1:
        raise ValueError(f"has scales of shape {scale.shape}")
    difference = value.astype(np.int64)
    if zero is not None:
        difference = folded(np.subtract, difference, zero.astype(np.int64))
    return folded(np.multiply, difference.astype(scale.dtype), scale)


def _if(node: Node) -> Any:
    condition = node.constant(0, "the condition")
    branches = node.attribute("then_branch"), node.attribute("else_branch")
    if condition.size != 1 or condition.dtype != bool or None in branches:
        raise ValueError("has no condition of one truth value")
    return node.scope.branch(branches[0 if condition.all() else 1])


def _equal(node: Node) -> Array:
    a, b = (node.constant(i, "an input") for i in (0, 1))
    if a.dtype != object and b.dtype != object:
        return folded(np.equal, a, b)
    return folded(np.frompyfunc(_equal_sizes, 2, 1), a, b).astype(bool)


def _equal_sizes(a: Any, b: Any) -> bool:
    """Whether two sizes are equal; refused where that depends on how many samples there are."""
    if isinstance(b, Rows):
        a, b = b, a
    if not isinstance(a, Rows):
        return bool(a == b)
    if isinstance(b, Rows) and a != b:
        raise ValueError("compares different numbers of samples")
    if isinstance(b, Rows) or b < 0:
        return isinstance(b, Rows)
    if a.size is None:
        raise ValueError(f"compares the number of samples with {b}, and does one or the other")
    return bool(a.size == b)


#: What reduces constants, by the end of its name.
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "L1": lambda v, **axes: np.abs(v).sum(**axes),
    "L2": lambda v, **axes: np.sqrt(np.square(v).sum(**axes)),
    "Max": np.max,
    "Mean": np.mean,
    "Min": np.min,
    "Sum": np.sum,
    "SumSquare": lambda v, **axes: np.square(v).sum(**axes),
}


def reduced(node: Node, name: str) -> Array:
    """Return a sum, a norm or the like of a constant, as of a weight that is normalised."""
    value = node.constant(0, "its input")
    newest = 13 if name == "Sum" else 18
    given = node.optional(1, "axes") if node.opset >= newest else node.attribute("axes")
    keep, none = node.attribute("keepdims", 1), node.attribute("noop_with_empty_axes", 0)
    axes = None if given is None else tuple(int(axis) for axis in np.asarray(given).ravel())
    if value.dtype.kind != "f" or value.size == 0:
        raise ValueError("reduces a constant that is no list of real numbers")
    if not axes:
        if none:
            raise ValueError("reduces no axes")
        axes = None
    wide, operation = value.astype(np.float64), _REDUCTIONS[name]
    return of_constants(lambda v: operation(v, axis=axes, keepdims=bool(keep)), wide)


def _reduction(name: str) -> Operator:
    def operator(node: Node) -> Array:
        if not isinstance(node.value(0), np.ndarray):
            raise ValueError(reason_of("", f"Reduce{name}"))
        return reduced(node, name)

    return operator


def _product_of_sizes(node: Node) -> Array:
    value = node.constant(0, "its input")
    given = node.optional(1, "axes") if node.opset >= 18 else node.attribute("axes")
    keep = node.attribute("keepdims", 1)
    node.attribute("noop_with_empty_axes", 0)
    if value.ndim != 1 or not is_sizes(value) or (given is not None and list(given) != [0]):
        raise ValueError("multiplies something else than the sizes of a shape")
    result: Any = 1
    for size in value.tolist():
        result = folded(np.multiply, _single(result), _single(size)).reshape(-1)[0]
    return _single(result).reshape([1] if keep else [])


def _single(size: Any) -> Array:
    array = np.empty((), dtype=object)
    array[()] = size
    return array


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Identity"): _same,
    ("", "Dropout"): _dropout,
    ("", "Constant"): _constant,
    ("", "ConstantOfShape"): _constant_of_shape,
    ("", "Cast"): _cast,
    ("", "CastLike"): _cast_like,
    ("", "Shape"): _shape,
    ("", "DequantizeLinear"): _dequantized,
    ("", "If"): _if,
    ("", "Equal"): _equal,
    ("", "ReduceProd"): _product_of_sizes,
    **{
        ("", f"Reduce{name}"): _reduction(name) for name in ("L1", "L2", "Mean", "Min", "SumSquare")
    },
}
