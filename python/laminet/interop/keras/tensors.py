"""What stands for a tensor while a Keras model is read.

The first axis of a tensor counts the samples; each place in the others is a feature.
Layers that only move numbers (Flatten, Permute, a slice) change which feature is where. In a model
whose dense layers act on the last of several axes, the axes before it count samples too: rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.reading import BranchError, Reading
from laminet.interop.symbolic.value import Value

__all__ = ["RowsNeededError", "Tensor", "as_array", "completed", "concatenated", "product"]

Array = NDArray[Any]
Shape = tuple[int | None, ...]

# The order of features takes 8 bytes for each, and a file can claim any number of them.
_MOST_ORDERED = 2**22


# For a number of rows that is not known, which is tried.
_SOME_ROWS = 7


class RowsNeededError(ValueError):
    """A layer acts on the last of several axes, or their lengths are not known."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the model's input.

    Attributes
    ----------
    value : Value
        The features, and the softmax or log-softmax that has been applied.
    shape : tuple of int or None
        The lengths of the axes but that of the samples, None where unknown.
    order : ndarray of int or None
        In each place, the feature that is there; None where they are in order. In a model of rows,
        for the places of the last axis.
    rows : bool
        Whether all axes but the last one count samples.
    """

    value: Value
    shape: Shape
    order: Array | None = None
    rows: bool = False

    @classmethod
    def input(cls, shape: Shape, rows: bool, reading: Reading) -> Tensor:
        """Return an input of a model."""
        if rows and (not shape or shape[-1] is None):
            raise ValueError(f"takes samples of shape {_text(shape)}, whose last length is unknown")
        width = shape[-1] if rows else product(shape)
        return cls(Value.input(width, reading=reading), shape, rows=rows)

    def columns(self, whole: Form, start: int) -> Tensor:
        """Return an input as those columns of a form that begin at `start`."""
        order = start + self.places()
        return replace(
            self,
            value=Value(whole),
            order=order.ravel() if self.rows else order.reshape(order.shape[1:]),
        )

    def open(self) -> Value:
        """Return the features if more may be computed of them; refuse it otherwise."""
        return self.value.open()

    @property
    def flat(self) -> bool:
        """Whether no axis but the last one holds more than one number of a sample."""
        return bool(self.shape) and (self.rows or all(n == 1 for n in self.shape[:-1]))

    @property
    def last_axes(self) -> tuple[int, ...]:
        """The numbers by which the last axis may be named."""
        return (-1, len(self.shape))

    def form(self) -> Form:
        """Return the features in the order of their places."""
        form = self.open().resolved()
        return form if self.order is None else form.selected(self.order.ravel())

    def applied(self, function: Callable[[Value], Value]) -> Tensor:
        """Return a function of the features, in the same places."""
        return replace(self, value=function(self.open()))

    def in_order(self) -> Tensor:
        """Return the same tensor, with the features in the order of their places."""
        return self if self.order is None else replace(self, value=Value(self.form()), order=None)

    def softmax(self, axis: Any, head: str) -> Tensor:
        """Return the softmax or log-softmax over the features."""
        if axis not in self.last_axes or not self.flat:
            raise ValueError(f"goes over axis {axis}, not over all the features of a sample")
        return replace(self, value=Value(self.form(), head=head), order=None)

    def linear(self, weight: Array, bias: Array | None) -> Tensor:
        """Return ``x W^T + b`` of the last axis.

        Raises
        ------
        RowsNeededError
            If there are other axes beside the last one.
        """
        self.open()
        if not self.flat:
            raise RowsNeededError(
                "acts on each row of its input by itself, where other layers take all the numbers "
                "of a sample together: put a Flatten before it, or make its rows samples"
            )
        value = Value(self.form().linear(weight, bias))
        return replace(self, value=value, shape=(*self.shape[:-1], len(weight)), order=None)

    def scaled(self, scale: Any, shift: Any) -> Tensor:
        """Return ``scale * x + shift``: numbers, or arrays that are broadcast against x."""
        scale, shift = (_of_one_sample(v, len(self.shape)) for v in (scale, shift))
        if scale.ndim == 0 and shift.ndim == 0:
            return self.applied(lambda v: v.scaled(float(scale), float(shift)))
        if self.rows:
            if any(n != 1 for v in (scale, shift) for n in v.shape[:-1]):
                raise ValueError("has different numbers for the rows of a sample")
            shape: tuple[int, ...] = (self._last,)
            scale, shift = (v.reshape(v.shape[-1:]) for v in (scale, shift))
        else:
            shape = self.known_shape()
        wide = np.broadcast_shapes(shape, scale.shape, shift.shape)
        value = self
        if wide != shape and self.rows:
            raise ValueError(f"takes {shape[-1]} numbers to {wide[-1]}")
        if wide != shape:
            value = self.moved(lambda order: np.broadcast_to(order, (1, *wide)))
        form = value.form().scaled(*(np.broadcast_to(v, wide).ravel() for v in (scale, shift)))
        return replace(value, value=Value(form), order=None)

    def clipped(self, low: Any, high: Any) -> Tensor:
        """Return ``min(max(x, low), high)``: numbers, or arrays that are broadcast to x."""
        low, high = (_of_one_sample(v, len(self.shape)) for v in (low, high))
        if low.ndim == 0 and high.ndim == 0:
            return self.applied(lambda v: v.clipped(float(low), float(high)))
        if self.rows:
            raise ValueError("has bounds for each place of samples of rows")
        shape = self.known_shape()
        if np.broadcast_shapes(shape, low.shape, high.shape) != shape:
            raise ValueError(f"has more bounds than the {shape} numbers of a sample")
        bounds = [np.broadcast_to(v, shape).ravel() for v in (low, high)]
        return self.in_order().applied(lambda v: v.clipped(*bounds))

    @property
    def _last(self) -> int:
        length = self.shape[-1]
        assert length is not None  # in a model of rows it is known: input() has looked
        return length

    def known_shape(self) -> tuple[int, ...]:
        """Return the lengths of the axes; refuse unknown ones and those of too many numbers."""
        size = product(self.shape)
        if size is None:
            raise RowsNeededError(f"takes samples of shape {_text(self.shape)}, of unknown length")
        if size > _MOST_ORDERED:
            raise ValueError(f"moves {size} numbers; up to {_MOST_ORDERED} are accepted")
        return tuple(n for n in self.shape if n is not None)

    def places(self) -> Array:
        """Return the feature in each place; what counts samples has length 1."""
        if self.rows:
            order = np.arange(self._last) if self.order is None else self.order
            return order.reshape((1,) * len(self.shape) + (-1,))
        shape = self.known_shape()
        order = np.arange(int(np.prod(shape))) if self.order is None else self.order
        return order.reshape(1, *shape)

    def moved(self, move: Callable[[Array], Array]) -> Tensor:
        """Return the features in other places.

        Parameters
        ----------
        move : callable
            What is done to a tensor, the axis of the samples included, which it leaves alone.
        """
        self.open()
        if not self.rows:
            return self.with_places(move(self.places()))
        # Numbered row by row, so that what is done to the rows shows.
        lengths = [_SOME_ROWS if n is None else n for n in self.shape[:-1]]
        rows = np.arange(product(lengths) or 0)
        order = self.places().ravel()
        width = int(order.max()) + 1
        if len(rows) * len(order) > _MOST_ORDERED:
            raise ValueError(f"moves {len(rows) * len(order)} numbers; {_MOST_ORDERED} at most")
        after = move((rows[:, None] * width + order).reshape(1, *lengths, len(order)))
        if after.shape[:-1] != (1, *lengths):
            raise ValueError(_ROWS_JOINED)
        table = after.reshape(len(rows), -1)
        if (table - width * rows[:, None] != table[0]).any():
            raise ValueError(_ROWS_JOINED)
        return self.with_places(table[0].reshape((1,) * len(self.shape) + (-1,)))

    def with_places(self, places: Array) -> Tensor:
        """Return these features, shaped as `places` tells them."""
        if places.size == 0:
            raise ValueError("keeps no number of a sample")
        shape: Shape = places.shape[1:]
        order: Array = places.reshape(shape)
        if self.rows:
            shape, order = (*self.shape[:-1], places.shape[-1]), places.ravel()
        return replace(self, shape=shape, order=_unless_in_order(order, self.value.width))

    def reshaped(self, shape: Sequence[int | None]) -> Tensor:
        """Return the same numbers in C order in axes of these lengths."""
        if self.rows:
            if not shape or shape[-1] != self.shape[-1]:
                raise ValueError(_ROWS_JOINED)
            return replace(self, shape=tuple(shape))
        if self.order is None:  # in C order before and after, known lengths or not
            return replace(self, shape=tuple(shape))
        known = [-1 if n is None else n for n in shape]
        return self.moved(lambda order: order.reshape(1, *known))

    def combined(self, other: Tensor, operation: str) -> Tensor:
        """Return the sum, product, quotient, maximum or minimum of two values.

        Raises
        ------
        ValueError
            If no layer of laminet does that.
        """
        x, y = self, other
        for value in (x, y):
            value.open()
        if self.shape != other.shape or not np.array_equal(self.places(), other.places()):
            first, second = np.broadcast_arrays(self.places(), other.places())
            x, y = self._placed(first), other._placed(second)
        try:
            return x.applied(lambda v: v.combined(y.value, operation))
        except BranchError as error:
            raise ValueError(
                f"{error}, which no layer of laminet does (sums and joins of them it has): import "
                "the parts before it one by one (keras.Model(inputs, outputs) makes a model of a "
                "part)"
            ) from None

    def _placed(self, places: Array) -> Tensor:
        shape = (*self.shape[:-1], places.shape[-1]) if self.rows else places.shape[1:]
        value = self.value.selected(places.ravel())
        return replace(self, value=value, shape=shape, order=None)

    def averaged(self, keep: bool) -> Tensor:
        """Return the mean over all features of each sample."""
        x = self.in_order()
        shape = (*self.shape[:-1], *([1] if keep else []))
        return replace(x, value=x.value.averaged(), shape=shape)


_ROWS_JOINED = (
    "moves or joins the rows of a sample, which the dense layers of this model take one by one: "
    "import the layers up to here (keras.Model(model.inputs, layer.output)), and those after it as "
    "a network of their own"
)


def concatenated(values: Sequence[Tensor], axis: int) -> Tensor:
    """Return values side by side along an axis, which counts the samples' too."""
    if len(values) == 1:
        return values[0]
    first = values[0]
    axis = axis + len(first.shape) + 1 if axis < 0 else axis
    if first.rows and axis != len(first.shape):
        raise ValueError(_ROWS_JOINED)
    if axis == 0:
        raise ValueError("joins samples")
    for value in values:
        value.open()
    if all(v.value.same_as(first.value) for v in values):
        # Numbers of one value, such as the inputs: only their places change.
        order = np.concatenate([v.places() for v in values], axis=axis)
        return first.with_places(order)
    form = joined([v.form() for v in values])
    order = np.concatenate(_numbered([v.places() for v in values]), axis=axis)
    value = replace(first, value=Value(form), order=None)
    if first.rows:
        return replace(value, shape=(*first.shape[:-1], order.shape[-1]))
    order = order.reshape(order.shape[1:])
    return replace(value, shape=order.shape, order=_unless_in_order(order, order.size))


