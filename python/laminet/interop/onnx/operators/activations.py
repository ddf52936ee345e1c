"""Activations, and the softmax as one node or in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation
from laminet.interop.onnx.activation_names import PLAIN
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.constants import folded, reduced
from laminet.interop.onnx.values import RowWise, Tensor
from laminet.interop.symbolic.functions import Apply
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["OPERATORS", "activated"]

# The defaults of Selu's attributes: those of the activation, rounded to float32.
_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def activated(x: Tensor, activation: Activation) -> Tensor:
    """Return an activation of a tensor."""
    return x.applied(lambda value: value.activated(activation))


def _plain(name: ActivationName) -> Operator:
    return lambda node: activated(node.tensor(), Activation(name))


def _constant_or(numpy: Callable[[Any], Any], operator: Operator) -> Operator:
    """Return an operator that may also be given a constant."""

    def either(node: Node) -> Any:
        if isinstance(node.value(0), np.ndarray):
            return folded(numpy, node.constant(0, "its input"))
        return operator(node)

    return either


def _with_alpha(default: float, function: Callable[[Value, float], Value]) -> Operator:
    """Return an operator that has one parameter, alpha."""

    def operator(node: Node) -> Tensor:
        alpha = node.attribute("alpha", default)
        return node.tensor().applied(lambda value: function(value, alpha))

    return operator


def _elu(value: Value, alpha: float) -> Value:
    return value.activated(Activation("elu", alpha=alpha))


def _selu(node: Node) -> Tensor:
    alpha, gamma = node.attribute("alpha", _SELU_ALPHA), node.attribute("gamma", _SELU_GAMMA)
    x = node.tensor()
    if np.float32(alpha) == np.float32(_SELU_ALPHA) and np.float32(gamma) == np.float32(
        _SELU_GAMMA
    ):
        return activated(x, Activation("selu"))
    return x.applied(lambda value: _elu(value, alpha).scaled(gamma, 0.0))


def _hard_sigmoid(node: Node) -> Tensor:
    # The default of alpha is 0.2, and that of the activation a sixth.
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    sixth = float(np.float32(1 / 6))
    alpha = 1 / 6 if alpha == sixth else alpha
    return activated(node.tensor(), Activation("hard_sigmoid", alpha=alpha, beta=beta))


def _gelu(node: Node) -> Tensor:
    kind = node.attribute("approximate", "none")
    names: dict[str, ActivationName] = {"none": "gelu", "tanh": "gelu_tanh"}
    if kind not in names:
        raise ValueError(f"has approximate={kind!r}")
    return activated(node.tensor(), Activation(names[kind]))


def _prelu(node: Node) -> Tensor:
    x, slope = node.tensor(), node.constant(1, "the slope")
    alpha = x.broadcast(slope)
    return x.applied(lambda value: value.prelu(np.asarray(alpha)))


# --- Softmax ----------------------------------------------------------------------------------


def _softmax(head: str) -> Operator:
    def operator(node: Node) -> Tensor:
        x = node.tensor()
        # Before opset 13 the axes from this one on were one.
        axis = node.attribute("axis", -1 if node.opset >= 13 else 1)
        if node.opset < 13 and axis >= 0:
            _require_features(x, list(range(axis, x.rank)))
        else:
            _require_features(x, [axis])
        return x.ended(head)

    return operator


def _require_features(x: Tensor, axes: list[int]) -> None:
    """Refuse axes that do not hold all features of a sample, and nothing else."""
    counted = {axis % x.rank for axis in axes if -x.rank <= axis < x.rank}
    if len(counted) != len(axes) or counted & set(x.row_axes):
        raise ValueError(f"goes over the axes {axes} of {x.dims}, which are not the features")
    rest = [d for i, d in enumerate(x.dims) if i not in counted and x.axes[i] is None]
    if any(extent != 1 for extent in rest):
        raise ValueError(f"goes over the axes {axes} of {x.dims}, which are not all features")


def _reduced(name: str) -> Operator:
    def operator(node: Node) -> Any:
        value = node.value(0)
        if isinstance(value, np.ndarray):
            return reduced(node, name.removeprefix("Reduce"))
        tensor = value.tensor if isinstance(value, RowWise) else node.tensor()
        newest = 13 if name == "ReduceSum" else 18
        given = node.optional(1, "axes") if node.opset >= newest else node.attribute("axes")
        if given is None or not node.attribute("keepdims", 1):
            raise ValueError("reduces all axes, or drops them: no part of a softmax")
        node.attribute("noop_with_empty_axes", 0)
        _require_features(tensor, [int(axis) for axis in np.asarray(given).ravel()])
        if name == "ReduceMax" and isinstance(value, Tensor):
            return RowWise("max", tensor)
        if name == "ReduceLogSumExp" and isinstance(value, Tensor):
            return RowWise("log_sum_exp", tensor)
        if name == "ReduceSum" and isinstance(value, RowWise) and value.kind == "exp":
            return RowWise("sum_exp", tensor, shifted=True)
        function = tensor.value.function
        exponential = isinstance(function, Apply) and function.function == "exp"
        if name == "ReduceSum" and isinstance(value, Tensor) and exponential:
            return RowWise("sum_exp", tensor)
        raise ValueError("is no part of a softmax")

    return operator


_NAMED: dict[str, Operator] = {
    **{name: _plain(ours) for name, ours in PLAIN.items()},
    "LeakyRelu": _with_alpha(0.01, Value.leaky),
    "Elu": _with_alpha(1.0, _elu),
    "Selu": _selu,
    "Celu": _with_alpha(1.0, Value.celu),
    "Gelu": _gelu,
    "Swish": _with_alpha(1.0, Value.swish),
    "Sin": _constant_or(np.sin, _plain("sin")),
    "Cos": _constant_or(np.cos, lambda node: node.tensor().applied(Value.cosine)),
    "HardSigmoid": _hard_sigmoid,
    "PRelu": _prelu,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "ReduceMax": _reduced("ReduceMax"),
    "ReduceSum": _reduced("ReduceSum"),
    "ReduceLogSumExp": _reduced("ReduceLogSumExp"),
}
OPERATORS: dict[tuple[str, str], Operator] = {
    ("", name): operator for name, operator in _NAMED.items()
}
