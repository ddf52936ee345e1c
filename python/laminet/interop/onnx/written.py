"""The graph that `to_onnx` writes, without a file: nodes, constants, inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.core.layers.chain import dense_chain
from laminet.core.outputs import Classes, Labels

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["OPSET", "Written", "written"]

Array = NDArray[Any]

# Of 2022: every runtime in use reads it. What later versions added (Gelu, Mish) is spelled out.
OPSET = 17


@dataclass(frozen=True)
class Written:
    """What a network is in ONNX.

    Attributes
    ----------
    nodes, inputs, outputs : list of onnx.NodeProto and onnx.ValueInfoProto
    constants : dict of ndarray
        The initializers, by name: ``i.weight`` and ``i.bias`` are the layers'.
    """

    nodes: list[Any]
    inputs: list[Any]
    outputs: list[Any]
    constants: dict[str, Array]


def written(net: MLP) -> Written:
    """Return a network as a graph: ``y`` is what it gives, ``label`` what it predicts.

    Raises
    ------
    ValueError
        If ONNX Runtime could not run it.
    """
    from onnx import TensorProto, helper

    builder = _Builder(net.dtype)
    name = "x"
    for index, layer in enumerate(dense_chain(net, "ln.to_onnx")):
        inputs = [name, builder.constant(f"{index}.weight", layer.weight)]
        if layer.bias is not None:
            inputs.append(builder.constant(f"{index}.bias", layer.bias))
        name = builder.node("Gemm", *inputs, transB=1)
        name = builder.activation(layer.activation, name)
    if net.head == "softmax":
        name = builder.node("Softmax", name, axis=-1)
    elif net.head is not None:
        name = builder.node("LogSoftmax", name, axis=-1)
    builder.nodes[-1].output[0] = "y"
    kind = TensorProto.FLOAT if net.dtype == np.float32 else TensorProto.DOUBLE
    outputs = [helper.make_tensor_value_info("y", kind, ["batch", net.out_features])]
    outputs += builder.labels(net)
    return Written(
        builder.nodes,
        [helper.make_tensor_value_info("x", kind, ["batch", net.in_features])],
        outputs,
        builder.constants,
    )


class _Builder:
    """Collects nodes and constants."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def constant(self, name: str, array: Any) -> str:
        self.constants[name] = np.asarray(array)
        return name

    def number(self, value: float) -> str:
        """Return the name of a constant, one for each value."""
        return self.constant(f"number {value!r}", np.array(value, self.dtype))

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
        if name in ("sin", "gated"):
            raise ValueError(f"to_onnx does not write the activation {name!r}")
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

    def labels(self, net: MLP) -> list[Any]:
        """Add what the network predicts, where that is labels; return the output."""
        from onnx import TensorProto, helper

        stated, several = net.outputs, net.out_features > 1
        if not isinstance(stated, (Classes, Labels)):
            return []
        classes = isinstance(stated, Classes)
        kind = TensorProto.INT64
        if classes:
            if stated.labels.dtype == object:
                return []  # ONNX has no lists of numbers and text
            text = stated.labels.dtype.kind == "U"
            kind = (
                TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(stated.labels.dtype)
            )
        if classes and several:
            index = self.node("ArgMax", "y", axis=1, keepdims=0)
        else:
            ends_in = dense_chain(net, "ln.to_onnx")[-1].activation.name
            half = 0.5 if ends_in == "sigmoid" else 0.0
            above = self.node("Greater", "y", self.number(half))
            index = self.node("Cast", above, to=TensorProto.INT64)
        if classes:
            if not several:
                index = self.node("Reshape", index, self.constant("rows", np.array([-1])))
            self.node("Gather", self.constant("labels", stated.labels), index)
        self.nodes[-1].output[0] = "label"
        shape = ["batch"] if classes else ["batch", net.out_features]
        return [helper.make_tensor_value_info("label", kind, shape)]


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
