"""Activations as nodes: ONNX's own operators, and what ONNX Runtime has not, spelled out."""

from __future__ import annotations

import numpy as np

from laminet.core.activation import Activation
from laminet.interop.onnx.activation_names import OPERATOR_OF
from laminet.interop.onnx.writing.nodes import Nodes

__all__ = ["add_activation"]

# ONNX Runtime has these in both types; the others of ONNX's operators in float32 only.
_IN_BOTH_TYPES = ("relu", "tanh", "sigmoid", "sin")
# Klambauer et al., arXiv:1706.02515, equation 14.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def add_activation(nodes: Nodes, activation: Activation, z: str, place: str) -> str:
    """Add the nodes of an activation; return the name of the result.

    `place` is what arrays of parameters are called after.

    Raises
    ------
    ValueError
        If ONNX Runtime could not run it.
    """
    name, number, node = activation.name, nodes.number, nodes.node
    if name == "identity":
        return z
    if name in _IN_BOTH_TYPES:
        return node(OPERATOR_OF[name], z)
    if name == "relu6":
        return node("Clip", z, number(0.0), number(6.0))
    if name == "gelu_tanh":
        cube = node("Mul", node("Mul", z, z), z)
        inner = node("Add", z, node("Mul", cube, number(0.044715)))
        tanh = node("Tanh", node("Mul", inner, number((2 / np.pi) ** 0.5)))
        return node("Mul", node("Mul", z, number(0.5)), node("Add", tanh, number(1.0)))
    if name == "silu":
        return node("Mul", z, node("Sigmoid", z))
    if name == "mish":
        softplus = add_activation(nodes, Activation("softplus"), z, place)
        return node("Mul", z, node("Tanh", softplus))
    if name == "hard_swish":
        gate = node("Clip", node("Add", z, number(3.0)), number(0.0), number(6.0))
        return node("Mul", node("Mul", z, gate), number(1 / 6))
    if name == "gated":
        return _gated(nodes, activation, z, place)
    if nodes.dtype == np.float64 or activation.in_features is not None:
        return _spelled_out(nodes, activation, z, place)
    if name == "gelu":
        erf = node("Erf", node("Mul", z, number(0.5**0.5)))
        return node("Mul", node("Mul", z, number(0.5)), node("Add", erf, number(1.0)))
    return node(OPERATOR_OF[name], z, **activation.parameters)


def _gated(nodes: Nodes, activation: Activation, z: str, place: str) -> str:
    """Add ``(beta + (1 - beta) sigmoid(alpha z)) z``."""
    node, alpha, beta = nodes.node, activation.alpha, activation.beta
    t = z
    if isinstance(alpha, np.ndarray) or alpha != 1.0:
        t = node("Mul", z, nodes.parameter(alpha, f"{place}.alpha"))
    gate = node("Sigmoid", t)
    if isinstance(beta, np.ndarray) or beta != 0.0:
        gate = node("Mul", gate, nodes.parameter(1.0 - beta, f"{place}.rest"))
        gate = node("Add", gate, nodes.parameter(beta, f"{place}.beta"))
    return node("Mul", z, gate)


def _spelled_out(nodes: Nodes, activation: Activation, z: str, place: str) -> str:
    """Add what ONNX Runtime has in float32 and of numbers only, of operators that it has."""
    name, number, node = activation.name, nodes.number, nodes.node

    def given(parameter: str) -> str:
        return nodes.parameter(activation.parameters[parameter], f"{place}.{parameter}")

    if name == "gelu":
        raise ValueError(
            "ONNX Runtime has no erf in float64, and so no gelu: write net.astype('float32')"
        )
    if name == "hard_sigmoid":
        line = node("Add", node("Mul", z, given("alpha")), given("beta"))
        return node("Clip", line, number(0.0), number(1.0))
    if name in ("softsign", "softplus"):
        size = node("Abs", z)
        if name == "softsign":
            return node("Div", z, node("Add", size, number(1.0)))
        small = node("Log", node("Add", node("Exp", node("Neg", size)), number(1.0)))
        return node("Add", node("Relu", z), small)
    single = nodes.dtype == np.float32
    if name == "leaky_relu" and single:
        return node("PRelu", z, given("alpha"))
    # leaky_relu, elu and selu: one function of max(z, 0) and another one of min(z, 0)
    by_unit = activation.in_features is not None
    below = node("Min", z, number(0.0)) if by_unit else node("Clip", z, "", number(0.0))
    if name != "leaky_relu":
        below = node("Elu", below) if single else node("Sub", node("Exp", below), number(1.0))
    slope = number(_SELU_ALPHA) if name == "selu" else given("alpha")
    total = node("Add", node("Relu", z), node("Mul", below, slope))
    return node("Mul", total, number(_SELU_SCALE)) if name == "selu" else total
