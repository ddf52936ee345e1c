"""Keras: `from_keras`. Keras is imported when it is called, with the backend that is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.activation import Activation
from laminet.initialization import as_dtype
from laminet.interop import scalar_functions as functions
from laminet.interop.chain import Chain
from laminet.interop.scalar_functions import Function
from laminet.interop.symbols import Symbol

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.mlp import MLP

__all__ = ["from_keras"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Value:
    """Features while a model is read, and the head they have passed."""

    symbol: Symbol
    head: str | None = None
    flat: bool = True  # whether the features have one axis

    def open(self) -> Symbol:
        if self.head is not None:
            raise ValueError(f"comes after a {self.head}, which can only be the last step")
        return self.symbol

    def chain(self) -> Chain:
        if not self.flat:
            raise ValueError("comes before the features are flattened")
        return self.open().resolved()

    def applied(self, f: Callable[[Function], Function | None], what: str) -> _Value:
        symbol = self.open()
        return _Value(symbol.with_function(f(symbol.function), what), None, self.flat)


def from_keras(model: Any, *, dtype: DTypeLike | None = None) -> MLP:
    """Return the network that computes what a Keras model does.

    Parameters
    ----------
    model : keras.Model
        Keras 3, any backend: ``Sequential``, or a functional model that is a chain, nested ones
        included. Layers may be ``InputLayer``, ``Dense``, ``Activation`` and the layers that are
        activations, ``Dropout`` and its like, ``BatchNormalization``, ``Flatten``, ``Rescaling``
        and ``Normalization``. A softmax at the end becomes the network's head.
    dtype : {"float32", "float64"}, optional
        By default float64 where a weight is, else float32.

    Returns
    -------
    MLP
        ``net(x)`` equals ``model(x)`` but for rounding; its samples have one axis, flattened in C
        order. Weights are copied, bit for bit where nothing is folded into them.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If it is not built, or a layer is none of those above, with the layer's name.

    Notes
    -----
    A BatchNormalization, Rescaling or Normalization is folded into the layer beside it: multiplied
    out in float64 and rounded once. A feature whose mean is many standard deviations from 0 then
    loses as many digits in the first layer as its own rounding to the network's dtype costs.
    Weights of mixed-precision models are float32, and so is what the network computes.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, got {type(model).__name__}")
    value = _model(model, None)
    wide = any(str(w.dtype) == "float64" for w in model.weights)
    target = as_dtype(("float64" if wide else "float32") if dtype is None else dtype)
    try:
        if value.head is not None and not value.flat:
            raise ValueError("its softmax goes over some of the features only")
        return value.symbol.resolved().network(target, value.head)
    except ValueError as error:
        raise ValueError(f"the output: {error}") from None


def _model(model: Any, x: _Value | None) -> _Value:
    """Return what a model makes of x, which is its own input if None."""
    name = model.name
    if len(getattr(model, "inputs", None) or []) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model {name!r} is not built, or has more than one input or output; call it on data, "
            "or give it an Input"
        )
    if x is None:
        shape = tuple(model.inputs[0].shape)[1:]
        known = None not in shape
        width = int(np.prod(shape, dtype=object)) if known else None
        x = _Value(Symbol(Chain(width=width)), flat=len(shape) == 1)
    for layer in _operations(model):
        x = _layer(layer, x)
    return x


def _operations(model: Any) -> list[Any]:
    """Return the layers from input to output, a shared one as often as it is used."""
    chain = []
    tensor = model.outputs[0]
    while tensor is not model.inputs[0]:
        operation, node_index, _ = tensor._keras_history
        inputs = operation._inbound_nodes[node_index].input_tensors
        if type(operation).__name__ == "InputLayer" and not inputs:
            break
        if len(inputs) != 1:
            raise ValueError(
                f"layer {operation.name!r} ({type(operation).__name__}): joins {len(inputs)} "
                "results: the model is not a chain"
            )
        chain.append(operation)
        tensor = inputs[0]
    return chain[::-1]


def _layer(layer: Any, x: _Value) -> _Value:
    import keras

    if isinstance(layer, keras.Model):
        return _model(layer, x)
    kind = type(layer).__name__
    reader = _LAYERS.get(kind)
    if reader is None or type(layer) is not getattr(keras.layers, kind, None):
        raise ValueError(f"layer {layer.name!r} ({kind}): is not a part of a chain of dense layers")
    try:
        return reader(layer, x)
    except ValueError as error:
        raise ValueError(f"layer {layer.name!r} ({kind}): {error}") from None


def _array(variable: Any) -> Array:
    from keras import ops

    array = np.asarray(ops.convert_to_numpy(variable))
    return array if array.dtype == np.float64 else array.astype(np.float32)


# --- Layers -----------------------------------------------------------------------------------


def _dense(layer: Any, x: _Value) -> _Value:
    if getattr(layer, "quantization_mode", None):
        raise ValueError(f"is quantized ({layer.quantization_mode})")
    bias = _array(layer.bias) if layer.use_bias else None
    chain = x.chain().linear(_array(layer.kernel).T, bias)
    return _activation(layer.activation, _Value(Symbol(chain)))


