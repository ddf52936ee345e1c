"""What stands for a tensor while a PyTorch module is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop import scalar_functions as functions
from laminet.interop.chain import Chain, joined
from laminet.interop.scalar_functions import Function
from laminet.interop.symbols import Symbol

__all__ = ["Value", "as_array"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of shape (batch, features) that depends on the input, and the head it has passed."""

    symbol: Symbol
    head: str | None = None

    @classmethod
    def input(cls, width: int | None = None) -> Value:
        """Return the input of the module; `width` is its number of features, where it is known."""
        return cls(Symbol(Chain(width=width)))

    @property
    def width(self) -> int | None:
        """The number of features, None as long as it is not known."""
        return self.symbol.chain.width

    def _open(self) -> Symbol:
        if self.head is not None:
            raise ValueError(f"comes after a {self.head}, which can only be the last step")
        return self.symbol

    def linear(self, weight: Array, bias: Array | None) -> Value:
        """Return ``x W^T + b``."""
        return Value(Symbol(self._open().resolved().linear(weight, bias)))

    def activated(self, activation: Activation | str) -> Value:
        """Return an activation, or one of the functions that activations are made of."""
        if (self.head, activation) == ("log_softmax", "exp"):
            return Value(self.symbol, "softmax")
        applied = functions.apply(activation, self._open().function)
        return self.with_function(applied, str(activation))

    def scaled(self, scale: Array | float, shift: Array | float) -> Value:
        """Return ``scale * x + shift``: numbers, or vectors with one number for each feature."""
        symbol = self._open()
        if np.ndim(scale) == 0 and np.ndim(shift) == 0:
            k, m = float(scale), float(shift)
            return Value(Symbol(symbol.chain, functions.scaled(symbol.function, k, m)))
        return Value(Symbol(symbol.resolved().scaled(scale, shift)))

    def with_function(self, function: Function | None, what: str) -> Value:
        """Return the value with another function of the same chain; None is refused."""
        return Value(self._open().with_function(function, what))

    def combined(self, other: Value, operation: str) -> Value:
        """Return the sum, product, quotient or maximum of two functions of the same features."""
        mine, its = self._open(), other._open()
        if mine.chain is not its.chain:
            raise ValueError(
                "combines two results of different layers (a residual, a skip or a gate), which is "
                "no chain; the parts of it that are can be read by themselves"
            )
        f, g = mine.function, its.function
        if operation == "add":
            combined = functions.add(f, g)
        elif operation == "maximum":
            combined = functions.maximum(f, g)
        else:
            combined = functions.multiply(
                f, functions.reciprocal(g) if operation == "divide" else g
            )
        return self.with_function(combined, f"the {operation} with {functions.text(g)}")

    def selected(self, order: Array) -> Value:
        """Return some of the features, by their indices, in any order and as often as wanted."""
        symbol = self._open()
        return Value(Symbol(symbol.chain.selected(order), symbol.function))

    @classmethod
    def joined(cls, values: Sequence[Value]) -> Value:
        """Return the features of several values, one after the other."""
        return cls(Symbol(joined([value._open().resolved() for value in values])))

    def ended(self, head: str) -> Value:
        """Return the softmax or log-softmax over the features."""
        if self.head == "log_softmax":  # its exponentials have the sum 1
            return Value(self.symbol, head)
        return Value(self._open(), head)


def as_array(tensor: Any, name: str) -> Array:
    """Return a tensor's numbers: float64 as such, all narrower types as float32.

    Raises
    ------
    ValueError
        If it holds no real floating-point numbers that can be read.
    """
    import torch

    if tensor.is_meta or isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise ValueError(f"{name} has no values yet")
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_quantized:
        kind = str(tensor.dtype).removeprefix("torch.")
        layout = "" if tensor.layout == torch.strided else f"{tensor.layout} ".replace("torch.", "")
        raise ValueError(f"{name} is a {layout}tensor of {kind}, not of real numbers")
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    plain = tensor.detach().to(device="cpu", dtype=wide)
    if type(plain) is not torch.Tensor:
        raise ValueError(f"{name} is a {type(plain).__name__}, whose values cannot be read")
    array: Array = plain.numpy()
    return array
