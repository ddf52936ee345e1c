"""The modules of ``torch.nn`` that a network can be made of, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.core.activation import Activation, activation_named
from laminet.interop import scalar_functions as functions
from laminet.interop.pytorch.values import Value, as_array

__all__ = ["MODULES", "batch_norm", "hardtanh", "leaky", "softmax_dim", "softplus"]


def _linear(module: Any, x: Value) -> Value:
    bias = None if module.bias is None else as_array(module.bias, "bias")
    return x.linear(as_array(module.weight, "weight"), bias)


def _flatten(module: Any, x: Value) -> Value:
    if (module.start_dim, module.end_dim) != (1, -1) and x.width is None:
        raise ValueError(f"flattens dimensions {module.start_dim} to {module.end_dim}, not 1 to -1")
    if module.start_dim not in (1, -1) or module.end_dim not in (1, -1):
        raise ValueError("flattens the batch")
    return x


def _dropout(module: Any, x: Value) -> Value:
    if module.training and module.p > 0:
        raise ValueError("is in training mode and drops at random: call eval() on the module first")
    return x


def _batch_norm(module: Any, x: Value) -> Value:
    if module.training or module.running_mean is None:
        raise ValueError(
            "normalises with each batch's own statistics: call eval() on the module first"
            if module.training
            else "keeps no running statistics, so each result depends on the rest of its batch"
        )
    return batch_norm(
        x, module.running_mean, module.running_var, module.weight, module.bias, module.eps
    )


def batch_norm(x: Value, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Value:
    """Return ``(x - mean) / sqrt(var + eps) * weight + bias``, folded in float64."""
    scale = 1 / np.sqrt(as_array(var, "running_var").astype(np.float64) + eps)
    if weight is not None:
        scale = scale * as_array(weight, "weight")
    shift = -scale * as_array(mean, "running_mean")
    if bias is not None:
        shift = shift + as_array(bias, "bias")
    return x.scaled(scale, shift)


def leaky(x: Value, slope: float) -> Value:
    """Return ``leaky_relu`` with that slope."""
    return x.activated(Activation("leaky_relu", alpha=slope))


def _prelu(module: Any, x: Value) -> Value:
    slopes = np.unique(as_array(module.weight, "weight"))
    if len(slopes) != 1:
        raise ValueError(f"has {len(slopes)} different slopes; laminet has one for a layer")
    return leaky(x, float(slopes[0]))


def _rrelu(module: Any, x: Value) -> Value:
    if module.training:
        raise ValueError("is in training mode and draws slopes: call eval() on the module first")
    return leaky(x, (module.lower + module.upper) / 2)


def _gelu(module: Any, x: Value) -> Value:
    return x.activated(Activation("gelu" if module.approximate == "none" else "gelu_tanh"))


def softplus(x: Value, beta: float, threshold: float) -> Value:
    """Return ``log(1 + exp(beta x)) / beta``."""
    if threshold < 20:
        raise ValueError(f"is linear above a threshold of {threshold:g}, less than 20")
    return x.scaled(beta, 0.0).activated(Activation("softplus")).scaled(1 / beta, 0.0)


def celu(x: Value, alpha: float) -> Value:
    """Return ``alpha elu(x / alpha)``."""
    return x.scaled(1 / alpha, 0.0).activated(Activation("elu")).scaled(alpha, 0.0)


def hardtanh(x: Value, low: float, high: float) -> Value:
    """Return ``min(max(x, low), high)``."""
    return x.with_function(functions.clip(x.symbol.function, low, high), f"clip({low}, {high})")


def softmax_dim(dim: Any, head: str) -> str:
    """Return the head if it goes over the features of a batch."""
    if dim not in (1, -1):
        raise ValueError(f"goes over dimension {dim}, not over the features (1 or -1)")
    return head


def _activation(name: str) -> Callable[[Any, Value], Value]:
    return lambda module, x: x.activated(activation_named(name))


#: By the class's name in torch.nn: classes that an old PyTorch lacks are not looked for.
MODULES: dict[str, Callable[[Any, Value], Value]] = {
    "Linear": _linear,
    "NonDynamicallyQuantizableLinear": _linear,
    "Identity": lambda module, x: x,
    "Flatten": _flatten,
    "Dropout": _dropout,
    "AlphaDropout": _dropout,
    "BatchNorm1d": _batch_norm,
    "ReLU": _activation("relu"),
    "ReLU6": _activation("relu6"),
    "LeakyReLU": lambda module, x: leaky(x, module.negative_slope),
    "PReLU": _prelu,
    "RReLU": _rrelu,
    "ELU": lambda module, x: x.activated(Activation("elu", alpha=module.alpha)),
    "CELU": lambda module, x: celu(x, module.alpha),
    "SELU": _activation("selu"),
    "GELU": _gelu,
    "SiLU": _activation("silu"),
    "Mish": _activation("mish"),
    "Tanh": _activation("tanh"),
    "Sigmoid": _activation("sigmoid"),
    "LogSigmoid": lambda module, x: (
        x.scaled(-1.0, 0.0).activated(Activation("softplus")).scaled(-1.0, 0.0)
    ),
    "Softplus": lambda module, x: softplus(x, module.beta, module.threshold),
    "Softsign": _activation("softsign"),
    "Hardsigmoid": _activation("hard_sigmoid"),
    "Hardswish": _activation("hard_swish"),
    "Hardtanh": lambda module, x: hardtanh(x, module.min_val, module.max_val),
    "Softmax": lambda module, x: x.ended(softmax_dim(module.dim, "softmax")),
    "LogSoftmax": lambda module, x: x.ended(softmax_dim(module.dim, "log_softmax")),
}
