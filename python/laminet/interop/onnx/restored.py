"""Networks of models that `to_onnx` wrote: what the metadata adds to a graph that it describes.

The numbers are always the graph's. A graph that is the one that `to_onnx` writes of the network
that the metadata describes, node by node, is that network; of any other graph, the metadata only
says what inputs and outputs stand for, if its layers are still those.
"""

from __future__ import annotations

from typing import Any

from laminet.core.errors import FormatError
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels, Outputs
from laminet.files.checkpoint import Stored
from laminet.files.safetensors_files.description import KEY, Description
from laminet.interop.onnx.graph import Graph
from laminet.interop.onnx.written import OPSET, written

__all__ = ["Restored"]

# What safetensors call ONNX's types.
_TYPES = {1: "F32", 11: "F64"}


class Restored:
    """What laminet's metadata in a model says, if it has some.

    Parameters
    ----------
    model : onnx.ModelProto

    Raises
    ------
    FormatError
        If there is such metadata, and it is damaged.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        texts = {entry.key: entry.value for entry in model.metadata_props}
        self._description = Description.from_json(texts) if KEY in texts else None

    def network(self, graph: Graph, output: str | None) -> MLP | None:
        """Return the network that was written, if the graph is the one that is written of it."""
        if self._description is None or output not in (None, "y"):
            return None
        held = {tensor.name: tensor for tensor in self._model.graph.initializer}
        try:
            tensors = {name: _stored(graph, tensor) for name, tensor in held.items()}
            net, _ = self._description.made(tensors)
            return net if self._is_written(net, graph, held) else None
        except (ValueError, TypeError):
            return None  # the graph tells what is wrong

    def _is_written(self, net: MLP, graph: Graph, held: dict[str, Any]) -> bool:
        expected, found = written(net), self._model.graph
        same = (
            list(found.node) == expected.nodes
            and list(found.input) == expected.inputs
            and list(found.output) == expected.outputs
            and [(o.domain, o.version) for o in self._model.opset_import] == [("", OPSET)]
            and not self._model.functions
            and set(held) == set(expected.constants)
        )
        if not same:
            return False
        for name, array in expected.constants.items():
            own = graph.array(held[name])
            if own.dtype == object:
                equal = own.tolist() == array.tolist()
            else:
                equal = own.dtype == array.dtype and own.tobytes() == array.tobytes()
            if not equal or own.shape != array.shape:
                return False
        return True

    def described(self, net: MLP) -> MLP:
        """Return a network of another graph with the meaning that the metadata gives it."""
        said = self._description
        if said is None:
            return net
        try:
            if not said.describes(net):
                return net
        except ValueError:
            return net  # it has no place in files
        own = net.outputs
        outputs = said.outputs if own is None or _say_the_same(own, said.outputs) else own
        try:
            return net._like(
                net.layers,
                outputs=outputs,
                feature_names=said.feature_names,
                inputs=net.inputs or said.inputs,
            )
        except ValueError as error:
            raise FormatError(f"metadata {KEY!r} does not fit the graph: {error}") from None


def _stored(graph: Graph, tensor: Any) -> Stored:
    kind = _TYPES.get(tensor.data_type, "")
    return Stored(tuple(tensor.dims), kind, lambda: graph.array(tensor))


def _say_the_same(found: Outputs, said: Outputs | None) -> bool:
    """Whether a graph's labels are those of the metadata, which knows their type and their names.

    A graph has no names of `Labels`: it says of each output whether it is above a half.
    """
    if isinstance(found, Labels):
        return isinstance(said, Labels)
    if not isinstance(found, Classes) or not isinstance(said, Classes):
        return False
    return bool(found.labels.tolist() == said.labels.tolist())
