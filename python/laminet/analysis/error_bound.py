"""How far the outputs of a network may be from the exact ones, by the rounding of its sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from laminet.analysis.arguments import require_network
from laminet.core.activation import Activation
from laminet.core.conversion import as_real_array
from laminet.core.floating_point import silent
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.layer import entry_of
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.core.layers.tree import walk
from laminet.reference.heads import apply_head
from laminet.reference.layers import dense_parts, value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.mlp import MLP

    Array = NDArray[np.float64]
    DType = np.dtype[Any]

__all__ = ["difference_bound", "error_bound"]

# That neither round nor make an error larger.
_EXACT = frozenset({"identity", "relu"})


# The largest slopes of the others; None: parameters say it, in `_steepest`. That of gelu is
# at sqrt(2), those of silu and mish near 2.4 and 1.5; they are rounded up.
_STEEPEST: dict[str, float | None] = {
    "identity": 1.0,
    "relu": 1.0,
    "relu6": 1.0,
    "leaky_relu": None,
    "elu": None,
    "selu": 1.7581,
    "gelu": 1.1290,
    "gelu_tanh": 1.1295,
    "silu": 1.0999,
    "mish": 1.0886,
    "tanh": 1.0,
    "sigmoid": 0.25,
    "softplus": 1.0,
    "softsign": 1.0,
    "hard_sigmoid": None,
    "hard_swish": 1.5,
    "sin": 1.0,
    "gated": None,
}
# They are computed to 4 units in the last place: 8 roundoffs.
_ULPS = 8


# bfloat16: its unit roundoff, and the largest number that products of it take as zero, rounded up.
_BFLOAT16_UNIT = 2.0**-8
_FLUSHED = 2.0**-126


class _Rounding(NamedTuple):
    """The type in which is computed, and how far weights are from those that count."""

    dtype: DType
    moved: Mapping[int, tuple[Array, Array]]  # by id of a layer: |W'|, |W' - W|
    narrow: bool = False  # products are of numbers of bfloat16

    def gamma(self, k: int) -> float:
        return k * self.unit / (1 - k * self.unit)

    def weights(self, layer: Dense) -> tuple[Array, Array | float]:
        """Return the magnitudes of the weights that are computed with, and of what they moved."""
        return self.moved.get(id(layer), (_absolute(layer.weight), 0.0))

    def multiplied(self, at: _At) -> _At:
        """Return a place as products read it."""
        return _At(at.a, at.e + _BFLOAT16_UNIT * at.most + _FLUSHED) if self.narrow else at

    def underflow(self, terms: int) -> float:
        """Return what sums of so many terms may lose by what is near zero."""
        return terms * (_FLUSHED if self.narrow else self.smallest)

    @property
    def unit(self) -> float:
        """The unit roundoff."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return float(np.finfo(self.dtype).smallest_subnormal)


class _At(NamedTuple):
    """What is exact at a place of the network, and how far what is computed may be from it."""

    a: Array
    e: Array

    @property
    def most(self) -> Array:
        """The largest that a computed number may be."""
        return np.asarray(np.abs(self.a) + self.e)


