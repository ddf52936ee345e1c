"""The functions and methods that torch.fx finds in a ``forward``, by their names."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.activation import Activation, activation_named
from laminet.interop import scalar_functions as functions
from laminet.interop.pytorch import modules
from laminet.interop.pytorch.values import BATCH, Value, as_array, number

__all__ = ["FUNCTIONS", "call"]


def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a function or method of that name gives where a `Value` is among its arguments.

    Raises
    ------
    ValueError
        If there is no such function here, or its arguments are not what can be read.
    """
    if name not in FUNCTIONS:
        raise ValueError("is not a step of a chain of dense layers that laminet knows")
    try:
        return FUNCTIONS[name](*args, **kwargs)
    except TypeError as error:
        raise ValueError(f"is called in a way that is not known: {error}") from error


def _activation(name: str) -> Callable[..., Value]:
    def apply(x: Value, inplace: bool = False) -> Value:
        return x.activated(activation_named(name))

    return apply


def _elementary(name: str) -> Callable[[Value], Value]:
    return lambda input: input.activated(name)


def _linear(input: Value, weight: Any, bias: Any = None) -> Value:
    return input.linear(
        as_array(weight, "weight"), None if bias is None else as_array(bias, "bias")
    )


def _matmul(input: Any, other: Any) -> Value:
    if not isinstance(input, Value) or isinstance(other, Value):
        raise ValueError("multiplies from the left: samples would be columns")
    weight = as_array(other, "weight")
    return input.linear(weight.T, None)


def _addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Value:
    return _add(_scale(_matmul(mat1, mat2), alpha), input, alpha=beta)


def _scale(x: Value, factor: Any) -> Value:
    value = number(factor)
    if value is None:
        raise ValueError(f"scales by {factor!r}, not by a number")
    return x.scaled(value, 0.0)


def _vector(value: Any) -> Any:
    """Return what is added to or multiplied with the features: a number or one for each."""
    plain = number(value)
    if plain is not None:
        return plain
    if not hasattr(value, "numel"):
        raise ValueError(f"takes {value!r}, which is no number and no tensor")
    array = as_array(value, "a tensor")
    if any(extent != 1 for extent in array.shape[:-1]) or array.ndim > 2:
        raise ValueError(f"takes a tensor of shape {array.shape}, not one number for each feature")
    return array.reshape(-1).astype(np.float64)


def _add(input: Any, other: Any, *, alpha: Any = 1, out: None = None) -> Value:
    if isinstance(input, Value) and isinstance(other, Value):
        return input.combined(other if alpha == 1 else _scale(other, alpha), "add")
    if isinstance(other, Value):
        return _scale(other, alpha).scaled(1.0, _vector(input))
    x: Value = input
    return x.scaled(1.0, _vector(other) * alpha)


def _sub(input: Any, other: Any, *, alpha: Any = 1) -> Value:
    return _add(input, other, alpha=-alpha)


def _mul(input: Any, other: Any) -> Value:
    if isinstance(input, Value) and isinstance(other, Value):
        return input.combined(other, "multiply")
    x, factor = (input, other) if isinstance(input, Value) else (other, input)
    return x.scaled(_vector(factor), 0.0)


def _div(input: Any, other: Any, *, rounding_mode: Any = None) -> Value:
    if rounding_mode is not None:
        raise ValueError(f"rounds the quotient ({rounding_mode})")
    if isinstance(input, Value) and isinstance(other, Value):
        return input.combined(other, "divide")
    if isinstance(input, Value):
        with np.errstate(all="ignore"):
            inverse = 1 / np.asarray(_vector(other), np.float64)
        return input.scaled(inverse if inverse.ndim else float(inverse), 0.0)
    return _mul(_reciprocal(other), input)


def _reciprocal(input: Value) -> Value:
    return input.with_function(functions.reciprocal(input.symbol.function), "the reciprocal")


def _pow(input: Any, exponent: Any) -> Value:
    power = number(exponent)
    if power is None or not isinstance(input, Value):
        raise ValueError("has no exponent of 1, 2, 3 or -1")
    return input.with_function(functions.power(input.symbol.function, power), f"power {power:g}")


