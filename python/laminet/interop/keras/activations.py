"""The functions of ``keras.activations``, and layers and objects that are activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from laminet.core.activation import Activation, activation_named
from laminet.interop.keras.tensors import Tensor
from laminet.interop.symbolic.value import Value

__all__ = ["ACTIVATIONS", "HARD_SIGMOID_OF_KERAS_2", "apply_activation", "relu"]

#: Stands for ``hard_sigmoid`` in a model that Keras 2 has written, where it had another slope.
HARD_SIGMOID_OF_KERAS_2 = object()


def apply_activation(activation: Any, x: Tensor) -> Tensor:
    """Return a function of ``keras.activations`` of x."""
    if activation is HARD_SIGMOID_OF_KERAS_2:
        return x.applied(_named("hard_sigmoid", alpha=0.2, beta=0.5))
    name = getattr(activation, "__name__", type(activation).__name__)
    known = _public(activation, name)
    if known and name in ("softmax", "log_softmax"):
        return x.softmax(-1, name)
    if not known or name not in ACTIVATIONS:
        raise ValueError(
            f"the activation {name!r} is none that laminet has; import the layers before it "
            "(keras.Model(model.inputs, layer.output)), or train with another one"
        )
    return x.applied(ACTIVATIONS[name])


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
    if max_value is not None and not slope:
        return x.clipped(0.0, float(max_value))
    y = x.leaky(slope) if slope else x.activated(Activation("relu"))
    return y if max_value is None else y.clipped(-float("inf"), float(max_value))


def _named(name: str, **parameters: float) -> Callable[[Value], Value]:
    return lambda x: x.activated(activation_named(name, **parameters))


ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "linear": lambda x: x,
    "leaky_relu": _named("leaky_relu", alpha=0.2),
    "celu": lambda x: x.celu(1.0),
    "swish": _named("silu"),
    "log_sigmoid": Value.log_sigmoid,
    "hard_silu": _named("hard_swish"),
    "hard_tanh": lambda x: x.clipped(-1.0, 1.0),
    "sparse_sigmoid": _named("hard_sigmoid", alpha=0.5, beta=0.5),
    "exponential": lambda x: x.activated("exp"),
    **{
        name: _named(name)
        for name in (
            *("relu", "relu6", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"),
            *("softplus", "softsign", "hard_sigmoid", "hard_swish"),
        )
    },
}
