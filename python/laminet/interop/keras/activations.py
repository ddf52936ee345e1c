"""The functions of ``keras.activations``, and layers and objects that are activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laminet.core.activation import Activation, activation_named
from laminet.interop import scalar_functions as functions
from laminet.interop.keras.values import Value

__all__ = [
    "ACTIVATIONS",
    "HARD_SIGMOID_OF_KERAS_2",
    "apply_activation",
    "celu",
    "log_sigmoid",
    "relu",
]

#: Stands for ``hard_sigmoid`` in a model that Keras 2 has written, where it had another slope.
HARD_SIGMOID_OF_KERAS_2 = object()


def apply_activation(activation: Any, x: Value) -> Value:
    """Return a function of ``keras.activations`` of x."""
    if activation is HARD_SIGMOID_OF_KERAS_2:
        return x.activated(Activation("hard_sigmoid", alpha=0.2, beta=0.5))
    name = getattr(activation, "__name__", type(activation).__name__)
    known = _public(activation, name)
    if not known or name not in ACTIVATIONS:
        raise ValueError(
            f"the activation {name!r} is none that laminet has; import the layers before it "
            "(keras.Model(model.inputs, layer.output)), or train with another one"
        )
    return ACTIVATIONS[name](x)


def _public(activation: Any, name: str) -> bool:
    """Whether it is Keras's function of that name, and no other one that is called so."""
    from keras import activations, ops

    return any(activation is getattr(space, name, None) for space in (activations, ops))


def relu(x: Value, negative_slope: Any = 0, max_value: Any = None, threshold: Any = 0) -> Value:
    """Return ``min(max(x, negative_slope x), max_value)``."""
    slope = float(negative_slope or 0)
    if threshold:
        raise ValueError(
            f"has a threshold of {float(threshold):g}: the function jumps there, and none of "
            "laminet's does"
        )
    y = x.activated(Activation("leaky_relu", alpha=slope) if slope else Activation("relu"))
    if max_value is None:
        return y
    high = float(max_value)
    if slope:
        return y.with_function(functions.clip(y.open().function, -float("inf"), high), "clip")
    return x.with_function(functions.clip(x.open().function, 0.0, high), "a clip at 0")


def celu(x: Value, alpha: Any = 1.0) -> Value:
    """Return ``max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)``, an elu of another unit."""
    a = float(alpha)
    y = x.with_function(functions.scaled(x.open().function, 1 / a, 0.0), "celu")
    y = y.activated(Activation("elu", alpha=1.0))
    return y.with_function(functions.scaled(y.open().function, a, 0.0), "celu")


def log_sigmoid(x: Value) -> Value:
    """Return ``log(sigmoid(x))``."""
    return x.activated(Activation("sigmoid")).activated("log")


def _clip(x: Value, low: float, high: float) -> Value:
    return x.with_function(functions.clip(x.open().function, low, high), "clip")


def _named(name: str, alpha: float | None = None) -> Callable[[Value], Value]:
    return lambda x: x.activated(activation_named(name, alpha=alpha))


ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "linear": lambda x: x,
    "relu": _named("relu"),
    "relu6": _named("relu6"),
    "leaky_relu": _named("leaky_relu", 0.2),
    "elu": _named("elu"),
    "celu": celu,
    "selu": _named("selu"),
    "gelu": _named("gelu"),
    "silu": _named("silu"),
    "swish": _named("silu"),
    "mish": _named("mish"),
    "tanh": _named("tanh"),
    "sigmoid": _named("sigmoid"),
    "log_sigmoid": log_sigmoid,
    "softplus": _named("softplus"),
    "softsign": _named("softsign"),
    "hard_sigmoid": _named("hard_sigmoid"),
    "hard_silu": _named("hard_swish"),
    "hard_swish": _named("hard_swish"),
    "hard_tanh": lambda x: _clip(x, -1.0, 1.0),
    "sparse_sigmoid": lambda x: x.activated(Activation("hard_sigmoid", alpha=0.5, beta=0.5)),
    "softmax": lambda x: x.softmax(-1, "softmax"),
    "log_softmax": lambda x: x.softmax(-1, "log_softmax"),
    "exponential": lambda x: x.activated("exp"),
}
