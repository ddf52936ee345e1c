"""Activations in 60 digits, by mpmath: what their code is measured against in ULP."""

from __future__ import annotations

import mpmath
import numpy as np

import laminet as ln

# 60 digits: enough for 1 + erf(-38), which is 1e-316, given erfc, and for all else.
_MP = mpmath.mp.clone()
_MP.dps = 60


def _selu(z):
    # Klambauer et al., arXiv:1706.02515, equation 14; as doubles, which is what they are in code.
    scale, alpha = (
        _MP.mpf("1.0507009873554804934193349852946"),
        _MP.mpf("1.6732632423543772848170429916717"),
    )
    return scale * (z if z > 0 else alpha * _MP.expm1(z))


def _gelu_tanh(z):
    u = 2 * _MP.sqrt(2 / _MP.pi) * (z + _MP.mpf("0.044715") * z**3)
    return z / (1 + _MP.exp(-u))


def _mish(z):
    e = _MP.exp(z)
    return z * e * (e + 2) / (e * (e + 2) + 2)


def _clip(z, low, high):
    return min(max(z, _MP.mpf(low)), _MP.mpf(high))


FUNCTIONS = {
    "identity": lambda z: z,
    "relu": lambda z: _clip(z, 0, "inf"),
    "relu6": lambda z: _clip(z, 0, 6),
    "leaky_relu": lambda z, alpha: z if z > 0 else alpha * z,
    "elu": lambda z, alpha: z if z > 0 else alpha * _MP.expm1(z),
    "selu": _selu,
    "gelu": lambda z: z * _MP.erfc(-z / _MP.sqrt(2)) / 2,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda z: z / (1 + _MP.exp(-z)),
    "mish": _mish,
    "tanh": lambda z: _MP.tanh(z),
    "sigmoid": lambda z: 1 / (1 + _MP.exp(-z)),
    "softplus": lambda z: _MP.log1p(_MP.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_sigmoid": lambda z, alpha, beta: _clip(alpha * z + beta, 0, 1),
    "hard_swish": lambda z: z * _clip(z + 3, 0, 6) / 6,
    "sin": lambda z: _MP.sin(z),
    "gated": lambda z, alpha, beta: z * (beta + (1 - beta) / (1 + _MP.exp(-alpha * z))),
}


def exact(activation: ln.Activation, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return s(z) as two doubles, high + low, right to some 2^-106 of it."""
    function = FUNCTIONS[activation.name]
    parameters = {k: _MP.mpf(v) for k, v in activation.parameters.items()}
    high, low = np.empty(len(points)), np.empty(len(points))
    for i, z in enumerate(points):
        value = function(_MP.mpf(float(z)), **parameters)
        high[i] = float(value)
        low[i] = float(value - _MP.mpf(high[i]))
    return high, low


def ulp_errors(got: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return |got - (high + low)| in units in the last place of got's dtype at the exact value."""
    info = np.finfo(got.dtype)
    _, exponent = np.frexp(high)  # |high| in [2^(e-1), 2^e)
    lowest = info.minexp + 1
    ulp = np.ldexp(1.0, np.maximum(exponent, lowest) - 1 - info.nmant)
    return np.abs((got.astype(np.float64) - high) - low) / ulp
