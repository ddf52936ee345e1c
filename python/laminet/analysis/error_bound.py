"""How far the outputs of a network may be from the exact ones, by the rounding of its sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from laminet.reference.layers import value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.mlp import MLP

    Array = NDArray[np.float64]
    DType = np.dtype[Any]

__all__ = ["error_bound"]

# That neither round nor make an error larger.
_EXACT = frozenset({"identity", "relu"})


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

        e_0 = 0      e_l = |W_l| e_{l-1} + gamma_{n+1} (|W_l| (|a_{l-1}| + e_{l-1}) + |b_l|)

    where ``gamma_k = k u / (1 - k u)`` and ``n`` is the number of the layer's inputs: a sum of
    ``n`` products and a bias, in any order, is within ``gamma_{n+1}`` of the sum of the absolute
    values [1]_, of the activations as they were computed. The error of the layer before passes
    through ``|W_l|``; identity and relu do not round and do not make it larger. That the bound
    itself is evaluated in float64, and underflow, are left out.

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
    return _series(net.layers, _At(a, np.zeros_like(a)), net.dtype).e


def _functions(net: MLP) -> set[str]:
    """Return the names of all activations of a network."""
    own = [leaf.activation if isinstance(leaf, Dense) else leaf for _, leaf in walk(net.layers)]
    return {one.name for one in own if isinstance(one, Activation)}


def _gamma(k: int, dtype: DType) -> float:
    unit = float(np.finfo(dtype).eps) / 2
    return k * unit / (1 - k * unit)


def _series(layers: Sequence[Layer], at: _At, dtype: DType) -> _At:
    return reduce(lambda before, layer: _after(layer, before, dtype), layers, at)


def _after(layer: Layer, at: _At, dtype: DType) -> _At:
    """Return the place after a layer."""
    if isinstance(layer, Residual):
        return _residual(layer, at, dtype)
    if isinstance(layer, Parallel):
        ends = [_series(branch, at, dtype) for branch in layer.branches]
        if layer.join == "concat":
            return _At(*(np.concatenate(arrays, axis=-1) for arrays in zip(*ends, strict=True)))
        return _sum(ends, dtype, mean=layer.join == "mean")
    return _At(value(layer, at.a), entry_of(_ERRORS, layer)(layer, at, dtype))


def _sum(terms: Sequence[_At], dtype: DType, *, mean: bool = False) -> _At:
    factor = 1 / len(terms) if mean else 1.0
    error = reduce(np.add, [term.e for term in terms])
    most = reduce(np.add, [term.most for term in terms])
    total = reduce(np.add, [term.a for term in terms])
    gamma = _gamma(len(terms) + mean, dtype)
    return _At(np.asarray(factor * total), np.asarray(factor * (error + gamma * most)))


def _residual(layer: Residual, at: _At, dtype: DType) -> _At:
    before = _series(layer.layers[:-1], at, dtype)
    last = layer.layers[-1]
    end = _after(last, before, dtype)
    sum_apart = _sum([at, end], dtype)
    if not isinstance(last, Dense):
        return sum_apart
    # As one sum: x is one of n + 2 terms.
    weight, bias = _absolute(last.weight), _absolute(last.bias)
    terms = before.most @ weight.T + bias + at.most
    joined = at.e + before.e @ weight.T + _gamma(last.in_features + 2, dtype) * terms
    return _At(sum_apart.a, np.maximum(sum_apart.e, joined))


def _dense(layer: Dense, at: _At, dtype: DType) -> Array:
    weight, bias = _absolute(layer.weight).T, _absolute(layer.bias)
    error: Array = at.e @ weight + _gamma(layer.in_features + 1, dtype) * (at.most @ weight + bias)
    return error


def _rescale(layer: Rescale, at: _At, dtype: DType) -> Array:
    scale, scale_off = _rounded(layer.scale, dtype)
    shift, shift_off = _rounded(layer.shift, dtype)
    bounds_off = [_rounded(bound, dtype)[1] for bound in (layer.low, layer.high)]
    error = scale * at.e + scale_off * np.abs(at.a) + shift_off
    error = error + _gamma(2, dtype) * (scale * at.most + shift)
    return np.asarray(error + np.maximum(*bounds_off))


def _rounded(numbers: Any, dtype: DType) -> tuple[Array, Array]:
    """Return the magnitude of numbers in the network's type, and how far they are off."""
    exact = np.asarray(0.0 if numbers is None else numbers, np.float64)
    rounded = exact.astype(dtype).astype(np.float64)
    return np.abs(rounded), np.where(np.isinf(exact), 0.0, np.abs(rounded - exact))


def _norm(layer: LayerNorm | RMSNorm, at: _At, dtype: DType) -> Array:
    center = isinstance(layer, LayerNorm)
    gamma = _gamma(at.a.shape[-1] + 4, dtype)
    c = at.a - _mean(at.a) if center else at.a
    s = np.sqrt(_mean(c**2) + layer.eps)
    e = at.e + _mean(at.e) + gamma * (at.most + _mean(at.most)) if center else at.e
    r = np.sqrt(_mean(e**2))
    e_s = r + gamma * (s + r)
    y = np.abs(c) / s
    e_y = (e + y * e_s) / (s - e_s)
    e_y = e_y + _gamma(3, dtype) * (y + e_y)
    weight = _absolute(layer.weight, 1.0)
    bias = _absolute(layer.bias if isinstance(layer, LayerNorm) else None)
    error = weight * e_y + _gamma(2, dtype) * (weight * (y + e_y) + bias)
    return np.where(s > e_s, error, np.inf)


def _mean(a: Array) -> Array:
    return np.asarray(a.mean(axis=-1, keepdims=True))


def _absolute(numbers: Any, otherwise: float = 0.0) -> Array:
    return np.abs(np.asarray(otherwise if numbers is None else numbers, np.float64))


_ERRORS: dict[type, Callable[[Any, _At, DType], Array]] = {
    Dense: _dense,
    Activation: lambda layer, at, dtype: at.e,
    Rescale: _rescale,
    LayerNorm: _norm,
    RMSNorm: _norm,
    Select: lambda layer, at, dtype: np.take(at.e, layer.indices(at.e.shape[-1]), axis=-1),
    Dropout: lambda layer, at, dtype: at.e,
}
