"""The activations and their derivatives, in NumPy float64: one row each in two tables.

Each formula is written so that nothing cancels: the result has the relative error of a few
roundings of the input and of the result, in the tails also, where the textbook form of gelu,
silu, mish, elu or softplus has lost every digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.activation import Activation, as_activation
from laminet.core.conversion import as_real_array

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["activation", "activation_derivative", "activation_parameter_derivatives"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
# Self-normalizing networks, Klambauer et al. 2017, arXiv:1706.02515, equation 14.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946

# NumPy has no complementary error function; the one of the C library is exact to an ULP or so.
_erfc: Callable[[Array], Array] = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(z: Array) -> Array:
    # Of the two forms, 1 / (1 + e^-z) and e^z / (1 + e^z), the one that cannot overflow.
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1 + e))


def _relu(z: Array) -> Array:
    return np.asarray(np.maximum(z, 0))


def _elu(z: Array, alpha: float) -> Array:
    return np.where(z > 0, z, alpha * np.expm1(z))


def _gelu(z: Array) -> Array:
    # z Phi(z). Phi(z) = (1 + erf(z / sqrt 2)) / 2 would cancel for negative z; erfc does not.
    return 0.5 * z * _erfc(-z * _SQRT_HALF)


def _gelu_tanh(z: Array) -> Array:
    # z (1 + tanh u) / 2 = z sigmoid(2 u), which does not cancel for negative z.
    return z * _sigmoid(2 * _SQRT_2_OVER_PI * (z + 0.044715 * z**3))


def _mish_tanh(z: Array) -> tuple[Array, Array]:
    """``t = tanh(softplus(z))`` and ``1 - t**2``, both without cancellation."""
    # With e = exp(z): t = (e^2 + 2e) / (e^2 + 2e + 2); for z > 0 divided through by e^2.
    e = np.exp(-np.abs(z))
    positive = z > 0
    numerator = np.where(positive, 1 + 2 * e, e * (e + 2))
    rest = np.where(positive, 2 * e * e, 2.0)  # 1 - t = rest / (numerator + rest)
    whole = numerator + rest
    return numerator / whole, rest * (2 * numerator + rest) / whole**2


def _gelu_derivative(z: Array) -> Array:
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return 0.5 * _erfc(-z * _SQRT_HALF) + z * density


def _gelu_tanh_derivative(z: Array) -> Array:
    v = 2 * _SQRT_2_OVER_PI * (z + 0.044715 * z**3)
    slope = 2 * _SQRT_2_OVER_PI * (1 + 3 * 0.044715 * z**2)
    return _sigmoid(v) * (1 + z * slope * _sigmoid(-v))


def _mish_derivative(z: Array) -> Array:
    t, one_minus_t2 = _mish_tanh(z)
    return t + z * one_minus_t2 * _sigmoid(z)


def _tanh_derivative(z: Array) -> Array:
    e = np.exp(-2 * np.abs(z))  # 1 - tanh^2 = 1 / cosh^2
    return np.asarray(4 * e / (1 + e) ** 2)


def _gated(z: Array, alpha: float, beta: float) -> Array:
    # (beta + (1 - beta) sigmoid(t)) z without cancellation, and an infinity times its gate.
    t = alpha * z
    parts = z * _sigmoid(t) + beta * z * _sigmoid(-t)
    return np.where(np.isinf(z), z * (_sigmoid(t) + beta * _sigmoid(-t)), parts)


def _silu_derivative(z: Array) -> Array:
    return _sigmoid(z) * (1 + z * _sigmoid(-z))


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "identity": lambda z: z.copy(),
    "relu": _relu,
    "relu6": lambda z: np.minimum(_relu(z), 6),
    "leaky_relu": lambda z, alpha: np.where(z > 0, z, alpha * z),
    "elu": _elu,
    "selu": lambda z: _SELU_SCALE * _elu(z, _SELU_ALPHA),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda z: z * _sigmoid(z),
    "mish": lambda z: z * _mish_tanh(z)[0],
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda z: _relu(z) + np.log1p(np.exp(-np.abs(z))),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "hard_sigmoid": lambda z, alpha, beta: np.clip(alpha * z + beta, 0, 1),
    "hard_swish": lambda z: z * np.clip((z + 3) / 6, 0, 1),
    "sin": np.sin,
    "gated": _gated,
}

# At a kink: the value that PyTorch takes.
_DERIVATIVES: dict[str, Callable[..., Array]] = {
    "identity": np.ones_like,
    "relu": lambda z: np.where(z > 0, 1.0, 0.0),
    "relu6": lambda z: np.where((z > 0) & (z < 6), 1.0, 0.0),
    "leaky_relu": lambda z, alpha: np.where(z > 0, 1.0, alpha),
    "elu": lambda z, alpha: np.where(z > 0, 1.0, alpha * np.exp(z)),
    "selu": lambda z: np.where(z > 0, _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA * np.exp(z)),
    "gelu": _gelu_derivative,
    "gelu_tanh": _gelu_tanh_derivative,
    "silu": _silu_derivative,
    "mish": _mish_derivative,
    "tanh": _tanh_derivative,
    "sigmoid": lambda z: _sigmoid(z) * _sigmoid(-z),
    "softplus": _sigmoid,
    "softsign": lambda z: 1 / (1 + np.abs(z)) ** 2,
    "hard_sigmoid": lambda z, alpha, beta: np.where(
        (alpha * z + beta > 0) & (alpha * z + beta < 1), alpha, 0.0
    ),
    "hard_swish": lambda z: np.where(z <= -3, 0.0, np.where(z < 3, z / 3 + 0.5, 1.0)),
    "sin": np.cos,
    "gated": lambda z, alpha, beta: (
        _silu_derivative(alpha * z) + beta * _silu_derivative(-alpha * z)
    ),
}


def _gated_by_parameters(z: Array, alpha: float, beta: float) -> dict[str, Array]:
    t = alpha * z
    opened, shut = z * _sigmoid(t), z * _sigmoid(-t)
    return {"alpha": (1 - beta) * opened * shut, "beta": shut}


def _hard_sigmoid_by_parameters(z: Array, alpha: float, beta: float) -> dict[str, Array]:
    inside = (alpha * z + beta > 0) & (alpha * z + beta < 1)
    return {"alpha": np.where(inside, z, 0.0), "beta": np.where(inside, 1.0, 0.0)}


# With respect to each parameter, at the kinks as above.
_BY_PARAMETERS: dict[str, Callable[..., dict[str, Array]]] = {
    "leaky_relu": lambda z, alpha: {"alpha": np.where(z > 0, 0.0, z)},
    "elu": lambda z, alpha: {"alpha": np.where(z > 0, 0.0, np.expm1(np.minimum(z, 0)))},
    "hard_sigmoid": _hard_sigmoid_by_parameters,
    "gated": _gated_by_parameters,
}


def activation(spec: ActivationName | Activation, z: ArrayLike) -> Array:
    """Apply an activation to each element, in float64.

    Parameters
    ----------
    spec : str or Activation
        The activation.
    z : array_like of any shape
        The pre-activations.

    Returns
    -------
    ndarray of the same shape, float64
        A new array.

    Raises
    ------
    ValueError
        If parameters are by unit, and the last axis is not one of so many units.
    TypeError
        If `z` does not hold real numbers.
    """
    spec = as_activation(spec)
    values = _values(spec, z)
    with np.errstate(all="ignore"):
        return np.asarray(_FUNCTIONS[spec.name](values, **spec.parameters))


def activation_derivative(spec: ActivationName | Activation, z: ArrayLike) -> Array:
    """Return the derivative of an activation at each element, in float64.

    At a kink it is what PyTorch's backward functions give: 0 at 0 for relu and at 0 and 6 for
    relu6; the derivative from the left at 0 (``alpha``) for leaky_relu, elu and selu; 0 at both
    corners of hard_sigmoid; 0 at -3 and 1 at 3 for hard_swish (PyTorch since pull request 148049).
    At NaN it is NaN, for the piecewise linear functions also; but that of identity is 1 everywhere,
    as it does not depend on ``z``.

    Parameters
    ----------
    spec : str or Activation
        The activation.
    z : array_like of any shape
        The pre-activations.

    Returns
    -------
    ndarray of the same shape, float64
        A new array.

    Raises
    ------
    ValueError
        If parameters are by unit, and the last axis is not one of so many units.
    TypeError
        If `z` does not hold real numbers.
    """
    spec = as_activation(spec)
    values = _values(spec, z)
    with np.errstate(all="ignore"):
        result = _DERIVATIVES[spec.name](values, **spec.parameters)
    if spec.name == "identity":
        return result
    return np.where(np.isnan(values), np.nan, result)


def activation_parameter_derivatives(
    spec: ActivationName | Activation, z: ArrayLike
) -> dict[str, Array]:
    """Return the derivatives of an activation with respect to its parameters, in float64.

    Of ``x > 0 ? x : alpha f(x)`` it is ``f(x)`` below 0, and 0 from there on; of hard_sigmoid
    ``x`` and 1 where it is not clipped, and 0 where it is, the corners included. At NaN it is NaN.

    Parameters
    ----------
    spec : str or Activation
        The activation.
    z : array_like of any shape
        The pre-activations; of parameters by unit the last axis is that of the units.

    Returns
    -------
    dict of str to ndarray of the shape of `z`, float64
        By name of the parameter; empty where the function has none.

    Raises
    ------
    ValueError
        If parameters are by unit, and the last axis is not one of so many units.
    TypeError
        If `z` does not hold real numbers.

    Examples
    --------
    >>> from laminet import reference
    >>> reference.activation_parameter_derivatives("leaky_relu", [-3.0, 2.0])
    {'alpha': array([-3.,  0.])}
    """
    spec = as_activation(spec)
    values = _values(spec, z)
    if not spec.parameters:
        return {}
    with np.errstate(all="ignore"):
        found = _BY_PARAMETERS[spec.name](values, **spec.parameters)
    return {name: np.where(np.isnan(values), np.nan, part) for name, part in found.items()}


def _values(spec: Activation, z: ArrayLike) -> Array:
    values = as_real_array(z, _FLOAT64, "z")
    if spec.in_features is not None and values.shape[-1:] != (spec.in_features,):
        raise ValueError(
            f"{spec.name} has parameters for {spec.in_features} units, z has shape {values.shape}"
        )
    return values