@silent
def error_bound(net: MLP, x: NDArray[Any]) -> NDArray[np.float64]:
    """Bound how far each output may be from the exact one, where activations are exact.

    Parameters
    ----------
    net : MLP
        The network; its activations are identity or relu.
    x : ndarray of shape (in_features,) or (batch, in_features)
        The samples; the bound is at what the network reads, rounded to its dtype.

    Returns
    -------
    ndarray of shape (out_features,) or (batch, out_features), float64
        A bound for each output; infinity where a norm divides by what may be zero.

    Raises
    ------
    ValueError
        If the network has another activation, or a head.
    TypeError
        If `net` is not an MLP.

    Notes
    -----
    With the exact activations ``a_l`` and the unit roundoff ``u`` of the network's type, the error
    ``e_l`` of the computed ones is, element by element, at most ::

        e_0 = 0
        e_l = |W_l| e_{l-1} + gamma_{n+1} (|W_l| (|a_{l-1}| + e_{l-1}) + |b_l|) + (n + 1) eta

    where ``gamma_k = k u / (1 - k u)`` and ``n`` is the number of the layer's inputs: a sum of
    ``n`` products and a bias, in any order, is within ``gamma_{n+1}`` of the sum of the absolute
    values [1]_, of the activations as they were computed. The error of the layer before passes
    through ``|W_l|``; identity and relu do not round and do not make it larger. A product that
    underflows loses half of the smallest subnormal number ``eta`` at most. That the bound itself is
    evaluated in float64 is left out.

    In `precision` "bfloat16" a dense layer reads ``a`` with ``e + 2^-8 (|a| + e) + 2^-126`` for
    ``e``, and its sums lose ``2^-126`` at most in each of their steps, which is then ``eta``.

    Of other layers, with ``m = |a| + e``, the most that a computed number can be:

    - `Rescale`: ``|s| e + gamma_2 (|s| m + |t|)``; to clip makes no error larger. Numbers that the
      network's type does not hold are off by what they are rounded by.
    - `LayerNorm`: of ``c = a - mean(a)`` it is ``e_c = e + mean(e) + gamma_{n+4} (m + mean(m))``,
      of ``s = sqrt(mean(c^2) + eps)``, a norm, ``e_s = r + gamma_{n+4} (s + r)`` with ``r =
      sqrt(mean(e_c^2))``; of ``y = c / s`` then ``e_y = (e_c + |y| e_s) / (s - e_s)`` and
      ``gamma_3 (|y| + e_y)``, and of the result ``|w| e_y + gamma_2 (|w| (|y| + e_y) + |b|)``. Of
      `RMSNorm` the same with ``c = a``.
    - `Residual` and `Parallel`: errors stand side by side or are added, and a sum of ``k`` terms
      adds ``gamma_k`` of the sum of their ``m``, ``gamma_{k+1}`` where it is a mean. A residual
      block that ends in a product may be one sum, of ``n + 2`` terms in any order.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002,
       section 3.1.
    """
    require_network(net)
    if net.head is not None or not _functions(net) <= _EXACT:
        raise ValueError("error_bound takes identity and relu activations only, without a head")
    a = np.asarray(as_real_array(x, net.dtype, "x", net.feature_names), np.float64)
    if a.ndim not in (1, 2) or a.shape[-1] != net.in_features:
        takes = net.in_features
        raise ValueError(f"x has shape {a.shape}, expected ({takes},) or (batch, {takes})")
    rounding = _Rounding(net.dtype, {}, net.precision == "bfloat16")
    return _series(net.layers, _At(a, np.zeros_like(a)), rounding).e


@silent
def difference_bound(net: MLP, other: MLP, x: NDArray[Any]) -> NDArray[np.float64]:
    """Bound how far the outputs of a network may move where its weights do.

    Parameters
    ----------
    net : MLP
    other : MLP
        The same layers with other weights, such as ``net.with_precision(...)``.
    x : ndarray of shape (batch, in_features)

    Returns
    -------
    ndarray of shape (batch, out_features), float64
        ``|other(x) - net(x)|`` is at most that; infinity where a norm divides by what may be zero.

    Notes
    -----
    It is `error_bound` of ``net`` and that of ``other`` about the exact outputs of ``net``, where
    a layer whose weights have become ``W'`` adds ``|W' - W| |a|``. An activation of slopes up to
    ``L``, computed to 4 units in the last place, makes of an error ``e`` before it ``L e + 8 u (|y|
    + L e) + 4 eta``; parameters that the network's type does not hold add what they are rounded by.

    A head of ``n`` outputs adds roundings that change each of ``exp(z_i - max z)`` by a factor of
    ``exp(s)`` at most, with ``s = 2 (e + 2 u m) + 2 (n + 8) u``, and ``e`` and ``m`` the largest
    error and number among the ``z`` of a sample. Then ``softmax`` is off by ``p (exp(s) - 1) + n
    eta``, never by more than ``1 + 2 (n + 8) u``, and ``log_softmax`` by ``s + 8 u (|y| + 1)``.
    """
    a = np.asarray(as_real_array(x, net.dtype, "x", net.feature_names), np.float64)
    pairs = zip(walk(net.layers), walk(other.layers), strict=True)
    moved = {
        id(one): (_absolute(two.weight), np.abs(np.subtract(two.weight, one.weight, dtype=float)))
        for (_, one), (_, two) in pairs
        if isinstance(one, Dense) and isinstance(two, Dense)
    }
    at = _At(a, np.zeros_like(a))
    total = np.zeros(())
    for one, weights in ((net, {}), (other, moved)):
        rounding = _Rounding(net.dtype, weights, one.precision == "bfloat16")
        end = _series(net.layers, at, rounding)
        total = total + (end.e if net.head is None else _head(net.head, end, rounding))
    return np.asarray(np.nan_to_num(total, nan=np.inf, posinf=np.inf))


