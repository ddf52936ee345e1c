"""One node of an ONNX graph while it runs, as an operator sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.opsets import default_domain
from laminet.interop.onnx.values import Tensor

if TYPE_CHECKING:
    from laminet.interop.onnx.graph import Graph
    from laminet.interop.onnx.scope import Scope

__all__ = ["Node", "Operator"]

Array = NDArray[Any]
Operator: TypeAlias = "Callable[[Node], Any]"


class Node:
    """One node while it runs: its inputs' values, its attributes, the version of its operator."""

    def __init__(self, scope: Scope, proto: Any, inputs: list[Any]) -> None:
        self.scope = scope
        self.graph: Graph = scope.graph
        self.proto = proto
        self.inputs = inputs
        self.opset: int = scope.opset if default_domain(proto.domain) else 0
        self._attributes = {a.name: scope.attribute(a) for a in proto.attribute}
        self._attributes = {n: a for n, a in self._attributes.items() if a is not None}

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
        try:
            value = helper.get_attribute_value(proto)
        except ValueError:
            raise ValueError(f"the attribute {name} is of no type that ONNX has") from None
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

    def step(self, index: int = 0) -> Tensor:
        """Return an input that must be a tensor; a head may have passed."""
        value = self.value(index)
        if isinstance(value, Tensor):
            return value
        raise ValueError("is not given a step of the network" if value is not None else "no input")

    def tensor(self, index: int = 0) -> Tensor:
        """Return an input that must be a tensor on which more may be computed."""
        return self.step(index).open()