def _activation(function: Any, x: _Value) -> _Value:
    """Apply a function of keras.activations, with the arguments that it has by default."""
    from keras import activations

    name = getattr(function, "__name__", type(function).__name__)
    if function is not getattr(activations, name, None) or name not in _ACTIVATIONS:
        raise ValueError(f"the activation {name!r} is none that laminet has")
    if name in ("softmax", "log_softmax"):
        return _softmax(x, -1, name)
    kind = _ACTIVATIONS[name]
    activation = Activation(kind) if isinstance(kind, str) else kind
    return _apply(activation, x)


_ACTIVATIONS: dict[str, str | Activation] = {
    "linear": "identity",
    **{
        name: name
        for name in ("relu", "relu6", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid")
    },
    "leaky_relu": Activation("leaky_relu", alpha=0.2),
    "softplus": "softplus",
    "softsign": "softsign",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_swish",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
}


def _apply(activation: Activation, x: _Value) -> _Value:
    return x.applied(lambda f: functions.apply(activation, f), activation.name)


def _softmax(x: _Value, axis: Any, head: str = "softmax") -> _Value:
    if axis not in (-1, 1) or not x.flat:
        raise ValueError(f"goes over axis {axis}, not over the features (-1)")
    return _Value(x.open(), head)


def _relu(layer: Any, x: _Value) -> _Value:
    """Return ``min(max(x, 0), max_value)``, or what has a slope below 0."""
    limit, slope = layer.max_value, float(layer.negative_slope or 0)
    if layer.threshold or (limit is not None and slope):
        raise ValueError("has a threshold, or both a slope and a maximum")
    if limit is not None:
        return x.applied(lambda f: functions.clip(f, 0.0, float(limit)), "clip")
    return _apply(Activation("leaky_relu", alpha=slope) if slope else Activation("relu"), x)


def _leaky(layer: Any, x: _Value) -> _Value:
    return _apply(Activation("leaky_relu", alpha=float(layer.negative_slope)), x)


def _elu(layer: Any, x: _Value) -> _Value:
    return _apply(Activation("elu", alpha=float(layer.alpha)), x)


def _prelu(layer: Any, x: _Value) -> _Value:
    slopes = np.unique(_array(layer.alpha))
    if len(slopes) != 1:
        raise ValueError(f"has {len(slopes)} different slopes; laminet has one for a layer")
    return _apply(Activation("leaky_relu", alpha=float(slopes[0])), x)


def _scaled(x: _Value, scale: Any, shift: Any) -> _Value:
    scale, shift = (np.asarray(v, np.float64) for v in (scale, shift))
    if scale.ndim == 0 and shift.ndim == 0:
        return x.applied(lambda f: functions.scaled(f, float(scale), float(shift)), "a scale")
    return _Value(Symbol(x.chain().scaled(scale, shift)))


def _batch_normalization(layer: Any, x: _Value) -> _Value:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    if axis not in (-1, 1):
        raise ValueError(f"has axis {axis}")
    variance = _array(layer.moving_variance).astype(np.float64)
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * _array(layer.gamma)
    shift = -scale * _array(layer.moving_mean)
    if layer.center:
        shift = shift + _array(layer.beta)
    return _scaled(x, scale, shift)


def _normalization(layer: Any, x: _Value) -> _Value:
    axes = tuple(layer.axis) if isinstance(layer.axis, (list, tuple)) else (layer.axis,)
    if layer.mean is None or layer.variance is None:
        raise ValueError("has not been adapted to data")
    mean, variance = (_array(v).astype(np.float64) for v in (layer.mean, layer.variance))
    if layer.axis is not None and axes not in ((-1,), (1,), ()):
        raise ValueError(f"has axis {layer.axis}")
    # As Keras does, which guards against a variance of 0.
    deviation = np.maximum(np.sqrt(variance), _epsilon())
    mean, deviation = (v.reshape(()) if v.size == 1 else v.reshape(-1) for v in (mean, deviation))
    if layer.invert:
        return _scaled(x, deviation, mean)
    return _scaled(x, 1 / deviation, -mean / deviation)


def _epsilon() -> float:
    from keras import config

    return float(config.epsilon())


def _rescaling(layer: Any, x: _Value) -> _Value:
    return _scaled(x, layer.scale, layer.offset)


def _flatten(layer: Any, x: _Value) -> _Value:
    if layer.data_format == "channels_first" and not x.flat:
        raise ValueError("moves the channels last before it flattens")
    return _Value(x.open(), None, True)


def _reshape(layer: Any, x: _Value) -> _Value:
    shape = tuple(layer.target_shape)
    return _Value(x.open(), None, len(shape) == 1)


def _same(layer: Any, x: _Value) -> _Value:
    return x


_LAYERS: dict[str, Callable[[Any, _Value], _Value]] = {
    "InputLayer": _same,
    "Dense": _dense,
    "Activation": lambda layer, x: _activation(layer.activation, x),
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "ELU": _elu,
    "PReLU": _prelu,
    "Softmax": lambda layer, x: _softmax(x, layer.axis),
    "BatchNormalization": _batch_normalization,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Identity": _same,
    "Dropout": _same,
    "AlphaDropout": _same,
    "GaussianDropout": _same,
    "GaussianNoise": _same,
    "ActivityRegularization": _same,
}
