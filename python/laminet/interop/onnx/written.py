"""The graph that `to_onnx` writes, without a file: nodes, constants, inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.layers.chain import dense_chain, is_chain
from laminet.core.outputs import Classes, Labels
from laminet.core.scores import last_activation
from laminet.interop.onnx.writing.layers import add_dense, add_layers
from laminet.interop.onnx.writing.nodes import Nodes

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
        The initializers, by name: ``i.weight`` and ``i.bias`` are the layers' of a chain in the
        precision of its dtype, others are called as in safetensors files.
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

    nodes = Nodes(net.dtype, rounds=net.precision == "bfloat16")
    name = "x"
    # As the description of the network calls its arrays.
    if is_chain(net) and net.precision == net.dtype.name:
        for index, layer in enumerate(dense_chain(net, "")):
            name = add_dense(nodes, layer, name, f"{index}")
    else:
        name = add_layers(nodes, net.layers, name, net.in_features, "layers")
    if net.head == "softmax":
        name = nodes.node("Softmax", name, axis=-1)
    elif net.head is not None:
        name = nodes.node("LogSoftmax", name, axis=-1)
    nodes.give(name, "y")
    kind = TensorProto.FLOAT if net.dtype == np.float32 else TensorProto.DOUBLE
    outputs = [helper.make_tensor_value_info("y", kind, ["batch", net.out_features])]
    outputs += _labels(nodes, net)
    return Written(
        nodes.nodes,
        [helper.make_tensor_value_info("x", kind, ["batch", net.in_features])],
        outputs,
        nodes.constants,
    )


def _labels(nodes: Nodes, net: MLP) -> list[Any]:
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
        kind = TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(stated.labels.dtype)
    if classes and several:
        index = nodes.node("ArgMax", "y", axis=1, keepdims=0)
    else:
        half = 0.5 if last_activation(net) == "sigmoid" else 0.0
        above = nodes.node("Greater", "y", nodes.number(half))
        index = nodes.node("Cast", above, to=TensorProto.INT64)
    if classes:
        if not several:
            index = nodes.node("Reshape", index, nodes.constant("rows", np.array([-1])))
        nodes.node("Gather", nodes.constant("labels", stated.labels), index)
    nodes.nodes[-1].output[0] = "label"
    shape = ["batch"] if classes else ["batch", net.out_features]
    return [helper.make_tensor_value_info("label", kind, shape)]
