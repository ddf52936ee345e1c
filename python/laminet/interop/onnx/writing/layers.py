"""Layers of every kind as nodes: each by operators that have been in ONNX Runtime for years."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.interop.layer_kinds import of_kind
from laminet.interop.onnx.writing.activations import add_activation

if TYPE_CHECKING:
    from laminet.core.layers.layer import Layer
    from laminet.interop.onnx.writing.nodes import Nodes

__all__ = ["add_dense", "add_layers"]


def add_layers(nodes: Nodes, layers: Sequence[Layer], a: str, features: int, place: str) -> str:
    """Add layers in series that take so many features; return the name of what they give.

    `place` is what their arrays are called after: of the first layer's weight, ``place.0.weight``.

    Raises
    ------
    ValueError
        If ONNX Runtime could not run one.
    """
    for i, layer in enumerate(layers):
        a = of_kind(_KINDS, layer, "to_onnx")(nodes, layer, a, features, f"{place}.{i}")
        features = layer._gives(features, "", "")
    return a


def add_dense(nodes: Nodes, layer: Dense, a: str, place: str) -> str:
    """Add a dense layer; return the name of what it gives."""
    if nodes.rounds:
        from onnx import TensorProto

        # The same numbers in the type that Gemm takes: few runtimes have one of bfloat16.
        a = nodes.node("Cast", a, to=TensorProto.BFLOAT16)
        a = nodes.node("Cast", a, to=TensorProto.FLOAT)
    inputs = [a, nodes.constant(f"{place}.weight", layer.weight)]
    if layer.bias is not None:
        inputs.append(nodes.constant(f"{place}.bias", layer.bias))
    z = nodes.node("Gemm", *inputs, transB=1)
    return add_activation(nodes, layer.activation, z, f"{place}.activation")


def _dense(nodes: Nodes, layer: Dense, a: str, features: int, place: str) -> str:
    return add_dense(nodes, layer, a, place)


def _activation(nodes: Nodes, layer: Activation, a: str, features: int, place: str) -> str:
    return add_activation(nodes, layer, a, place)


def _rescale(nodes: Nodes, layer: Rescale, a: str, features: int, place: str) -> str:
    given = {"scale": layer.scale, "shift": layer.shift}
    given |= {k: v for k in ("low", "high") if (v := getattr(layer, k)) is not None}
    arrays = {k for k, v in given.items() if isinstance(v, np.ndarray)}

    def parameter(name: str) -> str:
        return nodes.parameter(given[name], f"{place}.{name}")

    if "scale" in arrays or layer.scale != 1.0:
        a = nodes.node("Mul", a, parameter("scale"))
    if "shift" in arrays or layer.shift != 0.0:
        a = nodes.node("Add", a, parameter("shift"))
    none = {"low": -np.inf, "high": np.inf}
    bounds = [k for k in none if k in arrays or given.get(k, none[k]) != none[k]]
    # Clip takes numbers alone, and of one bound infinities beyond the other become finite.
    if len(bounds) == 2 and not arrays & set(bounds):
        return nodes.node("Clip", a, *map(parameter, bounds))
    for name in bounds:
        a = nodes.node("Max" if name == "low" else "Min", a, parameter(name))
    return a


def _layer_norm(nodes: Nodes, layer: LayerNorm, a: str, features: int, place: str) -> str:
    node = nodes.node
    # The operator's epsilon is a float32, whatever the type of the numbers.
    if nodes.dtype == np.float32 or layer.eps == float(np.float32(layer.eps)):
        ones = np.ones(features, nodes.dtype)
        name = f"ones {features}" if layer.weight is None else f"{place}.weight"
        inputs = [a, nodes.constant(name, ones if layer.weight is None else layer.weight)]
        if layer.bias is not None:
            inputs.append(nodes.constant(f"{place}.bias", layer.bias))
        return node("LayerNormalization", *inputs, axis=-1, epsilon=layer.eps)
    centred = node("Sub", a, node("ReduceMean", a, axes=[-1], keepdims=1))
    return _scaled(nodes, layer, centred, place)


def _rms_norm(nodes: Nodes, layer: RMSNorm, a: str, features: int, place: str) -> str:
    # Opset 23 has an operator for it, which few runtimes do.
    return _scaled(nodes, layer, a, place)


def _scaled(nodes: Nodes, layer: LayerNorm | RMSNorm, a: str, place: str) -> str:
    """Add the division by the root mean square, and weight and bias."""
    node = nodes.node
    square = node("ReduceMean", node("Mul", a, a), axes=[-1], keepdims=1)
    a = node("Div", a, node("Sqrt", node("Add", square, nodes.number(layer.eps))))
    if layer.weight is not None:
        a = node("Mul", a, nodes.constant(f"{place}.weight", layer.weight))
    if isinstance(layer, LayerNorm) and layer.bias is not None:
        a = node("Add", a, nodes.constant(f"{place}.bias", layer.bias))
    return a


def _select(nodes: Nodes, layer: Select, a: str, features: int, place: str) -> str:
    columns = layer.indices(features)
    if columns == tuple(range(features)):
        return a
    first, last = columns[0], columns[-1]
    if columns == tuple(range(first, last + 1)):
        return nodes.node("Slice", a, *map(nodes.integer, (first, last + 1, 1)))
    indices = nodes.constant(f"{place}.columns", np.array(columns, np.int64))
    return nodes.node("Gather", a, indices, axis=1)


def _dropout(nodes: Nodes, layer: Dropout, a: str, features: int, place: str) -> str:
    return a


def _residual(nodes: Nodes, layer: Residual, a: str, features: int, place: str) -> str:
    return nodes.node("Add", a, add_layers(nodes, layer.layers, a, features, f"{place}.layers"))


def _parallel(nodes: Nodes, layer: Parallel, a: str, features: int, place: str) -> str:
    ends = [
        add_layers(nodes, branch, a, features, f"{place}.branches.{b}")
        for b, branch in enumerate(layer.branches)
    ]
    if len(ends) == 1:
        return ends[0]
    if layer.join == "concat":
        return nodes.node("Concat", *ends, axis=1)
    if layer.join == "mean" and nodes.dtype == np.float32:
        return nodes.node("Mean", *ends)
    total = nodes.node("Add" if len(ends) == 2 else "Sum", *ends)
    # ONNX Runtime has no Mean in float64.
    return nodes.node("Div", total, nodes.number(len(ends))) if layer.join == "mean" else total


_KINDS: dict[type, Callable[[Nodes, Any, str, int, str], str]] = {
    Dense: _dense,
    Activation: _activation,
    Rescale: _rescale,
    LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    Select: _select,
    Dropout: _dropout,
    Residual: _residual,
    Parallel: _parallel,
}