def _head(head: str, at: _At, rounding: _Rounding) -> Array:
    """Return the error of a head for that of its logits."""
    n, unit = at.a.shape[-1], rounding.unit
    own = 2 * (n + 8) * unit
    e, most = (np.asarray(m).max(axis=-1, keepdims=True) for m in (at.e, at.most))
    exponent = 2 * (e + 2 * unit * most) + own
    y = np.abs(apply_head(head, at.a))
    if head == "log_softmax":
        return np.asarray(exponent + 8 * unit * (y + 1))
    return np.asarray(np.fmin(y * np.expm1(exponent) + n * rounding.smallest, 1 + own))


def _functions(net: MLP) -> set[str]:
    """Return the names of all activations of a network."""
    own = [leaf.activation if isinstance(leaf, Dense) else leaf for _, leaf in walk(net.layers)]
    return {one.name for one in own if isinstance(one, Activation)}


def _series(layers: Sequence[Layer], at: _At, rounding: _Rounding) -> _At:
    return reduce(lambda before, layer: _after(layer, before, rounding), layers, at)


def _after(layer: Layer, at: _At, rounding: _Rounding) -> _At:
    """Return the place after a layer."""
    if isinstance(layer, Residual):
        return _residual(layer, at, rounding)
    if isinstance(layer, Parallel):
        ends = [_series(branch, at, rounding) for branch in layer.branches]
        if layer.join == "concat":
            return _At(*(np.concatenate(arrays, axis=-1) for arrays in zip(*ends, strict=True)))
        return _sum(ends, rounding, mean=layer.join == "mean")
    return _At(value(layer, at.a), entry_of(_ERRORS, layer)(layer, at, rounding))


def _sum(terms: Sequence[_At], rounding: _Rounding, *, mean: bool = False) -> _At:
    factor = 1 / len(terms) if mean else 1.0
    error = reduce(np.add, [term.e for term in terms])
    most = reduce(np.add, [term.most for term in terms])
    total = reduce(np.add, [term.a for term in terms])
    gamma = rounding.gamma(len(terms) + mean)
    return _At(np.asarray(factor * total), np.asarray(factor * (error + gamma * most)))


def _residual(layer: Residual, at: _At, rounding: _Rounding) -> _At:
    before = _series(layer.layers[:-1], at, rounding)
    last = layer.layers[-1]
    end = _after(last, before, rounding)
    sum_apart = _sum([at, end], rounding)
    if not isinstance(last, Dense):
        return sum_apart
    # As one sum: x is one of n + 2 terms.
    weight, moved = rounding.weights(last)
    read = rounding.multiplied(before)
    terms = read.most @ weight.T + _absolute(last.bias) + at.most
    joined = at.e + read.e @ weight.T + _moving(moved, read.a)
    joined = joined + rounding.gamma(last.in_features + 2) * terms
    joined = joined + rounding.underflow(last.in_features + 2)
    return _At(sum_apart.a, np.maximum(sum_apart.e, joined))


def _dense(layer: Dense, at: _At, rounding: _Rounding) -> Array:
    weight, moved = rounding.weights(layer)
    read = rounding.multiplied(at)
    terms = read.most @ weight.T + _absolute(layer.bias)
    error = read.e @ weight.T + _moving(moved, read.a)
    error = error + rounding.gamma(layer.in_features + 1) * terms
    error = error + rounding.underflow(layer.in_features + 1)
    z = dense_parts(layer, at.a).z
    return _through(layer.activation, _At(z, error), value(layer, at.a), rounding)


def _moving(moved: Array | float, a: Array) -> Array | float:
    return np.abs(a) @ moved.T if isinstance(moved, np.ndarray) else moved


def _through(function: Activation, at: _At, y: Array, rounding: _Rounding) -> Array:
    """Return the error of y = s(z) for that of z."""
    if function.name in _EXACT:
        return at.e
    error = _steepest(function) * at.e
    error = error + _ULPS * rounding.unit * (np.abs(y) + error) + _ULPS / 2 * rounding.smallest
    return np.asarray(error + _of_parameters(function, at, rounding))


