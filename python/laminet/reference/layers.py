"""What each kind of layer gives, and its Jacobian, in NumPy float64: one row each in the tables.

Samples are rows, or one alone: features are the last axis. Three operations build networks of
layers, and Jacobians of Jacobians: in series, ``g(f(x))``, they multiply; side by side,
``[f(x), g(x)]``, they are stacked; of a sum, ``f(x) + g(x)``, they are added.

What a precision rounds, dense layers round: their weights, and what these are multiplied by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.activation import Activation
from laminet.core.conversion import as_real_array
from laminet.core.layers.dense_like import DenseLike
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.layer import Layer, entry_of
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.reference.activations import activation, activation_derivative
from laminet.reference.rounding import EXACT, Rounding

__all__ = [
    "components",
    "dense_jacobian",
    "dense_parts",
    "given",
    "is_dense",
    "jacobian",
    "series_of_components",
    "value",
]

Array = NDArray[np.float64]
AnyLayer = Layer | DenseLike
Seen = Callable[[DenseLike, Array], None]

_FLOAT64 = np.dtype(np.float64)
_DENSE = ("weight", "bias", "activation")


def is_dense(layer: Any) -> TypeGuard[DenseLike]:
    """Whether something has what a dense layer must have."""
    if isinstance(layer, Layer):  # a subclass of another kind may have all of these
        return set(_DENSE) <= set(layer._fields)
    return all(hasattr(layer, name) for name in _DENSE)


def given(layers: Sequence[AnyLayer], features: int) -> int:
    """Return how many features layers in series make of so many; refuse what does not fit."""
    giver = "the input has"
    for i, layer in enumerate(layers):
        if isinstance(layer, Layer):
            features = layer._gives(features, f"layers[{i}]", giver)
        else:
            takes = layer.weight.shape[1]
            if takes != features:
                raise ValueError(f"layers[{i}] takes {takes} features, {giver} {features}")
            features = layer.weight.shape[0]
        giver = f"layers[{i}] gives"
    return features


# --- Values -----------------------------------------------------------------------------------


class DenseParts(NamedTuple):
    """What a dense layer multiplies, as its precision rounds it, and what comes of it."""

    read: Array
    weight: Array
    z: Array


def dense_parts(layer: DenseLike, a: Array, rounding: Rounding = EXACT) -> DenseParts:
    """Return the factors of ``Z = A W^T + b``, and Z."""
    read, weight = rounding.read(a), rounding.weight(_array(layer.weight))
    return DenseParts(read, weight, read @ weight.T + _array(layer.bias, 0.0))


def value(
    layer: AnyLayer,
    a: Array,
    seen: Seen = lambda layer, z: None,
    rounding: Rounding = EXACT,
) -> Array:
    """Return what a layer makes of samples; the Z of each dense layer within is `seen`."""
    with np.errstate(all="ignore"):
        if is_dense(layer):
            z = dense_parts(layer, a, rounding).z
            seen(layer, z)
            return activation(layer.activation, z)
        if isinstance(layer, Residual):
            return a + _series(layer.layers, a, seen, rounding)
        if isinstance(layer, Parallel):
            outputs = [_series(branch, a, seen, rounding) for branch in layer.branches]
            return _joined(layer, outputs)
        return entry_of(_VALUES, layer)(layer, a)


def _series(layers: Sequence[Layer], a: Array, seen: Seen, rounding: Rounding) -> Array:
    return reduce(lambda result, layer: value(layer, result, seen, rounding), layers, a)


def _joined(layer: Parallel, outputs: Sequence[Array], axis: int = -1) -> Array:
    if layer.join == "concat":
        return np.concatenate(outputs, axis=axis)
    total: Array = reduce(np.add, outputs)
    return np.asarray(total / len(outputs)) if layer.join == "mean" else total


def _rescale(layer: Rescale, a: Array) -> Array:
    y = _scaled(layer, a)
    return y if layer.low is None and layer.high is None else np.clip(y, *_bounds(layer))


def _scaled(layer: Rescale, a: Array) -> Array:
    return _array(layer.scale) * a + _array(layer.shift)


def _bounds(layer: Rescale) -> tuple[Array, Array]:
    return _array(layer.low, -math.inf), _array(layer.high, math.inf)


def _normalized(layer: LayerNorm | RMSNorm, a: Array) -> tuple[Array, Array]:
    """Return ``(x - mean) / deviation`` and the deviation; of RMSNorm the mean counts as 0."""
    centered = a - a.mean(axis=-1, keepdims=True) if isinstance(layer, LayerNorm) else a
    deviation = np.sqrt(np.mean(centered**2, axis=-1, keepdims=True) + layer.eps)
    return centered / deviation, deviation


def _layer_norm(layer: LayerNorm, a: Array) -> Array:
    return _normalized(layer, a)[0] * _array(layer.weight, 1.0) + _array(layer.bias, 0.0)


def _rms_norm(layer: RMSNorm, a: Array) -> Array:
    return _normalized(layer, a)[0] * _array(layer.weight, 1.0)


def _select(layer: Select, a: Array) -> Array:
    return np.take(a, layer.indices(a.shape[-1]), axis=-1)


_VALUES: dict[type, Callable[[Any, Array], Array]] = {
    Activation: activation,
    Rescale: _rescale,
    LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    Select: _select,
    Dropout: lambda layer, a: a.copy(),
}


# --- Jacobians --------------------------------------------------------------------------------


def jacobian(layer: AnyLayer, a: Array, rounding: Rounding = EXACT) -> Array:
    """Return the Jacobian of a layer at samples, (..., out_features, in_features).

    The derivative of rounding is taken to be 1.
    """
    with np.errstate(all="ignore"):
        if is_dense(layer):
            return dense_jacobian(layer, dense_parts(layer, a, rounding).z, rounding)
        if isinstance(layer, Residual):
            return _identity(a) + _series_jacobian(layer.layers, a, rounding)
        if isinstance(layer, Parallel):
            parts = [_series_jacobian(branch, a, rounding) for branch in layer.branches]
            return _joined(layer, parts, axis=-2)
        return entry_of(_JACOBIANS, layer)(layer, a)


def dense_jacobian(layer: DenseLike, z: Array, rounding: Rounding = EXACT) -> Array:
    """Return ``D W`` of a dense layer.

    Row ``i`` is row ``i`` of ``W`` times ``s'(z_i)``: the product with the diagonal matrix, without
    the sums over its zeros.
    """
    with np.errstate(all="ignore"):
        slopes = activation_derivative(layer.activation, z)
        return np.asarray(slopes[..., :, None] * rounding.weight(_array(layer.weight)))


def _series_jacobian(layers: Sequence[Layer], a: Array, rounding: Rounding) -> Array:
    result = _identity(a)
    for layer in layers:
        result = jacobian(layer, a, rounding) @ result
        a = value(layer, a, rounding=rounding)
    return result


def _identity(a: Array) -> Array:
    return np.tile(np.eye(a.shape[-1]), (*a.shape[:-1], 1, 1))


def _diagonal(d: Array) -> Array:
    # Selected and not multiplied: infinity times 0 would be NaN.
    return np.where(np.eye(d.shape[-1], dtype=bool), d[..., :, None], 0.0)


def _rescale_jacobian(layer: Rescale, a: Array) -> Array:
    y = _scaled(layer, a)
    low, high = _bounds(layer)
    inside = np.where((y >= low) & (y <= high), _array(layer.scale), 0.0)
    clips = layer.low is not None or layer.high is not None
    d = np.where(np.isnan(y), np.nan, inside) if clips else _array(layer.scale) + 0 * inside
    return _diagonal(d)


def _norm_jacobian(layer: LayerNorm | RMSNorm, a: Array) -> Array:
    # Of y = n / deviation: (I - 1 1^T / n - y y^T / n) / deviation, without the mean for RMSNorm.
    count = a.shape[-1]
    y, deviation = _normalized(layer, a)
    mean = 1.0 / count if isinstance(layer, LayerNorm) else 0.0
    inner = _identity(a) - mean - y[..., :, None] * y[..., None, :] / count
    return np.asarray(_array(layer.weight, 1.0)[..., None] * inner / deviation[..., None])


def _select_jacobian(layer: Select, a: Array) -> Array:
    return np.take(_identity(a), layer.indices(a.shape[-1]), axis=-2)


_JACOBIANS: dict[type, Callable[[Any, Array], Array]] = {
    Activation: lambda layer, a: _diagonal(activation_derivative(layer, a)),
    Rescale: _rescale_jacobian,
    LayerNorm: _norm_jacobian,
    RMSNorm: _norm_jacobian,
    Select: _select_jacobian,
    Dropout: lambda layer, a: _identity(a),
}


# --- Component by component -------------------------------------------------------------------


def series_of_components(
    layers: Sequence[AnyLayer], a: list[float], rounding: Rounding = EXACT
) -> list[float]:
    """Return what layers in series make of one sample, component by component."""
    return reduce(lambda result, layer: components(layer, result, rounding), layers, a)


def components(layer: AnyLayer, a: list[float], rounding: Rounding = EXACT) -> list[float]:
    """Return what a layer makes of one sample, component by component."""
    if is_dense(layer):
        weight, bias = rounding.weight(_array(layer.weight)), _array(layer.bias, 0.0)
        a = [float(one) for one in rounding.read(np.array(a))]
        z = [0.0] * len(weight)
        for i in range(len(weight)):
            for j in range(len(a)):
                z[i] += float(weight[i, j]) * a[j]
            z[i] += float(bias[i]) if layer.bias is not None else 0.0
        return [float(one) for one in activation(layer.activation, z)]
    if isinstance(layer, Residual):
        inner = series_of_components(layer.layers, a, rounding)
        return [x + y for x, y in zip(a, inner, strict=True)]
    if isinstance(layer, Parallel):
        outputs = [series_of_components(branch, a, rounding) for branch in layer.branches]
        if layer.join == "concat":
            return [y for output in outputs for y in output]
        count = len(outputs) if layer.join == "mean" else 1
        return [sum(ys) / count for ys in zip(*outputs, strict=True)]
    if isinstance(layer, Select):
        return [a[i] for i in layer.indices(len(a))]
    if isinstance(layer, (LayerNorm, RMSNorm)):
        mean = sum(a) / len(a) if isinstance(layer, LayerNorm) else 0.0
        variance = sum((x - mean) ** 2 for x in a) / len(a)
        a = [(x - mean) / math.sqrt(variance + layer.eps) for x in a]
        weight = np.broadcast_to(_array(layer.weight, 1.0), len(a))
        bias = np.zeros(len(a))
        if isinstance(layer, LayerNorm):
            bias = np.broadcast_to(_array(layer.bias, 0.0), len(a))
        return [float(w) * x + float(b) for w, x, b in zip(weight, a, bias, strict=True)]
    # Rescale, an activation and Dropout are so already.
    return [float(one) for one in value(layer, np.array(a))]


def _array(numbers: ArrayLike | None, otherwise: float | None = None) -> Array:
    """Return numbers of a layer in float64; `otherwise` where it has none."""
    if numbers is None:
        return np.asarray(otherwise, np.float64)
    return as_real_array(numbers, _FLOAT64, "layer")
