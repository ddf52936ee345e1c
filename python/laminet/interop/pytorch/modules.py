"""The modules of ``torch.nn`` that a network can be made of, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from laminet.core.activation import Activation
from laminet.interop.pytorch.activations import CLASSES
from laminet.interop.pytorch.values import as_array, as_optional, unit_roundoff
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["MODULES", "batch_norm", "gelu"]

_EVAL = "call eval() on the module first"


def _linear(module: Any, x: Value) -> Value:
    return x.linear(as_array(module.weight, "weight"), as_optional(module.bias, "bias"))


def _flatten(module: Any, x: Value) -> Value:
    if (module.start_dim, module.end_dim) != (1, -1) and x.width is None:
        raise ValueError(f"flattens dimensions {module.start_dim} to {module.end_dim}, not 1 to -1")
    if module.start_dim not in (1, -1) or module.end_dim not in (1, -1):
        raise ValueError("flattens the batch")
    return x


def _dropout(module: Any, x: Value) -> Value:
    if module.training and module.p > 0:
        raise ValueError(f"is in training mode and drops at random: {_EVAL}")
    return x


def _batch_norm(module: Any, x: Value) -> Value:
    mean, variance = module.running_mean, module.running_var
    return batch_norm(x, module.weight, module.bias, mean, variance, module.training, module.eps)


def batch_norm(
    x: Value, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, eps: float
) -> Value:
    """Return a batch normalisation; refuse one whose statistics are the batch's."""
    if training and mean is not None:
        raise ValueError(f"normalises with each batch's own statistics: {_EVAL}")
    if mean is None:
        raise ValueError(
            "keeps no running statistics, so each result depends on the rest of its batch"
        )
    return x.batch_norm(
        as_array(mean, "running_mean"),
        as_array(variance, "running_var"),
        eps,
        as_optional(weight, "weight"),
        as_optional(bias, "bias"),
    )


def _normalised(kind: str) -> Callable[[Any, Value], Value]:
    def read(module: Any, x: Value) -> Value:
        shape = tuple(module.normalized_shape)
        if shape != (x.width,):
            raise ValueError(f"normalises the last axes of shape {shape} of {x.width} features")
        weight, bias = module.weight, getattr(module, "bias", None)
        eps = module.eps
        if eps is None:  # PyTorch takes the unit roundoff of what it computes with
            if weight is None:
                raise ValueError("has no epsilon, and no weight whose type would tell it")
            eps = unit_roundoff(weight)
        arrays = as_optional(weight, "weight"), as_optional(bias, "bias")
        return x.normalised(kind, eps, *arrays)

    return read


def _rrelu(module: Any, x: Value) -> Value:
    if module.training:
        raise ValueError(f"is in training mode and draws slopes: {_EVAL}")
    return x.leaky((module.lower + module.upper) / 2)


def gelu(x: Value, approximate: str = "none") -> Value:
    """Return ``gelu``, exact or by its approximation."""
    return x.activated(Activation("gelu" if approximate == "none" else "gelu_tanh"))


def _softmax(head: str) -> Callable[[Any, Value], Value]:
    def read(module: Any, x: Value) -> Value:
        if module.dim not in (1, -1):
            raise ValueError(f"goes over dimension {module.dim}, not over the features (1 or -1)")
        return x.ended(head)

    return read


def _activation(name: ActivationName) -> Callable[[Any, Value], Value]:
    return lambda module, x: x.activated(Activation(name))


#: By the class's name in torch.nn: classes that an old PyTorch lacks are not looked for.
MODULES: dict[str, Callable[[Any, Value], Value]] = {
    "Linear": _linear,
    "NonDynamicallyQuantizableLinear": _linear,
    "Identity": lambda module, x: x,
    "Flatten": _flatten,
    "Dropout": _dropout,
    "AlphaDropout": _dropout,
    "BatchNorm1d": _batch_norm,
    "LayerNorm": _normalised("layer"),
    "RMSNorm": _normalised("rms"),
    **{name: _activation(ours) for name, ours in CLASSES.items()},
    "LeakyReLU": lambda module, x: x.leaky(module.negative_slope),
    "PReLU": lambda module, x: x.prelu(as_array(module.weight, "weight")),
    "RReLU": _rrelu,
    "ELU": lambda module, x: x.activated(Activation("elu", alpha=module.alpha)),
    "CELU": lambda module, x: x.celu(module.alpha),
    "GELU": lambda module, x: gelu(x, module.approximate),
    "LogSigmoid": lambda module, x: x.log_sigmoid(),
    "Softplus": lambda module, x: x.softplus(module.beta, module.threshold),
    "Hardtanh": lambda module, x: x.clipped(module.min_val, module.max_val),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
}
