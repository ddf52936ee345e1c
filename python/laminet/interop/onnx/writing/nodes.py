"""The nodes and constants of a graph while it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nodes"]

Array = NDArray[Any]


class Nodes:
    """Collects nodes and constants.

    Attributes
    ----------
    dtype : numpy.dtype
        The network's.
    rounds : bool
        Whether dense layers round what they read to bfloat16.
    nodes : list of onnx.NodeProto
    constants : dict of ndarray
        The initializers, by name.
    """

    def __init__(self, dtype: np.dtype[Any], *, rounds: bool = False) -> None:
        self.dtype = dtype
        self.rounds = rounds
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def constant(self, name: str, array: Any) -> str:
        """Add an array; return its name."""
        self.constants[name] = np.asarray(array)
        return name

    def number(self, value: float) -> str:
        """Return the name of a constant, one for each value."""
        return self.constant(f"number {value!r}", np.array(value, self.dtype))

    def integer(self, value: int) -> str:
        """Return the name of a constant that is a list of one integer, one for each value."""
        return self.constant(f"integer {value}", np.array([value], np.int64))

    def parameter(self, value: float | Array, name: str) -> str:
        """Return the name of a constant: of an array, what it is called."""
        if isinstance(value, np.ndarray):
            return self.constant(name, value.astype(self.dtype))
        return self.number(value)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        output = f"{len(self.nodes)}.{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def give(self, name: str, output: str) -> None:
        """Call what the last node gives, or the input, by the name of an output of the graph."""
        if not self.nodes:
            self.node("Identity", name)
        self.nodes[-1].output[0] = output
