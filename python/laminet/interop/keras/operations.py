"""The functions of ``keras.ops`` that a network can be made of, as operations of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.name_types import ActivationName
from laminet.interop.keras.activations import ACTIVATIONS, relu
from laminet.interop.keras.einsum import einsum
from laminet.interop.keras.normalisations import STATISTICS
from laminet.interop.keras.refusals import reason
from laminet.interop.keras.tensors import (
    RowsNeededError,
    Tensor,
    as_array,
    completed,
    concatenated,
    product,
)
from laminet.interop.symbolic.value import Value

__all__ = ["OPERATIONS", "read_operation"]


def read_operation(
    operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: str = "float32"
) -> Any:
    """Return what an operation makes of its arguments, one value or several, of that dtype.

    Raises
    ------
    ValueError
        If it is none that can be read, or what it does has no place in a network.
    """
    kind = type(operation).__name__
    known = type(operation).__module__.startswith(("keras.src.ops.", "keras.src.activations."))
    try:
        if not known or kind not in OPERATIONS:
            raise ValueError(reason(kind))
        if "float" not in dtype and kind not in _MOVES:
            raise ValueError(f"computes with {dtype}: cast the numbers to float32 before")
        return OPERATIONS[kind](operation, *args, **kwargs)
    except RowsNeededError as error:
        raise RowsNeededError(f"operation {operation.name!r} ({kind}): {error}") from None
    except TypeError:
        where = f"operation {operation.name!r} ({kind})"
        raise ValueError(f"{where}: is called in a way that is not known") from None
    except ValueError as error:
        raise ValueError(f"operation {operation.name!r} ({kind}): {error}") from None


_Operation = Callable[..., Any]


def _function(name: str) -> _Operation:
    """Return the reader of an activation that has no parameters."""
    return lambda operation, x: x.applied(ACTIVATIONS[name])


def _activation(name: ActivationName) -> _Operation:
    return lambda operation, x: x.applied(lambda v: v.activated(Activation(name)))


def _elementary(name: str) -> _Operation:
    return lambda operation, x: x.applied(lambda v: v.activated(name))


def _gelu(operation: Any, x: Tensor) -> Tensor:
    name = Activation("gelu_tanh" if operation.approximate else "gelu")
    return x.applied(lambda v: v.activated(name))


def _softmax(head: str) -> _Operation:
    return lambda operation, x: x.softmax(operation.axis, head)


def _clip(operation: Any, x: Tensor) -> Tensor:
    return x.clipped(_constant(operation.x_min), _constant(operation.x_max))


# --- Arithmetic -------------------------------------------------------------------------------


def _add(operation: Any, x1: Any, x2: Any) -> Tensor:
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        return x1.combined(x2, "add")
    x, shift = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
    return x.scaled(1.0, _constant(shift))


def _subtract(operation: Any, x1: Any, x2: Any) -> Tensor:
    if not isinstance(x2, Tensor):
        return _add(operation, x1, -_constant(x2))
    return _add(operation, x1, x2.scaled(-1.0, 0.0))


def _multiply(operation: Any, x1: Any, x2: Any) -> Tensor:
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        return x1.combined(x2, "multiply")
    x, scale = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
    return x.scaled(_constant(scale), 0.0)


def _divide(operation: Any, x1: Any, x2: Any) -> Tensor:
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        return x1.combined(x2, "divide")
    if isinstance(x1, Tensor):
        with np.errstate(all="ignore"):
            return x1.scaled(1 / _constant(x2), 0.0)
    return _multiply(operation, _reciprocal(operation, x2), x1)


def _reciprocal(operation: Any, x: Tensor) -> Tensor:
    return x.applied(Value.reciprocal)


def _power(operation: Any, x1: Any, x2: Any) -> Tensor:
    if not isinstance(x1, Tensor):
        raise ValueError("has no exponent of 1, 2, 3 or -1")
    exponent = _number(x2, "an exponent")
    return x1.applied(lambda v: v.power(exponent))


def _bounded(operation: str) -> _Operation:
    """Return the reader of Maximum or Minimum."""

    def read(_: Any, x1: Any, x2: Any) -> Tensor:
        if isinstance(x1, Tensor) and isinstance(x2, Tensor):
            return x1.combined(x2, operation)
        x, bound = (x1, x2) if isinstance(x1, Tensor) else (x2, x1)
        number = _constant(bound)
        return x.clipped(number, np.inf) if operation == "maximum" else x.clipped(-np.inf, number)

    return read


def _matmul(operation: Any, x1: Any, x2: Any) -> Tensor:
    weight = None if isinstance(x2, Tensor) else as_array(x2)
    if not isinstance(x1, Tensor) or weight is None or weight.ndim != 2:
        raise ValueError("multiplies by something else than a constant matrix from the right")
    return x1.linear(weight.T, None)


def _einsum(operation: Any, *operands: Any) -> Tensor:
    if len(operands) != 2 or not isinstance(operands[0], Tensor) or isinstance(operands[1], Tensor):
        raise ValueError("is not a sum over one value and one constant")
    return einsum(operation.subscripts, operands[0], as_array(operands[1]))


def _constant(value: Any) -> Any:
    """Return a constant in float64."""
    if isinstance(value, (bool, int, float)):
        return np.float64(value)
    return as_array(value).astype(np.float64)


def _number(value: Any, what: str) -> float:
    array = np.asarray(_constant(value))
    if array.size != 1:
        raise ValueError(f"has {what} for each feature, and laminet has one for all")
    return float(array.reshape(()))


# --- What moves numbers -----------------------------------------------------------------------


def _get_item(operation: Any, x: Tensor, key: Any) -> Tensor:
    keys = key if isinstance(key, tuple) else tuple(key) if isinstance(key, list) else (key,)
    if keys[:1] not in ((slice(None),), (Ellipsis,)) or keys.count(Ellipsis) > 1:
        raise ValueError("takes some of the samples")
    taken = [k for k in keys if k is not None and k is not Ellipsis]
    if keys[0] is Ellipsis and len(taken) > len(x.shape):
        raise ValueError("takes some of the samples")
    plain = all(isinstance(k, (int, slice, type(None), type(Ellipsis))) for k in keys)
    if not plain:
        raise ValueError("takes numbers by something else than fixed places")
    whole = all(k == slice(None) or k is Ellipsis for k in keys[: len(x.shape)])
    if x.rows and None in x.shape and not whole and keys[0] is not Ellipsis:
        raise ValueError("takes some of the rows of a sample, of an unknown number")
    return x.moved(lambda t: t[keys])


def _reshape(operation: Any, x: Tensor) -> Tensor:
    first, *rest = operation.newshape
    size = product(x.shape)
    shape = completed(rest, size)
    joins = product(shape) != size and size is not None
    if joins and len(x.shape) > 1 and shape[-1:] == x.shape[-1:] and not x.rows:
        raise RowsNeededError("makes samples of rows")
    # The first length must be left open, or be the only one that is not.
    fixed = first not in (-1, None) and -1 not in rest
    if fixed or (joins and not x.rows):
        raise ValueError(f"gives the shape {tuple(operation.newshape)}, which joins samples")
    return x.reshaped(shape)


def _squeeze(operation: Any, x: Tensor) -> Tensor:
    axis = operation.axis
    axes = axis if isinstance(axis, (tuple, list)) else [axis]
    if None in axes:
        axes = [i + 1 for i, n in enumerate(x.shape) if n == 1]
    axes = [_axis(a, len(x.shape) + 1) for a in axes]
    return x.reshaped([n for i, n in enumerate(x.shape) if i + 1 not in axes])


def _expand_dims(operation: Any, x: Tensor) -> Tensor:
    axes = operation.axis if isinstance(operation.axis, (tuple, list)) else [operation.axis]
    shape: list[int | None] = list(x.shape)
    for axis in sorted(_axis(a, len(x.shape) + 1 + len(axes)) for a in axes):
        shape.insert(axis - 1, 1)
    return x.reshaped(shape)


def _transpose(operation: Any, x: Tensor) -> Tensor:
    axes = operation.axes
    if axes is None or _axis(axes[0], len(axes), samples=True) != 0:
        raise ValueError("moves the axis of the samples")
    return x.moved(lambda t: np.transpose(t, axes))


def _swapaxes(operation: Any, x: Tensor) -> Tensor:
    axes = [_axis(a, len(x.shape) + 1) for a in (operation.axis1, operation.axis2)]
    return x.moved(lambda t: np.swapaxes(t, *axes))


def _moveaxis(operation: Any, x: Tensor) -> Tensor:
    pair = [
        [_axis(a, len(x.shape) + 1) for a in (v if isinstance(v, (tuple, list)) else [v])]
        for v in (operation.source, operation.destination)
    ]
    return x.moved(lambda t: np.moveaxis(t, *pair))


def _flip(operation: Any, x: Tensor) -> Tensor:
    axis = operation.axis
    axes = axis if isinstance(axis, (tuple, list)) else [axis]
    if None in axes:
        raise ValueError("reverses the samples")
    places = tuple(_axis(a, len(x.shape) + 1) for a in axes)
    return x.moved(lambda t: np.flip(t, places))


def _take(operation: Any, x: Any, indices: Any) -> Tensor:
    if not isinstance(x, Tensor) or isinstance(indices, Tensor) or operation.axis is None:
        raise ValueError("takes numbers by something else than fixed places")
    places = np.asarray(_constant(indices)).astype(np.int64)
    axis = _axis(operation.axis, len(x.shape) + 1)
    return x.moved(lambda t: np.take(t, places, axis))


def _split(operation: Any, x: Tensor) -> list[Tensor]:
    axis = _axis(operation.axis, len(x.shape) + 1)
    where = operation.indices_or_sections
    sections = where if isinstance(where, int) else list(where)

    def part(i: int) -> Callable[[Any], Any]:
        return lambda t: np.split(t, sections, axis)[i]

    number = sections if isinstance(sections, int) else len(sections) + 1
    return [x.moved(part(i)) for i in range(number)]


def _concatenate(operation: Any, xs: Any) -> Tensor:
    values = list(xs)
    if not all(isinstance(v, Tensor) for v in values):
        raise ValueError("joins the model's values with constants")
    return concatenated(values, operation.axis)


def _hstack(operation: Any, xs: Any) -> Tensor:
    values = list(xs)
    if not all(isinstance(v, Tensor) for v in values):
        raise ValueError("joins the model's values with constants")
    return concatenated(values, 1)


def _axis(axis: Any, rank: int, samples: bool = False) -> int:
    result = int(axis) + rank if axis < 0 else int(axis)
    if result == 0 and not samples:
        raise ValueError("acts on the axis of the samples")
    return result


def _cast(operation: Any, x: Tensor, dtype: Any = None) -> Tensor:
    target = str(getattr(operation, "dtype", None) or dtype)
    if "float" not in target and "None" not in target:
        raise ValueError(f"makes {target} of the numbers, and laminet computes with real ones")
    return x


def _same(operation: Any, x: Tensor) -> Tensor:
    return x


# Of numbers of any kind, which stay what they are.
_MOVES: dict[str, _Operation] = {
    "GetItem": _get_item,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Transpose": _transpose,
    "Swapaxes": _swapaxes,
    "Moveaxis": _moveaxis,
    "Flip": _flip,
    "Take": _take,
    "Split": _split,
    "Concatenate": _concatenate,
    "Hstack": _hstack,
    "Cast": _cast,
    "ConvertToTensor": _cast,
    "Copy": _same,
    "StopGradient": _same,
}

OPERATIONS: dict[str, _Operation] = {
    "Relu": _function("relu"),
    "Relu6": _function("relu6"),
    "ReLU": lambda op, x: x.applied(
        lambda v: relu(v, op.negative_slope, op.max_value, op.threshold)
    ),
    "LeakyRelu": lambda op, x: x.applied(lambda v: relu(v, op.negative_slope)),
    "Elu": lambda op, x: x.applied(lambda v: v.elu(float(op.alpha))),
    "Celu": lambda op, x: x.applied(lambda v: v.celu(float(op.alpha))),
    "Selu": _function("selu"),
    "Gelu": _gelu,
    "Silu": _function("silu"),
    "Mish": _function("mish"),
    "Tanh": _function("tanh"),
    "Sigmoid": _function("sigmoid"),
    "LogSigmoid": _function("log_sigmoid"),
    "Softplus": _function("softplus"),
    "Softsign": _function("softsign"),
    "HardSigmoid": _function("hard_sigmoid"),
    "HardSilu": _function("hard_silu"),
    "HardTanh": _function("hard_tanh"),
    "SparseSigmoid": _function("sparse_sigmoid"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Exp": _elementary("exp"),
    "Log": _elementary("log"),
    "Log1p": lambda op, x: x.applied(lambda v: v.scaled(1.0, 1.0).activated("log")),
    "Erf": _elementary("erf"),
    "Sin": _activation("sin"),
    "Cos": lambda op, x: x.applied(Value.cosine),
    "Abs": _elementary("abs"),
    "Absolute": _elementary("abs"),
    "Clip": _clip,
    "Add": _add,
    "Subtract": _subtract,
    "Multiply": _multiply,
    "Divide": _divide,
    "TrueDivide": _divide,
    "Negative": lambda op, x: x.scaled(-1.0, 0.0),
    "Reciprocal": _reciprocal,
    "Power": _power,
    "Square": lambda op, x: _power(op, x, 2),
    "Maximum": _bounded("maximum"),
    "Minimum": _bounded("minimum"),
    "Matmul": _matmul,
    "Dot": _matmul,
    "Einsum": _einsum,
    **STATISTICS,
    **_MOVES,
}
