"""What stands for a tensor while an ONNX graph is read.

A constant is a NumPy array. A `Tensor` depends on the network's input: some of its axes count the
samples, and each element of the others is a feature. Reshape, Transpose and Slice only
move features around, so a tensor says which feature is where.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.value import Value

# The order of features takes 8 bytes for each, and a graph can claim any number of them.
_MOST_ORDERED = 2**22

__all__ = [
    "Column",
    "Decision",
    "Failure",
    "Greater",
    "Repeated",
    "RowWise",
    "Rows",
    "Tensor",
    "shape_text",
]

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """The length of an axis that counts samples: of an axis of the input, or of several as one.

    It stands among the numbers of a shape, and takes part in what graphs compute with shapes.

    Attributes
    ----------
    parts : tuple of int
        Which axes of the input are counted, in their order.
    sizes : tuple of int or None
        The length of each, where the model fixes it.
    """

    parts: tuple[int, ...]
    sizes: tuple[int | None, ...] = field(compare=False)

    @property
    def size(self) -> int | None:
        """How many samples there are, where the model fixes it."""
        known = [size for size in self.sizes if size is not None]
        return math.prod(known) if len(known) == len(self.sizes) else None

    def __mul__(self, other: Any) -> Rows:
        if isinstance(other, Rows) and other.parts[0] == self.parts[-1] + 1:
            return Rows(self.parts + other.parts, self.sizes + other.sizes)
        if isinstance(other, (int, np.integer)) and other == 1:
            return self
        return NotImplemented

    def __rmul__(self, other: Any) -> Rows:
        return self.__mul__(other)

    def __repr__(self) -> str:
        return "batch" if self.parts == (0,) else "rows"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the network's input.

    Attributes
    ----------
    value : Value
        The features, and the softmax or log-softmax that has been applied.
    order : ndarray of int or None
        The shape of the axes but those of samples, and in each place the feature that is there;
        None for one axis with the features in order.
    axes : tuple of Rows or None
        What each axis counts: samples, or, where None, features.
    width : int or None
        The length of the one axis of features if there is no order, None where unknown.
    integer : bool
        Whether the elements are integers: nothing is computed with them before a Cast.
    inputs : tuple of (str, int or None)
        The model's inputs, and how many features each has, that make up the network's one.
    """

    value: Value
    order: Array | None
    axes: tuple[Rows | None, ...]
    width: int | None = None
    integer: bool = False
    inputs: tuple[tuple[str, int | None], ...] = ()

    @property
    def dims(self) -> list[Any]:
        """The sizes of the axes: numbers, `Rows`, or None where unknown."""
        extents = iter([self.width] if self.order is None else self.order.shape)
        return [next(extents) if rows is None else rows for rows in self.axes]

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.axes)

    @property
    def row_axes(self) -> list[int]:
        """Which axes count samples."""
        return [i for i, rows in enumerate(self.axes) if rows is not None]

    @property
    def in_rows(self) -> bool:
        """Whether the axes of samples come first, in the input's order, or there are none."""
        parts = [p for rows in self.axes if rows is not None for p in rows.parts]
        return parts == sorted(parts) and self.row_axes == list(range(len(self.row_axes)))

    @property
    def is_input(self) -> bool:
        """Whether the features are those of inputs, moved around at most."""
        return self.value.is_input

    @property
    def head(self) -> str | None:
        """The softmax or log-softmax that has been applied."""
        return self.value.head

    def open(self) -> Tensor:
        """Return the tensor if more may be computed with it; refuse it otherwise."""
        self.value.open()
        if self.integer:
            raise ValueError("computes with integers: a Cast to float must come first")
        return self

    def applied(self, function: Callable[[Value], Value]) -> Tensor:
        """Return a function of the features, in the same places."""
        return replace(self, value=function(self.open().value))

    def ended(self, head: str) -> Tensor:
        """Return the softmax or log-softmax over the features."""
        return replace(self, value=replace(self.value, head=head))

    def with_features(self, form: Form, order: Array | None = None) -> Tensor:
        """Return a tensor of these features, in one axis or in those of `order`."""
        return replace(self, value=Value(form), order=order, width=form.width)

    def sized(self, width: int) -> Tensor:
        """Return the tensor with a known number of features, if that was not known."""
        if self.order is not None or self.width is not None:
            return self
        value = self.value
        if value.width is None:
            value = replace(value, form=replace(value.form, width=width))
        return replace(self, value=value, width=width)

    def feature_order(self) -> Array:
        """Return which feature is where."""
        if self.order is not None:
            return self.order
        if self.width is None or self.width > _MOST_ORDERED:
            raise ValueError(f"the number of features here is {self.width}: unknown, or too many")
        return np.arange(self.width)

    def transposed(self, perm: list[int]) -> Tensor:
        """Return the tensor with its axes in another order."""
        if sorted(perm) != list(range(self.rank)):
            raise ValueError(f"perm {perm} is not an order of {self.rank} axes")
        if perm == list(range(self.rank)):
            return self
        features = [axis for axis in range(self.rank) if self.axes[axis] is None]
        kept = [features.index(axis) for axis in perm if self.axes[axis] is None]
        order = self.order if self.order is None else np.transpose(self.order, kept)
        return replace(self, order=order, axes=tuple(self.axes[axis] for axis in perm))

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
        if array.ndim and array.shape[-1] > 1 and self.axes and self.axes[-1] is None:
            tensor = self.sized(array.shape[-1])
        dims = tensor.dims
        if array.ndim > len(dims):
            raise ValueError(f"a constant of shape {array.shape} adds axes to {shape_text(dims)}")
        padded = array.reshape((1,) * (len(dims) - array.ndim) + array.shape)
        for axis, own in enumerate(dims):
            size: int = padded.shape[axis]
            if size in (1, own):
                continue
            if isinstance(own, Rows) and size == own.size:
                first = padded.take([0], axis=axis)
                if not np.array_equal(np.broadcast_to(first, padded.shape), padded):
                    raise ValueError("a constant differs between samples")
                continue
            raise ValueError(f"a constant of shape {array.shape} does not fit {shape_text(dims)}")
        if padded.size == 0:
            raise ValueError(f"a constant of shape {array.shape} is empty")
        if (padded == padded.flat[0]).all():
            return float(padded.flat[0])
        for axis in reversed(tensor.row_axes):
            padded = padded.take(0, axis=axis)
        return tensor.vector(padded.astype(np.float64))