def _steepest(function: Activation) -> Array | float:
    """Return the largest slope of an activation."""
    known = _STEEPEST[function.name]
    if known is not None:
        return known
    alpha = np.abs(function.parameters["alpha"])
    if function.name == "hard_sigmoid":
        return np.asarray(alpha)
    if function.name != "gated":
        return np.asarray(np.maximum(1.0, alpha))
    # h + beta (1 - h), where h is a slope of silu: from -0.0999 to 1.0999.
    beta = np.asarray(function.parameters["beta"])
    ends = [np.abs(h + beta * (1 - h)) for h in (-0.0999, 1.0999)]
    return np.asarray(np.maximum(*ends))


def _of_parameters(function: Activation, at: _At, rounding: _Rounding) -> Array | float:
    """Return what it adds that parameters are rounded, where terms may cancel."""
    if function.name not in ("hard_sigmoid", "gated"):
        return 0.0  # a factor of the result
    beta = np.abs(function.parameters["beta"])
    if function.name == "hard_sigmoid":
        # Where |alpha z| is above 2 (1 + |beta|), both clip to the same.
        return np.asarray(rounding.gamma(3) * (2 + 3 * beta))
    # Of the gate, whose slope times its argument is below 1/4, and of beta.
    return np.asarray(rounding.gamma(3) * (1 + beta) * at.most)


def _rescale(layer: Rescale, at: _At, rounding: _Rounding) -> Array:
    scale, scale_off = _rounded(layer.scale, rounding.dtype)
    shift, shift_off = _rounded(layer.shift, rounding.dtype)
    bounds_off = [_rounded(bound, rounding.dtype)[1] for bound in (layer.low, layer.high)]
    error = scale * at.e + scale_off * np.abs(at.a) + shift_off
    error = error + rounding.gamma(2) * (scale * at.most + shift) + 2 * rounding.smallest
    return np.asarray(error + np.maximum(*bounds_off))


def _rounded(numbers: Any, dtype: DType) -> tuple[Array, Array]:
    """Return the magnitude of numbers in the network's type, and how far they are off."""
    exact = np.asarray(0.0 if numbers is None else numbers, np.float64)
    rounded = exact.astype(dtype).astype(np.float64)
    return np.abs(rounded), np.where(np.isinf(exact), 0.0, np.abs(rounded - exact))


def _norm(layer: LayerNorm | RMSNorm, at: _At, rounding: _Rounding) -> Array:
    center = isinstance(layer, LayerNorm)
    gamma = rounding.gamma(at.a.shape[-1] + 4)
    c = at.a - _mean(at.a) if center else at.a
    s = np.sqrt(_mean(c**2) + layer.eps)
    e = at.e + _mean(at.e) + gamma * (at.most + _mean(at.most)) if center else at.e
    r = np.sqrt(_mean(e**2))
    # Squares may underflow: of a sum s^2 that loses eta the root loses s at most.
    e_s = r + gamma * (s + r) + np.fmin(s, rounding.smallest / s)
    y = np.abs(c) / s
    e_y = (e + y * e_s) / (s - e_s)
    e_y = e_y + rounding.gamma(3) * (y + e_y)
    weight = _absolute(layer.weight, 1.0)
    bias = _absolute(layer.bias if isinstance(layer, LayerNorm) else None)
    error = weight * e_y + rounding.gamma(2) * (weight * (y + e_y) + bias) + 4 * rounding.smallest
    return np.where(s > e_s, error, np.inf)


def _mean(a: Array) -> Array:
    return np.asarray(a.mean(axis=-1, keepdims=True))


def _absolute(numbers: Any, otherwise: float = 0.0) -> Array:
    return np.abs(np.asarray(otherwise if numbers is None else numbers, np.float64))


_ERRORS: dict[type, Callable[[Any, _At, _Rounding], Array]] = {
    Dense: _dense,
    Activation: lambda layer, at, rounding: _through(layer, at, value(layer, at.a), rounding),
    Rescale: _rescale,
    LayerNorm: _norm,
    RMSNorm: _norm,
    Select: lambda layer, at, rounding: np.take(at.e, layer.indices(at.e.shape[-1]), axis=-1),
    Dropout: lambda layer, at, rounding: at.e,
}
