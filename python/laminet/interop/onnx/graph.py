"""An ONNX graph, run over the values of `values`: only the nodes that an output needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from laminet.errors import FormatError
from laminet.interop.chain import Chain
from laminet.interop.onnx.arrays import FLOAT_UNITS, External, to_array
from laminet.interop.onnx.values import Labels, RowWise, Tensor
from laminet.interop.scalar_functions import FLOAT32_TOLERANCE
from laminet.interop.symbols import Symbol

__all__ = ["Graph", "Node", "Operator"]

Array = NDArray[Any]
Value: TypeAlias = "Array | Tensor | RowWise | Labels | None"
Operator: TypeAlias = "Callable[[Node], Any]"

# What is allocated for each feature that an input claims, and no weight has confirmed.
_MOST_FEATURES = 2**16
_INTEGERS = (2, 3, 4, 5, 6, 7, 9, 12, 13)


class Node:
    """One node while it runs: its inputs' values, its attributes, the version of its operator."""

    def __init__(self, graph: Graph, proto: Any, inputs: list[Any]) -> None:
        self.graph = graph
        self.proto = proto
        self.inputs = inputs
        self.opset = graph.opset if _default_domain(proto.domain) else 0
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}

    @property
    def output_count(self) -> int:
        """The number of outputs that have a name."""
        return sum(bool(name) for name in self.proto.output)

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value; text as str."""
        from onnx import helper

        proto = self._attributes.pop(name, None)
        if proto is None:
            # Attributes are float32, their defaults too: 0.01 is a little less.
            return float(np.float32(default)) if isinstance(default, float) else default
        if proto.HasField("ref_attr_name") and proto.ref_attr_name:
            raise ValueError(f"the attribute {name} refers to another")
        try:
            value = helper.get_attribute_value(proto)
        except ValueError as error:
            raise ValueError(f"the attribute {name}: {error}") from None
        expected = type(default)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if default is not None and not isinstance(value, expected):
            raise ValueError(f"the attribute {name} is no {expected.__name__}")
        return value

    def tensor_attribute(self, name: str) -> Array | None:
        """Return an attribute that is a tensor."""
        value = self.attribute(name)
        return None if value is None else self.graph.array(value)

    def finish(self) -> None:
        """Refuse attributes that were not asked for: they may change what the node computes."""
        if self._attributes:
            raise ValueError(f"has the attribute {min(self._attributes)}, which is not known")

    def value(self, index: int) -> Any:
        """Return an input, None for one that is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int, name: str) -> Array:
        """Return an input that must be a constant."""
        value = self.value(index)
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{name} is not a constant")
        return value

    def optional(self, index: int, name: str) -> Array | None:
        """Return an input that must be a constant, or be left out."""
        return None if self.value(index) is None else self.constant(index, name)

    def tensor(self, index: int = 0) -> Tensor:
        """Return an input that must be a tensor on which more may be computed."""
        value = self.value(index)
        if isinstance(value, Tensor):
            return value.open()
        raise ValueError("is not given a step of the network" if value is not None else "no input")

    def resolved(self, tensor: Tensor) -> Chain:
        """Return the chain of a tensor's features."""
        return tensor.symbol.resolved(self.graph.tolerance)