@dataclass(frozen=True, eq=False)
class Repeated:
    """A constant that is the same for each sample, where a graph makes one of the batch's shape.

    Attributes
    ----------
    array : ndarray
        The constant, of length 1 on the axes of samples.
    dims : tuple of int or Rows
        Its shape.
    """

    array: Array
    dims: tuple[Any, ...]


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
    """Whether each element of a tensor is above a number; or, `swapped`, whether it is not."""

    tensor: Tensor
    bound: float
    swapped: bool = False


@dataclass(frozen=True, eq=False)
class Decision:
    """What a classifier's graph makes of its probabilities: indices, labels, or a map of them."""

    tensor: Tensor
    classes: Array | None = None
    probabilities: bool = False  # a map from each label to its probability
    multilabel: bool = False


@dataclass(frozen=True, eq=False)
class Column:
    """One output of a softmax: with all others, as outputs of their own, they are the network's."""

    tensor: Tensor
    index: int


@dataclass(frozen=True)
class Failure:
    """What stands for a value that is no step of a network.

    Attributes
    ----------
    reason : str
        Why, and at which node.
    before : str or None
        A value that goes into that node, and is a network.
    """

    reason: str
    before: str | None = None


def shape_text(dims: list[Any]) -> str:
    """Return sizes of axes for a message."""
    return "(" + ", ".join("?" if d is None else str(d) for d in dims) + ")"