def _numbered(arrays: Sequence[Array]) -> list[Array]:
    """Return arrays of the same shapes that number all the places of all of them."""
    starts = np.cumsum([0, *(a.size for a in arrays)])
    return [
        start + np.arange(a.size).reshape(a.shape) for start, a in zip(starts, arrays, strict=False)
    ]


def _unless_in_order(order: Array, width: int | None) -> Array | None:
    in_order = order.size == width and bool((order.ravel() == np.arange(order.size)).all())
    return None if in_order else order


def as_array(tensor: Any) -> Array:
    """Return the numbers of a variable or tensor: float64 as such, all else as float32."""
    from keras import ops

    with warnings.catch_warnings():
        # On PyTorch, NumPy 2 complains about how Keras hands tensors over.
        warnings.simplefilter("ignore", DeprecationWarning)
        array = np.asarray(ops.convert_to_numpy(tensor))
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _of_one_sample(value: Any, axes: int) -> Array:
    """Return what meets a tensor without the axis of the samples; one number as a number."""
    array = np.asarray(value, np.float64)
    if array.size == 1:
        return array.reshape(()) if array.ndim <= axes + 1 else array
    if array.ndim > axes:
        if array.ndim > axes + 1 or array.shape[0] != 1:
            raise ValueError(f"takes an array of shape {array.shape}, whose first axis is samples")
        array = array[0]
    return array


def product(lengths: Sequence[int | None]) -> int | None:
    """Return the product of lengths, None where one is unknown."""
    result = 1
    for n in lengths:
        if n is None:
            return None
        result *= n
    return result


def completed(shape: Sequence[int | None], size: int | None) -> Shape:
    """Return a shape with the one length in it that is -1 or None, where `size` tells it."""
    lengths = [None if n in (-1, None) else n for n in shape]
    rest = product([n for n in lengths if n is not None])
    if lengths.count(None) == 1 and size is not None and rest:
        lengths[lengths.index(None)] = size // rest
    return tuple(lengths)


def _text(shape: Shape) -> str:
    return "(" + ", ".join("?" if n is None else str(n) for n in shape) + ")"
