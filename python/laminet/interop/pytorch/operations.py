"""The operations that PyTorch carries out when a module runs, by their names: what each computes.

Every function of PyTorch, every method and every operator ends in one of these, in a Python
``forward`` as in TorchScript or an exported program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop.pytorch.activations import OPERATORS
from laminet.interop.pytorch.choices import where
from laminet.interop.pytorch.modules import gelu
from laminet.interop.pytorch.normalisations import NORMALISATIONS
from laminet.interop.pytorch.products import PRODUCTS
from laminet.interop.pytorch.tensors import Comparison, LogSum, Tracked
from laminet.interop.symbolic.reading import BranchError
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["OPERATIONS"]

Array = NDArray[Any]

_EVAL = "call eval() on the module first"


def _applied(function: Callable[..., Value]) -> Callable[..., Tracked]:
    """Return an operation on tensors of a function of each feature."""

    def operation(x: Tracked, *args: Any, **kwargs: Any) -> Tracked:
        return x.with_value(function(x.value, *args, **kwargs))

    return operation


def _activation(name: ActivationName) -> Callable[..., Tracked]:
    return _applied(lambda x: x.activated(Activation(name)))


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


_BRANCHES = (
    ", which no layer of laminet does (sums and joins of them it has): read the parts before it by "
    "themselves"
)


def _combined(x: Tracked, y: Tracked, operation: str) -> Tracked:
    import torch

    shape = torch.broadcast_shapes(x.shape, y.shape)
    x, y = x.expanded(shape), y.expanded(shape)
    if not torch.equal(x.index, y.index):
        x, y = x.ordered(), y.ordered()
    try:
        return x.with_value(x.value.combined(y.value, operation))
    except BranchError as error:
        raise ValueError(f"{error}{_BRANCHES}") from None


def _add(x: Any, y: Any, alpha: Any = 1) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, Tracked):
        return _combined(x, y if alpha == 1 else _times(y, alpha), "add")
    factor = _number(alpha)
    if isinstance(x, Tracked):
        return _affine(x, y, lambda c: (1.0, factor * c))
    return _affine(y, x, lambda c: (factor, c))


def _subtract(x: Any, y: Any, alpha: Any = 1) -> Tracked:
    if isinstance(x, Tracked) and isinstance(y, LogSum) and alpha == 1:
        same = x.value.same_as(y.tensor.value) and x.index is y.tensor.index
        if same:
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
    return x.with_value(x.value.reciprocal())


def _power(x: Any, exponent: Any) -> Tracked:
    if hasattr(exponent, "numel") and exponent.numel() == 1:
        exponent = exponent.item()
    if not isinstance(x, Tracked) or not isinstance(exponent, (int, float)):
        raise ValueError("has no exponent of 1, 2, 3 or -1")
    return x.with_value(x.value.power(float(exponent)))


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
    clipped: Tracked = x.with_value(x.value.clipped(*bounds))
    return clipped


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


# --- Activations with parameters ----------------------------------------------------------------


def _prelu(x: Tracked, weight: Any) -> Tracked:
    slopes = weight.detach().to("cpu").double().numpy().reshape(-1)
    if len(np.unique(slopes)) == 1:
        return x.with_value(x.value.prelu(slopes))
    x, each = x.beside(weight.reshape(-1, *[1] * (max(len(x.shape), 2) - 2)))
    return x.with_value(x.value.prelu(np.asarray(each)))


def _rrelu(
    x: Tracked, noise: Any, lower: Any = 1 / 8, upper: Any = 1 / 3, training: bool = False, *_: Any
) -> Tracked:
    if training:
        raise ValueError(f"is in training mode and draws slopes: {_EVAL}")
    return x.with_value(x.value.leaky((lower + upper) / 2))


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
    "where": where,
    **{name: _elementary(name) for name in ("erf", "exp", "log", "abs")},
    "expm1": _applied(_expm1),
    "log1p": _applied(_log1p),
    **{name: _activation(ours) for name, ours in OPERATORS.items()},
    "gelu": _applied(gelu),
    "elu": _applied(lambda x, alpha=1, scale=1, input_scale=1: x.elu(alpha, scale, input_scale)),
    "celu": _applied(lambda x, alpha=1.0: x.celu(alpha)),
    "leaky_relu": _applied(lambda x, negative_slope=0.01: x.leaky(negative_slope)),
    "softplus": _applied(lambda x, beta=1, threshold=20: x.softplus(beta, threshold)),
    "cos": _applied(Value.cosine),
    "log_sigmoid": _applied(Value.log_sigmoid),
    "log_sigmoid_forward": lambda x: (_applied(Value.log_sigmoid)(x), None),
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
    "rrelu_with_noise": _rrelu,
    "rrelu_with_noise_functional": lambda *args: (_rrelu(*args), None),
}
