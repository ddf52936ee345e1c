"""How far a right result may be from the exact one: derived, evaluated from the inputs.

Notation: u the unit roundoff (2^-24 or 2^-53), eta the smallest subnormal, and

    gamma_k = k u / (1 - k u)

**One product.** Every summand of ``z_i = sum_j W_ij a_j + b_i`` passes through at most one
multiplication, K - 1 additions among the K products and the addition of b_i: K + 1 roundings.
That holds for every order of summation and for any blocking, and a fused multiply-add only leaves
roundings out [1, sections 3.1 and 3.5]. So, for the numbers that were multiplied,

    |z^ - (W a^ + b)|  <=  gamma_{K+1} (|W| |a^| + |b|) + (K + 1) eta

where eta is for products that underflow: each loses at most eta / 2 there, and what later
roundings make of that stays below eta. (Sums that underflow are exact.)

**From layer to layer.** Let a be exact, a^ computed, |a^ - a| <= e. Then |a^| <= |a| + e, and

    |z^ - z|  <=  e_z  =  |W| e + gamma_{K+1} (|W| (|a| + e) + |b|) + (K + 1) eta

The term with e inside gamma is the second order that is usually dropped; it is kept here, so that
this is a bound and not an estimate.

**Activation.** s has Lipschitz constant L on the whole line (`lipschitz`), and its code returns
s(z^) within t units in the last place. Since |s(z^)| <= |s(z)| + L e_z, and one ulp of v is at most
2 u |v|, or eta for subnormal v,

    |a^' - a'|  <=  L e_z + t (2 u (|a'| + L e_z) + eta)

with t = 0 for functions that only select, and otherwise what DESIGN.md, section 5, promises and
test_activations.py measures: 2 for the elementary functions, 4 for those built from them.

**Infinities.** Where an infinite input makes z infinite, z^ is that infinity, and e_z = 0. (It is
not so where z overflows: there the formulas give an infinite bound, which `compare` rejects.)

**The reference is computed too**, in float64 (`laminet.reference`), so it obeys the same formulas
with u = 2^-53; there the magnitudes of what was multiplied are known, and need no "+ e". The exact
|a| above is at most |a_ref| + e_ref. What is compared with the reference may differ by e + e_ref.

**The bound is computed too**: in float64, from sums of terms that are not negative, fewer than
2^12 roundings a layer; a factor 1 + 2^-30 at the end covers them.

[1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import laminet as ln
from laminet import reference

_ROUNDING_OF_THE_BOUND = 1 + 2.0**-30

# sup |s'|, for the functions without parameters; test_bounds.py checks them on dense grids.
# The last digit is rounded up.
_LIPSCHITZ = {
    "identity": 1.0,
    "relu": 1.0,
    "relu6": 1.0,
    "selu": 1.0507009873554805 * 1.6732632423543773,
    "gelu": 1.1290,
    "gelu_tanh": 1.1290,
    "silu": 1.0999,
    "mish": 1.0885,
    "tanh": 1.0,
    "sigmoid": 0.25,
    "softplus": 1.0,
    "softsign": 1.0,
    "hard_swish": 1.5,
    "sin": 1.0,
    "gated": 1.0999,  # with the parameters that are silu
}
_ULPS = {"identity": 0, "relu": 0, "relu6": 0, "tanh": 2, "sigmoid": 2, "softplus": 2}


def unit_roundoff(dtype: np.dtype | type) -> float:
    return float(np.finfo(dtype).eps) / 2


def smallest_subnormal(dtype: np.dtype | type) -> float:
    return float(np.finfo(dtype).smallest_subnormal)


def gamma(k: int, dtype: np.dtype | type) -> float:
    ku = k * unit_roundoff(dtype)
    if not ku < 1:
        raise ValueError(f"gamma_{k} does not exist in {np.dtype(dtype)}: k u is not below 1")
    return ku / (1 - ku)


def lipschitz(activation: ln.Activation) -> float | np.ndarray:
    """Return sup |s'(z)| over the whole line; of parameters by unit, for each."""
    if activation.name in ("leaky_relu", "elu"):
        return np.maximum(1.0, np.abs(activation.alpha))
    if activation.name == "hard_sigmoid":
        return abs(activation.alpha)
    return _LIPSCHITZ[activation.name]


def ulps(activation: ln.Activation) -> int:
    """Return how many units in the last place the activation's own code may be off."""
    return _ULPS.get(activation.name, 4)


class LayerBound(NamedTuple):
    """Bounds of |computed - reference| for a layer's pre-activation and activation."""

    z: np.ndarray
    a: np.ndarray


def _product(weight, bias, magnitude, error, dtype):
    """e_z for inputs of at most `magnitude`, themselves off by `error`."""
    k = weight.shape[1]
    terms = magnitude @ weight.T + bias
    return error @ weight.T + gamma(k + 1, dtype) * terms + (k + 1) * smallest_subnormal(dtype)


def _activated(activation, result, e_z, dtype):
    spread = lipschitz(activation) * e_z
    ulp = 2 * unit_roundoff(dtype) * (result + spread) + smallest_subnormal(dtype)
    return spread + ulps(activation) * ulp


def layer_bounds(
    net: ln.MLP | Sequence[ln.Dense], x: np.ndarray, dtype: np.dtype | type
) -> list[LayerBound]:
    """Return the bound for every layer of a network that computes in `dtype`.

    `x` is what the network reads, so already of `dtype`. Where the reference is infinite or NaN
    the bound is of no use; `compare.assert_close` looks at such places itself.
    """
    layers = net if isinstance(net, Sequence) else net.layers
    trace = reference.trace(layers, x)
    result = []
    e = e_ref = np.zeros(np.shape(x))
    for layer, before, exact_z, after in zip(
        layers, trace.activations[:-1], trace.pre_activations, trace.activations[1:], strict=True
    ):
        with np.errstate(all="ignore"):
            w = np.abs(np.asarray(layer.weight, dtype=np.float64))
            b = 0.0 if layer.bias is None else np.abs(np.asarray(layer.bias, dtype=np.float64))
            exact_at_most = np.abs(before) + e_ref
            z_ref = _product(w, b, np.abs(before), e_ref, np.float64)
            z = _product(w, b, exact_at_most + e, e, dtype)
            from_infinity = ~np.isfinite(before).all(axis=-1, keepdims=True) & np.isinf(exact_z)
            z_ref, z = np.where(from_infinity, 0.0, z_ref), np.where(from_infinity, 0.0, z)
            e_ref = _activated(layer.activation, np.abs(after), z_ref, np.float64)
            e = _activated(layer.activation, np.abs(after) + e_ref, z, dtype)
            result.append(
                LayerBound(
                    (z + z_ref) * _ROUNDING_OF_THE_BOUND, (e + e_ref) * _ROUNDING_OF_THE_BOUND
                )
            )
    return result


def forward_bound(
    net: ln.MLP | Sequence[ln.Dense], x: np.ndarray, dtype: np.dtype | type
) -> np.ndarray:
    """Return the bound of |net(x) - reference.forward(net, x)|, shaped like the output."""
    return layer_bounds(net, x, dtype)[-1].a
