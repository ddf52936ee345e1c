"""How far right derivatives may be from the exact ones: derived, in the notation of `bounds`.

**Slopes.** d = s'(z) is computed from z^, |z^ - z| <= e_z, by code that is right within t units
in the last place (4, or 8 of gelu, gelu_tanh, silu and mish, as derivatives_test.cpp measures), of
a number of 1/4 at least where the derivative has a zero. With the Lipschitz constant L' of s' off
its kinks and J the largest jump at a kink that lies within e_z of z,

    |d^ - d|  <=  e_d  =  L' e_z + J + t (2 u max(|d| + L' e_z + J, 1/4) + eta)

**A chain of products** ``D_L W_L ... D_1 W_1`` is linear in each factor. |d^| <= |d| + e_d =: f, so

    |J^ - J|  <=  (1 + gamma_N) P(f) - P(|d|)  +  underflow      P(f) = F_L |W_L| ... F_1 |W_1|

The difference of the two products bounds what the errors of the slopes do; and each summand of an
entry of J passes through at most N roundings, whatever the order of the products: n_l additions and
multiplications for the product with W_l, and one for each diagonal [Higham, section 3.5]. A product
that underflows is off by eta / 2, which the other factors multiply by at most the product of their
norms.

**A head** is one more factor on the left, H = diag(q) (I - 1 p^T). Its probabilities are off by a
factor of at most exp(2 e_a + 2 (n + 8) u), e_a the largest error of the logits, if the softmax
itself rounds like a sum of n exponentials of 2 ULP each; its entries are treated like slopes, and
it adds 2 n + 6 roundings to N: two scalar products and what follows them.

**Gradients.** dW_l = sum over the batch of dZ_l^T A_{l-1}: products of numbers that have errors
themselves, in B + 1 roundings.

The reference rounds too; what is compared may differ by the sum of both bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from bounds import gamma, layer_bounds, smallest_subnormal, unit_roundoff

import laminet as ln
from laminet import reference

ULPS = {
    **dict.fromkeys(["identity", "relu", "relu6"], 0),
    **dict.fromkeys(["gelu", "gelu_tanh", "silu", "mish", "gated"], 8),
}

# sup |s''| off the kinks; test_derivatives.py checks them on a dense grid. The last digit is
# rounded up.
CURVATURE = {
    "identity": 0.0,
    "relu": 0.0,
    "relu6": 0.0,
    "leaky_relu": 0.0,
    "selu": 1.7581,
    "gelu": 0.7979,
    "gelu_tanh": 0.7979,
    "silu": 0.5001,
    "mish": 0.6443,
    "tanh": 0.7699,
    "sigmoid": 0.0963,
    "softplus": 0.2501,
    "softsign": 2.0,
    "hard_sigmoid": 0.0,
    "hard_swish": 0.3334,
    "sin": 1.0,
    "gated": 0.5001,  # with the parameters that are silu
}


def curvature(activation: ln.Activation) -> float:
    return abs(activation.alpha) if activation.name == "elu" else CURVATURE[activation.name]


def kinks(activation: ln.Activation) -> list[tuple[float, float]]:
    """Return (z, the jump of s' there)."""
    a, b = activation.alpha, activation.beta
    if activation.name == "hard_sigmoid":
        return [((edge - b) / a, abs(a)) for edge in (0.0, 1.0)] if a else []
    return {
        "relu": [(0.0, 1.0)],
        "relu6": [(0.0, 1.0), (6.0, 1.0)],
        "leaky_relu": [(0.0, abs(1 - (0 if a is None else a)))],
        "elu": [(0.0, abs(1 - (0 if a is None else a)))],
        "selu": [(0.0, 0.7075)],
        "hard_swish": [(-3.0, 0.5), (3.0, 0.5)],
    }.get(activation.name, [])


class Factor(NamedTuple):
    """The absolute values of a factor's slopes, and those with the error added."""

    d: np.ndarray
    f: np.ndarray


def slope_factor(activation, z, e_z, dtype) -> Factor:
    """Return the slopes at z, which was computed with an error of at most e_z, in `dtype`."""
    d = np.abs(reference.activation_derivative(activation, z))
    spread = curvature(activation) * e_z
    for kink, jump in kinks(activation):
        # The corner itself is rounded where it is compared.
        near = np.abs(z - kink) <= e_z + 2 * unit_roundoff(dtype) * abs(kink)
        spread = spread + np.where(near, jump, 0.0)
    unit = 2 * unit_roundoff(dtype) * np.maximum(d + spread, 0.25) + smallest_subnormal(dtype)
    return Factor(d, d + spread + ULPS.get(activation.name, 4) * unit)


def slope_bounds(net, x, dtype):
    """Return a Factor for each layer, of slopes computed in `dtype`; and the bounds of Z and A."""
    trace = reference.trace(list(net.layers), x)
    bounds = layer_bounds(list(net.layers), x, dtype)
    factors = []
    for layer, z, bound in zip(net.layers, trace.pre_activations, bounds, strict=True):
        factors.append(slope_factor(layer.activation, z, bound.z, dtype))
    return factors, bounds, trace


def _weights(net):
    return [np.abs(np.asarray(layer.weight, np.float64)) for layer in net.layers]


def _head_factor(net, bounds, trace, dtype):
    p = reference.softmax(trace.activations[-1])
    n = p.shape[-1]
    e_a = bounds[-1].a.max(axis=-1, keepdims=True)
    grown = p * np.exp(2 * e_a + 2 * (n + 8) * unit_roundoff(dtype))
    eye = np.eye(n)

    def absolute(q):
        rows = eye + q[..., None, :]
        return q[..., :, None] * rows if net.head == "softmax" else rows

    return absolute(p), absolute(grown)


def _chain(net, x, dtype, start, forward=False):
    """Bound of |start J| (or |J start|) as computed minus exact, rows of `start` being absolute."""
    factors, bounds, trace = slope_bounds(net, x, dtype)
    weights = _weights(net)
    n = sum(w.shape[1] + 3 for w in weights) + weights[-1].shape[0]
    matrices = [
        (factor.d[..., :, None] * w, factor.f[..., :, None] * w)
        for factor, w in zip(factors, weights, strict=True)
    ]
    if net.head is not None:
        matrices.append(_head_factor(net, bounds, trace, dtype))
        n += 2 * net.out_features + 6
    if not forward:
        matrices.reverse()
    exact = most = start
    scale = np.maximum(1.0, start.max(initial=0.0))
    for d, f in matrices:
        exact = d @ exact if forward else exact @ d
        most = f @ most if forward else most @ f
        # Of both directions, as what underflows is multiplied from either side.
        scale = scale * np.maximum(1.0, f.sum(-1).max(initial=0.0) * f.sum(-2).max(initial=0.0))
    underflow = 2 * n * smallest_subnormal(dtype) * scale
    return ((1 + gamma(n, dtype)) * most - exact + underflow) * (1 + 2.0**-30)


def _both(bound, net, x, *arguments):
    return bound(net, x, net.dtype, *arguments) + bound(net, x, np.float64, *arguments)


def jacobian_bound(net: ln.MLP, x: np.ndarray) -> np.ndarray:
    """Return the bound of |net.jacobian(x) - reference.jacobian(net, x)|."""
    return _both(_chain, net, x, np.eye(net.out_features))


def vjp_bound(net: ln.MLP, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    rows = np.abs(v.astype(np.float64))[..., None, :]
    return _both(_chain, net, x, rows)[..., 0, :]


def jvp_bound(net: ln.MLP, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    columns = np.abs(u.astype(np.float64))[..., :, None]
    return _both(_chain, net, x, columns, True)[..., :, 0]


def gradient_bounds(net: ln.MLP, x: np.ndarray, g: np.ndarray):
    """Return bounds for (weights, biases), of a batch x."""
    totals = None
    for dtype in (net.dtype, np.dtype(np.float64)):
        result = []
        for at in range(len(net.layers)):
            # dZ_l is a vjp of the layers above, and of the its own slopes.
            factors, bounds, trace = slope_bounds(net, x, dtype)
            exact = most = np.abs(g.astype(np.float64))[:, None, :]
            n = 2
            if net.head is not None:
                d, f = _head_factor(net, bounds, trace, dtype)
                exact, most, n = exact @ d, most @ f, n + 2 * net.out_features + 6
            for k in range(len(net.layers) - 1, at, -1):
                w = _weights(net)[k]
                exact = exact @ (factors[k].d[:, :, None] * w)
                most = most @ (factors[k].f[:, :, None] * w)
                n += w.shape[0] + 3
            exact = (exact[:, 0, :] * factors[at].d).T
            most = (most[:, 0, :] * factors[at].f).T
            a = np.abs(trace.activations[at])
            a_most = a + (bounds[at - 1].a if at else 0.0)
            n += len(x) + 2
            tiny = 4 * n * smallest_subnormal(dtype) * (1 + most.max(initial=0) + a_most.max())
            result.append(
                (
                    (1 + gamma(n, dtype)) * (most @ a_most) - exact @ a + tiny,
                    (1 + gamma(n, dtype)) * most.sum(1) - exact.sum(1) + tiny,
                )
            )
        totals = (
            result
            if totals is None
            else [(w + w2, b + b2) for (w, b), (w2, b2) in zip(totals, result, strict=True)]
        )
    return totals