class Graph:
    """The nodes of a model, and the values that are known of them."""

    def __init__(self, model: Any, external: External, operators: dict[Any, Operator]) -> None:
        self._proto = model.graph
        self._external = external
        self._operators = operators
        self.opset = _opset(model)
        self.tolerance = FLOAT32_TOLERANCE
        self.wide = False
        self._initializers: dict[str, Any] = {}
        for tensor in self._proto.initializer:
            self._initializers[tensor.name] = tensor
        self._values: dict[str, Any] = {}
        self._makers: dict[str, int] = {}
        for index, node in enumerate(self._proto.node):
            for name in node.output:
                if name and (name in self._makers or name in self._initializers):
                    raise FormatError(f"two nodes give {name[:60]!r}")
                if name:
                    self._makers[name] = index
        self.inputs = [i for i in self._proto.input if i.name not in self._initializers]

    def array(self, tensor: Any) -> Array:
        """Return a constant, and note what its type says of the model's precision."""
        array = to_array(tensor, self._external)
        unit = FLOAT_UNITS.get(tensor.data_type)
        if unit is not None and array.size == 1:
            # Two roundings in 16 bits, which are much already; four in the wider types.
            self.tolerance = max(self.tolerance, 2 * unit)
        self.wide |= tensor.data_type == 11 and array.size > 1
        return array

    def run(self, outputs: list[str]) -> list[Any]:
        """Return the values of some outputs.

        Raises
        ------
        FormatError
            If a node is not one that a network is made of, or the graph is not sound.
        """
        for index in self._needed(outputs):
            self._run(self._proto.node[index])
        return [self._value(name) for name in outputs]

    def _needed(self, outputs: list[str]) -> list[int]:
        needed: set[int] = set()
        waiting = list(outputs)
        while waiting:
            index = self._makers.get(waiting.pop())
            if index is not None and index not in needed:
                needed.add(index)
                waiting += self._proto.node[index].input
        return sorted(needed)

    def _value(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._initializers:
            try:
                self._values[name] = self.array(self._initializers[name])
            except ValueError as error:
                raise FormatError(f"initializer {name[:60]!r}: {error}") from None
        elif any(i.name == name for i in self.inputs):
            self._values[name] = self._input(name)
        else:
            raise FormatError(f"{name[:60]!r} is used before a node gives it")
        return self._values[name]

    def _run(self, proto: Any) -> None:
        where = f"node {(proto.name or next(iter(proto.output), ''))[:60]!r} ({proto.op_type[:40]})"
        domain = "" if _default_domain(proto.domain) else proto.domain
        operator = self._operators.get((domain, proto.op_type))
        if operator is None:
            of = f" of {domain[:40]!r}" if domain else ""
            raise FormatError(f"{where}: the operator{of} is none that a network is made of")
        inputs = [self._value(name) if name else None for name in proto.input]
        node = Node(self, proto, inputs)
        try:
            results = operator(node)
            node.finish()
        except FormatError:
            raise
        except (ValueError, TypeError, OverflowError, ZeroDivisionError, IndexError) as error:
            raise FormatError(f"{where}: {error}") from None
        results = results if isinstance(results, list) else [results]
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self._values[name] = value

    def _input(self, name: str) -> Tensor:
        used = [i.name for i in self.inputs if i.name in self._values]
        if used:
            raise FormatError(f"the model takes two inputs: {used[0][:60]!r}, {name[:60]!r}")
        info = next(i for i in self.inputs if i.name == name)
        kind = info.type.tensor_type
        if kind.elem_type not in FLOAT_UNITS and kind.elem_type not in _INTEGERS:
            raise FormatError(f"input {name[:60]!r} is not a tensor of numbers")
        self.wide |= kind.elem_type == 11
        sizes = kind.shape.dim
        dims: list[Any] = [d.dim_value if d.HasField("dim_value") else None for d in sizes]
        if not kind.HasField("shape"):
            dims = [None, None]
        if not dims or any(d is not None and d < 1 for d in dims):
            raise FormatError(f"input {name[:60]!r} has the shape {dims}, not (batch, features)")
        batch_axis = 0 if len(dims) > 1 else None
        batch, features = (dims[0], dims[1:]) if batch_axis == 0 else (None, dims)
        integer = kind.elem_type in _INTEGERS
        if len(features) == 1:
            (width,) = features
            # A chain makes arrays as wide as this where a layer has not confirmed it.
            chain = Chain(width=width if width is not None and width <= _MOST_FEATURES else None)
            return Tensor(Symbol(chain), None, batch_axis, batch, width, integer)
        if None in features:
            raise FormatError(f"input {name[:60]!r} has axes of unknown length: {dims}")
        count = math.prod(features)
        if count > _MOST_FEATURES**2 // 2**10:
            raise FormatError(f"input {name[:60]!r} has {count} features, too many")
        order = np.arange(count).reshape(features)
        return Tensor(Symbol(Chain(width=count)), order, batch_axis, batch, count, integer)


def _default_domain(domain: str) -> bool:
    return domain in ("", "ai.onnx")


def _opset(model: Any) -> int:
    from onnx import defs

    versions = [o.version for o in model.opset_import if _default_domain(o.domain)]
    if len(versions) != 1:
        raise FormatError(f"the model imports {len(versions)} versions of ONNX's operators")
    newest = defs.onnx_opset_version()
    if not 7 <= versions[0] <= newest:
        raise FormatError(
            f"opset {versions[0]}: 7 to {newest} are read, the newest that the package onnx knows"
        )
    return int(versions[0])
