"""What holds for a whole ONNX model while it is read: its operators, its precision, its inputs."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.arrays import FLOAT_UNITS, INTEGERS, External, to_array
from laminet.interop.onnx.node import Operator
from laminet.interop.onnx.opsets import opset_of
from laminet.interop.onnx.scope import Scope
from laminet.interop.onnx.values import Failure, Rows, Tensor
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.reading import Reading
from laminet.interop.symbolic.value import Value

__all__ = ["UNKNOWN_AXES", "Graph"]

Array = NDArray[Any]

# What is allocated for each feature that an input claims, and no weight has confirmed.
_MOST_FEATURES = 2**16
# Nodes that run in functions and branches: a few functions that call each other could make any
# number of them.
_MOST_INNER_NODES = 2**14

# Elements of constants that are joined from others: twice what the weights have, and these.
_MOST_MADE = 2**20

#: What is said of an input whose axes may all but the last count samples.
UNKNOWN_AXES = "has axes of unknown length"


class Graph:
    """A model, and what is known of all its values.

    Parameters
    ----------
    model : onnx.ModelProto
    external : External
        Where its weights are that are in other files.
    operators : dict
        What computes each operator, by domain and name.
    leading_rows : bool, default False
        Whether all axes of an input but the last count samples, and not the first alone.
    only : collection of str, optional
        The inputs that the network is of, where it is not of all.
    """

    def __init__(
        self,
        model: Any,
        external: External,
        operators: dict[tuple[str, str], Operator],
        leading_rows: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        self.operators = operators
        self.functions: dict[tuple[str, str, str], Any] = {
            (f.domain, f.name, f.overload): f for f in model.functions
        }
        self.reading = Reading()
        self.wide: bool = False
        self.inner_nodes_left = _MOST_INNER_NODES
        self._elements_left = _MOST_MADE
        self._external = external
        self._leading_rows = leading_rows
        self._whole: dict[str, tuple[Form, int]] = {}
        graph = model.graph
        held = {tensor.name for tensor in graph.initializer}
        held |= {tensor.values.name for tensor in graph.sparse_initializer}
        self._inputs = {i.name: i for i in graph.input if i.name not in held}
        # Several inputs are columns of one: those that the network is of.
        self._beside = [n for n in self._inputs if only is None or n in only]
        self._scope = Scope(self, graph, opset_of(model.opset_import))

    @property
    def several_axes(self) -> bool:
        """Whether an input has more than one axis that could count samples."""
        return any(len(i.type.tensor_type.shape.dim) > 2 for i in self._inputs.values())

    def array(self, tensor: Any) -> Array:
        """Return a constant, and note what its type says of the model's precision."""
        array = to_array(tensor, self._external)
        unit = FLOAT_UNITS.get(tensor.data_type)
        if unit is not None and array.size == 1:
            # Two roundings in 16 bits, which are much already; four in the wider types.
            self.reading.tolerance = max(self.reading.tolerance, 2 * unit)
        self.wide |= tensor.data_type == 11 and array.size > 1
        self._elements_left += 2 * array.size
        return array

    def make(self, elements: int) -> None:
        """Note that a constant is made of others; refuse more than a file of this size can mean."""
        self._elements_left -= elements
        if self._elements_left < 0:
            raise ValueError("makes constants that are much larger than the model's weights")

    def run(self, names: list[str]) -> list[Any]:
        """Return some values of the graph: `Failure` for one that is no step of a network.

        Raises
        ------
        FormatError
            If the graph is not sound.
        """
        return self._scope.run(names)

    def knows(self, name: str) -> bool:
        """Whether a name stands for a value of the graph."""
        return self._scope.knows(name) or name in self._inputs

    def name_of(self, value: Any) -> str | None:
        """Return the name of a value that has been computed."""
        return self._scope.name_of(value)

    def is_network(self, tensor: Tensor) -> bool:
        """Whether a value is a network as it is."""
        if tensor.is_input:
            return False
        try:
            tensor.value.resolved()
        except ValueError:
            return False
        return tensor.in_rows

    def input(self, name: str) -> Any:
        """Return the input of a name, None where there is none."""
        info = self._inputs.get(name)
        return None if info is None else self._input(name, info)

    def _input(self, name: str, info: Any) -> Any:
        kind = info.type.tensor_type
        if kind.elem_type not in FLOAT_UNITS and kind.elem_type not in INTEGERS:
            return Failure(f"input {name[:60]!r} is not a tensor of numbers")
        self.wide |= kind.elem_type == 11
        sizes = kind.shape.dim
        dims: list[Any] = [d.dim_value if d.HasField("dim_value") else None for d in sizes]
        if not kind.HasField("shape"):
            dims = [None, None]
        if not dims or any(d is not None and d < 1 for d in dims):
            return Failure(f"input {name[:60]!r} has the shape {dims}, not (batch, features)")
        whole = self._columns() if len(self._beside) > 1 else {}
        count = len(dims) - 1 if self._leading_rows else min(len(dims) - 1, 1)
        features = dims[count:]
        axes = (*(Rows((i,), (d,)) for i, d in enumerate(dims[:count])), *[None] * len(features))
        integer = kind.elem_type in INTEGERS
        if name in whole:
            form, start = whole[name]
            value = Value(form.selected(start + np.arange(math.prod(features))))
            order = None if len(features) == 1 else np.arange(value.width or 0).reshape(features)
            return Tensor(value, order, axes, value.width, integer, inputs=((name, value.width),))
        if len(features) == 1:
            (width,) = features
            # A form makes arrays as wide as this where a layer has not confirmed it.
            sure = width if width is not None and width <= _MOST_FEATURES else None
            value = Value.input(sure, reading=self.reading, name=name)
            return Tensor(value, None, axes, width, integer, inputs=((name, width),))
        if None in features:
            return Failure(f"input {name[:60]!r} {UNKNOWN_AXES}: {dims}")
        size = math.prod(features)
        if size > _MOST_FEATURES**2 // 2**10:
            return Failure(f"input {name[:60]!r} has {size} features, too many")
        order = np.arange(size).reshape(features)
        value = Value.input(size, reading=self.reading, name=name)
        return Tensor(value, order, axes, size, integer, inputs=((name, size),))

    def reached(self, names: list[str]) -> list[str]:
        """Return the inputs that some values may depend on."""
        return [name for name in self._scope.reached(names) if name in self._inputs]

    def in_order(self, names: Collection[str]) -> list[str]:
        """Return names of inputs in the model's order."""
        return [name for name in self._inputs if name in names]

    def _columns(self) -> dict[str, tuple[Form, int]]:
        """Return where each of several inputs begins in the one that they are columns of."""
        widths = [_features(self._inputs[name]) for name in self._beside]
        if not self._whole and None not in widths:
            form = Form.input(sum(w or 0 for w in widths), reading=self.reading)
            start = 0
            for name, width in zip(self._beside, widths, strict=True):
                self._whole[name] = form, start
                start += width or 0
        return self._whole


def _features(info: Any) -> int | None:
    """Return how many features an input has in each sample, if the model fixes that."""
    kind = info.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if not kind.HasField("shape") or not sizes or None in sizes[1:]:
        return None
    return int(min(math.prod(n or 0 for n in sizes[1:]), _MOST_FEATURES))
