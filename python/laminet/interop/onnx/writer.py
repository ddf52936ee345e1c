"""`to_onnx`: an ONNX model from a network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.activation import Activation
from laminet.interop.atomic import replacing
from laminet.interop.onnx.package import require_onnx

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["to_onnx"]

# Of 2022: every runtime in use reads it. What later versions added (Gelu, Mish) is spelled out.
_OPSET, _IR_VERSION = 17, 8
_LARGEST_MODEL = 2**31 - 2**20  # of protobuf, less some room for the names


def to_onnx(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX model, complete or not at all.

    Parameters
    ----------
    net : MLP
        The model gives what ``net(x)`` does.
    path : str or os.PathLike
        The file to write; replaced where it exists.

    Raises
    ------
    TypeError
        If `net` is not an MLP.
    ValueError
        If the weights take more than the 2 GiB of one file, or a float64 network has gelu: ONNX
        Runtime has no erf in float64.
    OSError
        If the file cannot be written.
    ImportError
        If the package onnx is not installed (``pip install 'laminet[onnx]'``).

    Notes
    -----
    Opset 17; the input is called ``x``, of shape (batch, in_features), the output ``y``. Weights
    and their type are the network's, bit for bit. A layer is a Gemm and its activation; what ONNX
    Runtime does not have in float64, and what later opsets have added, is spelled out.
    """
    require_onnx()
    from onnx import TensorProto, checker, helper

    from laminet.mlp import MLP

    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
    if net.num_parameters * net.dtype.itemsize > _LARGEST_MODEL:
        raise ValueError(f"the {net.num_parameters} parameters do not fit the 2 GiB of a file")
    writer = _Writer(net.dtype)
    name = "x"
    for index, layer in enumerate(net.layers):
        inputs = [name, writer.constant(f"{index}.weight", np.asarray(layer.weight))]
        if layer.bias is not None:
            inputs.append(writer.constant(f"{index}.bias", np.asarray(layer.bias)))
        name = writer.node("Gemm", *inputs, transB=1)
        name = writer.activation(layer.activation, name)
    if net.head == "softmax":
        name = writer.node("Softmax", name, axis=-1)
    elif net.head is not None:
        name = writer.node("LogSoftmax", name, axis=-1)
    writer.nodes[-1].output[0] = "y"
    kind = TensorProto.FLOAT if net.dtype == np.float32 else TensorProto.DOUBLE
    graph = helper.make_graph(
        writer.nodes,
        "laminet",
        [helper.make_tensor_value_info("x", kind, ["batch", net.in_features])],
        [helper.make_tensor_value_info("y", kind, ["batch", net.out_features])],
        writer.constants,
    )
    model = helper.make_model(
        graph,
        producer_name="laminet",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


class _Writer:
    """Collects nodes and constants."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, array: Any) -> str:
        from onnx import numpy_helper

        native = np.ascontiguousarray(array, self.dtype.newbyteorder("<"))
        self.constants.append(numpy_helper.from_array(native.reshape(np.shape(array)), name))
        return name

    def number(self, value: float) -> str:
        """Return the name of a constant, one for each value."""
        name = f"number {value!r}"
        if any(constant.name == name for constant in self.constants):
            return name
        return self.constant(name, np.array(value, self.dtype))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"{len(self.nodes)}.{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def activation(self, activation: Activation, z: str) -> str:
        """Add the nodes of an activation; return the name of the result."""
        name, alpha, beta = activation.name, activation.alpha, activation.beta
        number, node = self.number, self.node
        if name == "identity":
            return z
        if name in ("relu", "tanh", "sigmoid"):
            return node({"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}[name], z)
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
            return node("Mul", z, node("Tanh", self.activation(Activation("softplus"), z)))
        if name == "hard_swish":
            gate = node("Clip", node("Add", z, number(3.0)), number(0.0), number(6.0))
            return node("Mul", node("Mul", z, gate), number(1 / 6))
        if self.dtype == np.float64:
            return self._spelled_out(name, alpha or 0.0, beta or 0.0, z)
        if name == "gelu":
            erf = node("Erf", node("Mul", z, number(0.5**0.5)))
            return node("Mul", node("Mul", z, number(0.5)), node("Add", erf, number(1.0)))
        return node(_OPERATORS[name], z, **activation.parameters)

    def _spelled_out(self, name: str, alpha: float, beta: float, z: str) -> str:
        """Add what ONNX Runtime has in float32 only, of operators that it has in float64."""
        number, node = self.number, self.node
        if name == "gelu":
            raise ValueError(
                "ONNX Runtime has no erf in float64, and so no gelu: write net.astype('float32')"
            )
        if name == "hard_sigmoid":
            line = node("Add", node("Mul", z, number(alpha)), number(beta))
            return node("Clip", line, number(0.0), number(1.0))
        if name in ("softsign", "softplus"):
            size = node("Abs", z)
            if name == "softsign":
                return node("Div", z, node("Add", size, number(1.0)))
            small = node("Log", node("Add", node("Exp", node("Neg", size)), number(1.0)))
            return node("Add", node("Relu", z), small)
        # leaky_relu, elu and selu: one function of max(z, 0) and another one of min(z, 0)
        below = node("Clip", z, "", number(0.0))
        if name != "leaky_relu":
            below = node("Sub", node("Exp", below), number(1.0))
        slope = _SELU_ALPHA if name == "selu" else alpha
        total = node("Add", node("Relu", z), node("Mul", below, number(slope)))
        return node("Mul", total, number(_SELU_SCALE)) if name == "selu" else total


_OPERATORS = {
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "selu": "Selu",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "hard_sigmoid": "HardSigmoid",
}
# Klambauer et al., arXiv:1706.02515, equation 14.
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946