def _flatten(input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    if start_dim != 1 or end_dim not in (-1, 1) or (end_dim == 1 and input.width is None):
        raise ValueError(f"flattens dimensions {start_dim} to {end_dim}, not 1 to -1")
    return input


def _reshape(input: Value, *shape: Any) -> Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    keeps_batch = len(sizes) == 2 and sizes[0] in (BATCH, -1) and sizes[1] != sizes[0]
    if keeps_batch and sizes[1] == -1:
        return input
    if keeps_batch and isinstance(sizes[1], int) and input.width in (None, sizes[1]):
        return input.scaled(np.ones(sizes[1]), 0.0)  # says how many features there are
    raise ValueError(f"gives the shape {tuple(sizes)}, not (batch, features)")


def _size(input: Value, dim: Any = None) -> Any:
    if dim is None:
        return (BATCH, input.width)
    if dim == 0:
        return BATCH
    if dim in (1, -1) and input.width is not None:
        return input.width
    raise ValueError(f"asks for the size of dimension {dim}, which is not known")


def _getattr(input: Value, name: str) -> Any:
    if name == "shape":
        return _size(input)
    raise ValueError(f"asks for the attribute {name}")


def _dropout(input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training and p > 0:
        raise ValueError("drops at random, in training mode: call eval() on the module first")
    return input


def _softmax(head: str) -> Callable[..., Value]:
    def apply(input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
        return input.ended(modules.softmax_dim(dim, head))

    return apply


def _clamp(input: Value, min: Any = None, max: Any = None) -> Value:
    low = -np.inf if min is None else number(min)
    high = np.inf if max is None else number(max)
    if low is None or high is None:
        raise ValueError("clips to tensors, not to numbers")
    return modules.hardtanh(input, low, high)


def _batch_norm(
    input: Value,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    if training:
        raise ValueError("normalises with each batch's own statistics")
    return modules.batch_norm(input, running_mean, running_var, weight, bias, eps)


def _gelu(input: Value, approximate: str = "none") -> Value:
    return input.activated(Activation("gelu" if approximate == "none" else "gelu_tanh"))


def _same(input: Value, *args: Any, **kwargs: Any) -> Value:
    return input


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "addmm": _addmm,
    "add": _add,
    "sub": _sub,
    "rsub": lambda input, other: _sub(other, input),
    "mul": _mul,
    "div": _div,
    "truediv": _div,
    "true_divide": _div,
    "neg": lambda input: _scale(input, -1),
    "reciprocal": _reciprocal,
    "pow": _pow,
    "square": lambda input: _pow(input, 2),
    "flatten": _flatten,
    "view": _reshape,
    "reshape": _reshape,
    "size": _size,
    "getattr": _getattr,
    "getitem": operator.getitem,
    "dropout": _dropout,
    "alpha_dropout": _dropout,
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "clamp": _clamp,
    "clip": _clamp,
    "hardtanh": lambda input, min_val=-1.0, max_val=1.0, inplace=False: modules.hardtanh(
        input, min_val, max_val
    ),
    "batch_norm": _batch_norm,
    "contiguous": _same,
    "float": _same,
    "double": _same,
    "gelu": _gelu,
    "leaky_relu": lambda input, negative_slope=0.01, inplace=False: modules.leaky(
        input, negative_slope
    ),
    "elu": lambda input, alpha=1.0, inplace=False: input.activated(Activation("elu", alpha=alpha)),
    "celu": lambda input, alpha=1.0, inplace=False: modules.celu(input, alpha),
    "softplus": lambda input, beta=1, threshold=20: modules.softplus(input, beta, threshold),
    **{name: _elementary(name) for name in ("erf", "exp", "log", "abs")},
    **{
        name: _activation(name)
        for name in ("relu", "relu6", "selu", "silu", "mish", "tanh", "sigmoid", "softsign")
    },
    "hardsigmoid": _activation("hard_sigmoid"),
    "hardswish": _activation("hard_swish"),
}
