"""The operations that PyTorch carries out when a module runs, by their names: what each computes.

Every function of PyTorch, every method and every operator ends in one of these, in a Python
``forward`` as in TorchScript or an exported program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation, activation_named
from laminet.interop import scalar_functions as functions
from laminet.interop.pytorch import modules
from laminet.interop.pytorch.normalisations import NORMALISATIONS
from laminet.interop.pytorch.products import PRODUCTS
from laminet.interop.pytorch.tensors import Comparison, LogSum, Tracked
from laminet.interop.pytorch.values import Value
from laminet.interop.scalar_functions import Function
from laminet.interop.symbols import Symbol

__all__ = ["OPERATIONS"]

Array = NDArray[Any]

_EVAL = "call eval() on the module first"


def _applied(function: Callable[..., Value]) -> Callable[..., Tracked]:
    """Return an operation on tensors of a function of each feature."""

    def operation(x: Tracked, *args: Any, **kwargs: Any) -> Tracked:
        return x.with_value(function(x.value, *args, **kwargs))

    return operation


def _activation(name: str) -> Callable[..., Tracked]:
    return _applied(lambda x: x.activated(activation_named(name)))


def _elementary(name: str) -> Callable[..., Tracked]:
    return _applied(lambda x: x.activated(name))


# --- Arithmetic ---------------------------------------------------------------------------------


def _number(value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    raise ValueError("takes what is no number where a number is meant")


def _affine(x: Tracked, other: Any, make: Callable[[Any], tuple[Any, Any]]) -> Tracked:
    """Return ``scale * x + shift`` of a constant, from which `make` makes the two."""
    x, constant = x.beside(other) if hasattr(other, "numel") else (x, _number(other))
    with np.errstate(all="ignore"):
        scale, shift = make(constant)
    return x.with_value(x.value.scaled(scale, shift))


def _combined(x: Tracked, y: Tracked, operation: str) -> Tracked:
    import torch

    shape = torch.broadcast_shapes(x.shape, y.shape)
    x, y = x.expanded(shape), y.expanded(shape)
    if not torch.equal(x.index, y.index):
        if x.value.symbol.chain is y.value.symbol.chain:
            raise ValueError(f"is the {operation} of different features of one layer")
        x, y = x.ordered(), y.ordered()
    return x.with_value(x.value.combined(y.value, operation))


def _add(x: Any, y: Any, alpha: Any = 1) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        return _combined(x, y if alpha == 1 else _times(y, alpha), "add")
    factor = _number(alpha)
    if isinstance(x, Tracked):
        return _affine(x, y, lambda c: (1.0, factor * c))
    return _affine(y, x, lambda c: (factor, c))


def _subtract(x: Any, y: Any, alpha: Any = 1) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, LogSum) and alpha == 1:
        mine, its = x.value.symbol, y.tensor.value.symbol
        if mine.chain is its.chain and mine.function == its.function and x.index is y.tensor.index:
            return x.with_value(x.value.ended("log_softmax"))
    return _add(x, y, alpha=-_number(alpha))


def _times(x: Any, y: Any) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        return _combined(x, y, "multiply")
    return _affine(x, y, _as_scale) if isinstance(x, Tracked) else _affine(y, x, _as_scale)


def _as_scale(constant: Any) -> tuple[Any, float]:
    return constant, 0.0


def _divided(x: Any, y: Any, rounding_mode: str | None = None) -> Tracked:
    if rounding_mode is not None:
        raise ValueError(f"rounds the quotient ({rounding_mode})")
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        return _combined(x, y, "divide")
    if isinstance(x, Tracked):
        return _affine(x, y, lambda c: (np.float64(1) / c, 0.0))
    return _times(_reciprocal(y), x)


def _reciprocal(x: Tracked) -> Tracked:
    function = functions.reciprocal(x.value.symbol.function)
    return x.with_value(x.value.with_function(function, "the reciprocal"))


def _power(x: Any, exponent: Any) -> Tracked:
    if hasattr(exponent, "numel") and exponent.numel() == 1:
        exponent = exponent.item()
    if not isinstance(x, Tracked) or not isinstance(exponent, (int, float)):
        raise ValueError("has no exponent of 1, 2, 3 or -1")
    function = functions.power(x.value.symbol.function, exponent)
    return x.with_value(x.value.with_function(function, f"power {exponent:g}"))


def _with_product(x: Any, a: Any, b: Any, value: Any = 1) -> Tracked:
    product = _times(a, b) if isinstance(a, Tracked) or isinstance(b, Tracked) else a * b
    return _add(x, product, alpha=value)


def _with_quotient(x: Any, a: Any, b: Any, value: Any = 1) -> Tracked:
    quotient = _divided(a, b) if isinstance(a, Tracked) or isinstance(b, Tracked) else a / b
    return _add(x, quotient, alpha=value)


# --- Bounds and comparisons ---------------------------------------------------------------------


def _clamp(x: Any, min: Any = None, max: Any = None) -> Tracked:
    if not isinstance(x, Tracked) or isinstance(min, Tracked) or isinstance(max, Tracked):
        raise ValueError("clips to bounds that depend on the input")
    bounds: list[Any] = []
    for bound, infinite in ((min, -np.inf), (max, np.inf)):
        if bound is None:
            bounds.append(infinite)
        elif hasattr(bound, "numel"):
            x, numbers = x.beside(bound)
            bounds.append(numbers)
        else:
            bounds.append(_number(bound))
    return _bounded(x, *bounds)


def _bounded(x: Tracked, low: Any, high: Any) -> Tracked:
    """Return ``min(max(x, low), high)``, both numbers or one number for each feature."""
    if np.ndim(low) == 0 and np.ndim(high) == 0:
        return x.with_value(modules.hardtanh(x.value, low, high))
    if np.isinf(high).all() and np.isfinite(low).all():  # max(x, low) = relu(x - low) + low
        value = x.value.scaled(1.0, -low).activated(Activation("relu")).scaled(1.0, low)
    elif np.isinf(low).all() and np.isfinite(high).all():  # min(x, high) = high - relu(high - x)
        value = x.value.scaled(-1.0, high).activated(Activation("relu")).scaled(-1.0, high)
    elif np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all():
        width = high - low
        value = modules.hardtanh(x.value.scaled(1 / width, -low / width), 0.0, 1.0)
        value = value.scaled(width, low)
    else:
        raise ValueError("clips some features between finite bounds, others not or to one number")
    return x.with_value(value)


def _maximum(x: Any, y: Any) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        return _combined(x, y, "maximum")
    return _clamp(x, min=y) if isinstance(x, Tracked) else _clamp(y, min=x)


def _minimum(x: Any, y: Any) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        raise ValueError("is the minimum of two results")
    return _clamp(x, max=y) if isinstance(x, Tracked) else _clamp(y, max=x)


def _threshold(x: Tracked, threshold: Any, value: Any) -> Tracked:
    if _number(threshold) != _number(value):
        raise ValueError(f"jumps to {value:g} at the threshold of {threshold:g}")
    return _clamp(x, min=threshold)


def _compared(greater: bool) -> Callable[..., Comparison]:
    def operation(x: Any, y: Any) -> Comparison:
        tensor, other = (x, y) if isinstance(x, Tracked) else (y, x)
        if isinstance(other, Tracked):
            raise ValueError("compares two results that depend on the input")
        given = tensor
        if hasattr(other, "numel"):
            tensor, other = tensor.beside(other)
        if np.ndim(other):
            raise ValueError("compares each feature with another number")
        return Comparison(tensor, _number(other), greater == (given is x))

    return operation


def _where(condition: Any, x: Any, y: Any) -> Tracked:
    import torch

    if not isinstance(condition, Comparison):
        raise ValueError("selects between two results")
    asked = condition.tensor
    parts: list[Any] = []
    for part in (x, y) if condition.greater else (y, x):
        if isinstance(part, Tracked):
            same = part.value.symbol.chain is asked.value.symbol.chain
            if not same or not torch.equal(part.index, asked.index):
                raise ValueError("selects between results of different layers")
            parts.append(part.value.symbol.function)
        else:
            _, constant = asked.beside(torch.as_tensor(part))
            if not isinstance(constant, float):
                raise ValueError("selects between a result and a number for each feature")
            parts.append(functions.Poly((constant,)))
    u, value = asked.value.symbol.function, asked.value
    if not isinstance(u, functions.Poly):  # of an activation: that is a layer, and u a line of it
        inner = u.function if isinstance(u, functions.Scaled) else u
        u, *parts = (functions.in_terms_of(f, inner) for f in (u, *parts))
        layer = Symbol(value.symbol.chain, inner).resolved()
        value = Value(Symbol(layer, u))
    return asked.with_value(
        value.with_function(_choice(u, condition.bound, *parts), "the choice between two functions")
    )


def _choice(u: Function, bound: float, above: Function, below: Function) -> Function | None:
    """Return ``above where u > bound, else below``."""
    number = functions.Poly((bound,))
    if (above, below) == (u, number):
        return functions.clip(u, bound, np.inf)
    if (above, below) == (number, u):
        return functions.clip(u, -np.inf, bound)
    return functions.where_greater(u, bound, above, below)


# --- Activations with parameters ----------------------------------------------------------------


def _elu(x: Value, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Value:
    selu = (1.6732632423543772, 1.0507009873554805)
    if input_scale == 1 and np.allclose((alpha, scale), selu, rtol=1e-12, atol=0):
        return x.activated(Activation("selu"))
    # s (u if u > 0 else a (exp(k u) - 1)) = s / k elu(k u) of alpha = a k
    inner = x if input_scale == 1 else x.scaled(input_scale, 0.0)
    result = inner.activated(Activation("elu", alpha=alpha * input_scale))
    return result if scale == input_scale else result.scaled(scale / input_scale, 0.0)


def _prelu(x: Tracked, weight: Any) -> Tracked:
    slopes = np.unique(weight.detach().to("cpu").double().numpy())
    if len(slopes) != 1:
        raise ValueError(f"has {len(slopes)} different slopes; laminet has one for a layer")
    return x.with_value(modules.leaky(x.value, float(slopes[0])))


def _rrelu(
    x: Tracked, noise: Any, lower: Any = 1 / 8, upper: Any = 1 / 3, training: bool = False, *_: Any
) -> Tracked:
    if training:
        raise ValueError(f"is in training mode and draws slopes: {_EVAL}")
    return x.with_value(modules.leaky(x.value, (lower + upper) / 2))


def _gelu(x: Value, approximate: str = "none") -> Value:
    return x.activated(Activation("gelu" if approximate == "none" else "gelu_tanh"))


def _log_sigmoid(x: Value) -> Value:
    return x.scaled(-1.0, 0.0).activated(Activation("softplus")).scaled(-1.0, 0.0)


def _expm1(x: Value) -> Value:
    return x.activated("exp").scaled(1.0, -1.0)


def _log1p(x: Value) -> Value:
    return x.scaled(1.0, 1.0).activated("log")


OPERATIONS: dict[str, Callable[..., Any]] = {
    **NORMALISATIONS,
    **PRODUCTS,
    "add": _add,
    "sub": _subtract,
    "rsub": lambda x, y, alpha=1: _add(_times(x, -_number(alpha)), y),
    "mul": _times,
    "div": _divided,
    "neg": lambda x: _times(x, -1),
    "reciprocal": _reciprocal,
    "pow": _power,
    "square": lambda x: _power(x, 2),
    "addcmul": _with_product,
    "addcdiv": _with_quotient,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda x, bound: _clamp(x, min=bound),
    "clamp_max": lambda x, bound: _clamp(x, max=bound),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: _clamp(x, min_val, max_val),
    "maximum": _maximum,
    "minimum": _minimum,
    "threshold": _threshold,
    "gt": _compared(True),
    "ge": _compared(True),
    "lt": _compared(False),
    "le": _compared(False),
    "where": _where,
    **{name: _elementary(name) for name in ("erf", "exp", "log", "abs")},
    "expm1": _applied(_expm1),
    "log1p": _applied(_log1p),
    **{
        name: _activation(name)
        for name in ("relu", "relu6", "selu", "silu", "mish", "tanh", "sigmoid", "softsign")
    },
    "hardsigmoid": _activation("hard_sigmoid"),
    "hardswish": _activation("hard_swish"),
    "gelu": _applied(_gelu),
    "elu": _applied(_elu),
    "celu": _applied(lambda x, alpha=1.0: modules.celu(x, alpha)),
    "leaky_relu": _applied(lambda x, negative_slope=0.01: modules.leaky(x, negative_slope)),
    "softplus": _applied(lambda x, beta=1, threshold=20: modules.softplus(x, beta, threshold)),
    "log_sigmoid": _applied(_log_sigmoid),
    "log_sigmoid_forward": lambda x: (_applied(_log_sigmoid)(x), None),
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
    "rrelu_with_noise": _rrelu,
    "rrelu_with_noise_functional": lambda *args: (_rrelu(*args), None),
}
