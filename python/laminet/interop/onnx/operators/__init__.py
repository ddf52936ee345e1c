"""The operators that a network can be made of: one function each, by domain and name."""

from __future__ import annotations

from laminet.interop.onnx.graph import Operator
from laminet.interop.onnx.operators import activations, elementwise, layers, shapes, tails

__all__ = ["OPERATORS"]

OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", name): operator for name, operator in layers.OPERATORS.items()},
    **{("", name): operator for name, operator in elementwise.OPERATORS.items()},
    **{("", name): operator for name, operator in activations.OPERATORS.items()},
    **{("", name): operator for name, operator in shapes.OPERATORS.items()},
    **tails.OPERATORS,
}
