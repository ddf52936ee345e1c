"""What stands for a tensor while an ONNX graph is read.

A constant is a NumPy array. A `Tensor` depends on the network's input: one of its axes counts the
samples, and each element of the others is a feature of a chain. Reshape and Transpose only move
features around, so a tensor says which feature is where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop import scalar_functions as functions
from laminet.interop.chain import Chain
from laminet.interop.scalar_functions import Function
from laminet.interop.symbols import Symbol

# The order of features takes 8 bytes for each, and a graph can claim any number of them.
_MOST_ORDERED = 2**22

__all__ = ["BATCH", "Greater", "Labels", "RowWise", "Tensor"]

Array = NDArray[Any]


class _Batch:
    """The number of samples, among the sizes of a tensor's axes."""

    def __repr__(self) -> str:
        return "batch"


BATCH = _Batch()


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the network's input.

    Attributes
    ----------
    symbol : Symbol
        The features.
    order : ndarray of int or None
        The shape of the axes but that of the samples, and in each place the feature that is there;
        None for one axis with the features in order.
    width : int or None
        The length of that one axis, None where unknown.
    batch_axis : int or None
        Which axis counts the samples; None for a model that takes one sample without such an axis.
    batch : int or None
        The number of samples, where the model fixes it.
    integer : bool
        Whether the elements are integers: nothing is computed with them before a Cast.
    head : str or None
        The softmax or log-softmax that has been applied, after which nothing may be computed.
    """

    symbol: Symbol
    order: Array | None
    batch_axis: int | None
    batch: int | None = None
    width: int | None = None
    integer: bool = False
    head: str | None = None

    @property
    def dims(self) -> list[Any]:
        """The sizes of the axes: numbers, BATCH, or None where unknown."""
        dims: list[Any] = [self.width] if self.order is None else list(self.order.shape)
        if self.batch_axis is not None:
            dims.insert(self.batch_axis, BATCH)
        return dims

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.dims)

    def open(self) -> Tensor:
        """Return the tensor if more may be computed with it; refuse it otherwise."""
        if self.head is not None:
            raise ValueError(f"comes after a {self.head}, which can only be the last step")
        if self.integer:
            raise ValueError("computes with integers: a Cast to float must come first")
        return self

    def with_function(self, function: Function | None, what: str) -> Tensor:
        """Return the tensor with another function of its features; None is refused."""
        return replace(self, symbol=self.open().symbol.with_function(function, what))

    def with_chain(self, chain: Chain) -> Tensor:
        """Return the tensor of the same shape with other features."""
        return replace(self, symbol=Symbol(chain))

    def with_features(self, chain: Chain, order: Array | None = None) -> Tensor:
        """Return a tensor of these features, in one axis or in those of `order`."""
        return replace(self, symbol=Symbol(chain), order=order, width=chain.width)

    def scaled(self, k: float, m: float) -> Tensor:
        """Return ``k x + m`` for two numbers."""
        return self.with_function(functions.scaled(self.symbol.function, k, m), "a scale")

    def sized(self, width: int) -> Tensor:
        """Return the tensor with a known number of features, if that was not known."""
        known = self.order is not None or self.width is not None
        return self if known else replace(self, width=width)

    def feature_order(self) -> Array:
        """Return which feature is where."""
        if self.order is not None:
            return self.order
        if self.width is None or self.width > _MOST_ORDERED:
            raise ValueError(f"the number of features here is {self.width}: unknown, or too many")
        return np.arange(self.width)

    def vector(self, values: Array) -> Array:
        """Return values that were given in the tensor's shape, without samples, by feature."""
        if self.order is None:
            return values.reshape(-1)
        result = np.empty(self.order.size)
        result[self.order.ravel()] = np.broadcast_to(values, self.order.shape).ravel()
        return result

    def broadcast(self, array: Array) -> float | Array:
        """Return a constant as it meets this tensor: one number for all, or one for each feature.

        Raises
        ------
        ValueError
            If it would change the tensor's shape, or differs between samples.
        """
        tensor = self
        if array.ndim and array.shape[-1] > 1 and self.batch_axis in (None, 0):
            tensor = self.sized(array.shape[-1])
        dims = tensor.dims
        if array.ndim > len(dims):
            raise ValueError(f"a constant of shape {array.shape} adds axes to {_shape(dims)}")
        padded = array.reshape((1,) * (len(dims) - array.ndim) + array.shape)
        for axis, own in enumerate(dims):
            size: int = padded.shape[axis]
            if size in (1, own):
                continue
            if own is BATCH and size == self.batch:
                first = padded.take([0], axis=axis)
                if not np.array_equal(np.broadcast_to(first, padded.shape), padded):
                    raise ValueError("a constant differs between samples")
                continue
            raise ValueError(f"a constant of shape {array.shape} does not fit {_shape(dims)}")
        if padded.size == 0:
            raise ValueError(f"a constant of shape {array.shape} is empty")
        if (padded == padded.flat[0]).all():
            return float(padded.flat[0])
        if self.batch_axis is not None:
            padded = padded.take(0, axis=self.batch_axis)
        return tensor.vector(padded.astype(np.float64))


@dataclass(frozen=True, eq=False)
class RowWise:
    """A step of a softmax that is spelled out, over the features of each sample of a tensor.

    ``max``, ``shifted`` (x - max), ``exp`` (of shifted), ``sum_exp``, ``log_sum_exp``; `shifted`
    tells whether a sum was taken of shifted values.
    """

    kind: str
    tensor: Tensor
    shifted: bool = False


@dataclass(frozen=True, eq=False)
class Greater:
    """Whether each element of a tensor is above a number."""

    tensor: Tensor
    bound: float


@dataclass(frozen=True, eq=False)
class Labels:
    """What a classifier's graph makes of its probabilities: indices, labels, or a map of them."""

    tensor: Tensor
    classes: Array | None = None
    probabilities: bool = False  # a map from each label to its probability
    multilabel: bool = False


def _shape(dims: list[Any]) -> str:
    return "(" + ", ".join("?" if d is None else str(d) for d in dims) + ")"
