"""The layers of ``keras.layers`` that a network can be made of, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.interop.keras.activations import apply_activation, relu
from laminet.interop.keras.einsum import einsum
from laminet.interop.keras.normalisations import NORMALISATIONS
from laminet.interop.keras.operations import read_operation
from laminet.interop.keras.refusals import reason
from laminet.interop.keras.tensors import (
    Array,
    RowsNeededError,
    Tensor,
    as_array,
    completed,
    concatenated,
    product,
)
from laminet.interop.symbolic.exact import batch_norm

__all__ = ["LAYERS", "read_layer"]

# What a subclass of a layer may define without changing what the layer computes.
_HARMLESS = {
    "__init__",
    "__module__",
    "__doc__",
    "__qualname__",
    "__firstlineno__",
    "__static_attributes__",
    "__annotations__",
    "get_config",
    "from_config",
}


def read_layer(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a layer makes of a value.

    Raises
    ------
    ValueError
        If the layer is none that can be read, or what it does has no place in a network, with the
        layer's name.
    """
    kind = _kind(layer)
    try:
        x = args[0] if args else kwargs.get("inputs")
        if kind not in LAYERS:
            raise ValueError(reason(type(layer).__name__))
        if kind not in _MERGES and not isinstance(x, Tensor):
            raise ValueError("is called in a way that is not known")
        return LAYERS[kind](layer, x)
    except RowsNeededError as error:
        raise RowsNeededError(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from None
    except ValueError as error:
        raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from None


def _kind(layer: Any) -> str | None:
    """Return the name of Keras's layer that this one is, None for others.

    A class of the user's own is the layer that it is derived from if it only sets arguments.
    """
    import keras

    for base in type(layer).__mro__:
        if getattr(keras.layers, base.__name__, None) is base:
            return str(base.__name__)
        if not set(vars(base)) <= _HARMLESS:
            return None
    return None


def _dense(layer: Any, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else as_array(layer.bias)
    return _activated(layer.activation, x.linear(_kernel(layer).T, bias))


def _einsum_dense(layer: Any, x: Tensor) -> Tensor:
    y = einsum(layer.equation, x, _kernel(layer))
    if layer.bias is not None:
        y = y.scaled(1.0, as_array(layer.bias))
    return _activated(layer.activation, y)


def _kernel(layer: Any) -> Array:
    """Return the kernel that a layer multiplies with, LoRA's matrices included."""
    mode = getattr(layer, "quantization_mode", None)
    if mode:
        raise ValueError(
            f"is quantized ({mode}), and rounds what it multiplies; import the model as it was "
            "before quantize()"
        )
    return as_array(layer.kernel)


def _activated(activation: Any, x: Tensor) -> Tensor:
    """Return an activation of x: a function of Keras, or a layer or operation."""
    import keras

    if isinstance(activation, keras.layers.Layer):
        return read_layer(activation, (x,), {})  # type: ignore[no-any-return]  # keras is untyped
    if isinstance(activation, keras.Operation):
        return read_operation(activation, (x,), {})  # type: ignore[no-any-return]  # keras is untyped
    return apply_activation(activation, x)


def _softmax(layer: Any, x: Tensor) -> Tensor:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    if isinstance(layer.axis, (list, tuple)) and len(layer.axis) != 1:
        raise ValueError(f"goes over axes {tuple(layer.axis)}, not over one")
    return x.softmax(axis, "softmax")


def _prelu(layer: Any, x: Tensor) -> Tensor:
    slopes = as_array(layer.alpha)
    if len(np.unique(slopes)) == 1:
        return x.applied(lambda v: v.prelu(slopes.reshape(-1)))
    each = np.broadcast_to(slopes, x.known_shape()).reshape(-1)
    return x.in_order().applied(lambda v: v.prelu(each))


def _batch_normalization(layer: Any, x: Tensor) -> Tensor:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    scale, shift = batch_norm(
        _wide(layer.moving_mean),
        _wide(layer.moving_variance),
        layer.epsilon,
        _wide(layer.gamma) if layer.scale else None,
        _wide(layer.beta) if layer.center else None,
    )
    # As they meet x: along that axis, from the last one on.
    shape = (-1,) + (1,) * (len(x.shape) - axis if axis > 0 else -1 - axis)
    return x.scaled(scale.reshape(shape), shift.reshape(shape))


def _normalization(layer: Any, x: Tensor) -> Tensor:
    from keras import config

    if layer.mean is None or layer.variance is None:
        raise ValueError("has not been adapted to data: call its adapt() first")
    mean, variance = _wide(layer.mean), _wide(layer.variance)
    # As Keras does, which guards against a variance of 0.
    deviation = np.maximum(np.sqrt(variance), float(config.epsilon()))
    if layer.invert:
        return x.scaled(deviation, mean)
    return x.scaled(1 / deviation, -mean / deviation)


def _rescaling(layer: Any, x: Tensor) -> Tensor:
    return x.scaled(layer.scale, layer.offset)


def _wide(variable: Any) -> Array:
    return as_array(variable).astype(np.float64)


def _flatten(layer: Any, x: Tensor) -> Tensor:
    if layer.data_format == "channels_first" and len(x.shape) > 1:
        x = x.moved(lambda t: np.moveaxis(t, 1, -1))
    if x.rows and product(x.shape[:-1]) == 1:
        return x.reshaped(x.shape[-1:])
    return x.reshaped((product(x.shape),))


def _reshape(layer: Any, x: Tensor) -> Tensor:
    return x.reshaped(completed(layer.target_shape, product(x.shape)))


def _permute(layer: Any, x: Tensor) -> Tensor:
    return x.moved(lambda t: np.transpose(t, (0, *layer.dims)))


def _cropping(layer: Any, x: Tensor) -> Tensor:
    cuts = [layer.cropping] if np.ndim(layer.cropping) == 1 else list(layer.cropping)
    if getattr(layer, "data_format", None) == "channels_first":
        cuts = [(0, 0), *cuts]
    lengths = x.known_shape()
    cut = [slice(low, n - high) for (low, high), n in zip(cuts, lengths, strict=False)]
    key = (slice(None), *cut)
    return x.moved(lambda t: t[key])


def _repeat_vector(layer: Any, x: Tensor) -> Tensor:
    return x.moved(lambda t: np.repeat(t[:, None], layer.n, axis=1))


def _time_distributed(layer: Any, x: Tensor) -> Tensor:
    kind = _kind(layer.layer)
    if kind not in _OF_LAST_AXIS or not _names_last_axis(layer.layer):
        raise ValueError(f"applies a {type(layer.layer).__name__} to each step of a sequence")
    return read_layer(layer.layer, (x,), {})  # type: ignore[no-any-return]  # keras is untyped


def _names_last_axis(layer: Any) -> bool:
    axis = getattr(layer, "axis", -1)
    return axis in (-1, (-1,), [-1])


def _spectral_normalization(layer: Any, x: Tensor) -> Tensor:
    """Return what the wrapped layer does: its kernel is the normalised one."""
    return read_layer(layer.layer, (x,), {})  # type: ignore[no-any-return]  # keras is untyped


def _concatenate(layer: Any, x: Any) -> Tensor:
    return concatenated(_several(x), layer.axis)


def _merge(operation: str) -> Callable[[Any, Any], Tensor]:
    def merge(layer: Any, x: Any) -> Tensor:
        first, *others = _several(x)
        for other in others:
            first = first.combined(other, operation)
        return first

    return merge


def _average(layer: Any, x: Any) -> Tensor:
    values = _several(x)
    return _merge("add")(layer, values).scaled(1 / len(values), 0.0)


def _subtract(layer: Any, x: Any) -> Tensor:
    first, second = _several(x)
    return first.combined(second.scaled(-1.0, 0.0), "add")


def _several(x: Any) -> list[Tensor]:
    values = list(x) if isinstance(x, (list, tuple)) else [x]
    if not all(isinstance(value, Tensor) for value in values):
        raise ValueError("joins the model's values with constants")
    return values


def _same(layer: Any, x: Tensor) -> Tensor:
    return x


_MERGES = ("Concatenate", "Add", "Multiply", "Maximum", "Minimum", "Average", "Subtract")

LAYERS: dict[str, Callable[[Any, Any], Tensor]] = {
    "InputLayer": _same,
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Activation": lambda layer, x: _activated(layer.activation, x),
    "ReLU": lambda layer, x: x.applied(
        lambda v: relu(v, layer.negative_slope, layer.max_value, layer.threshold)
    ),
    "LeakyReLU": lambda layer, x: x.applied(lambda v: relu(v, layer.negative_slope)),
    "ELU": lambda layer, x: x.applied(lambda v: v.elu(float(layer.alpha))),
    "PReLU": _prelu,
    "Softmax": _softmax,
    "BatchNormalization": _batch_normalization,
    "Normalization": _normalization,
    **NORMALISATIONS,
    "Rescaling": _rescaling,
    "SpectralNormalization": _spectral_normalization,
    "TimeDistributed": _time_distributed,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "Cropping1D": _cropping,
    "Cropping2D": _cropping,
    "Cropping3D": _cropping,
    "RepeatVector": _repeat_vector,
    "Concatenate": _concatenate,
    "Add": _merge("add"),
    "Average": _average,
    "Subtract": _subtract,
    "Multiply": _merge("multiply"),
    "Maximum": _merge("maximum"),
    "Minimum": _merge("minimum"),
    "Identity": _same,
    "Dropout": _same,
    "SpatialDropout1D": _same,
    "SpatialDropout2D": _same,
    "SpatialDropout3D": _same,
    "AlphaDropout": _same,
    "GaussianDropout": _same,
    "GaussianNoise": _same,
    "ActivityRegularization": _same,
}

_OF_LAST_AXIS = {
    "Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "BatchNormalization",
    "Rescaling", "Identity", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization",
}  # fmt: skip
