"""What stands for a tensor of PyTorch while a module runs: which feature is at which place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.symbolic.value import Value

__all__ = ["Comparison", "LogSum", "Tracked", "concatenated", "numbered"]

Array = NDArray[Any]

# A layer that acts on each part of a sample is so many layers.
_MOST_PARTS = 256


def numbered(shape: Sequence[int]) -> Any:
    """Return a tensor of that shape whose elements are 0, 1, 2, ... in C order."""
    import torch

    return torch.arange(int(np.prod(shape, dtype=np.int64)), device="cpu").reshape(tuple(shape))


@dataclass(frozen=True, eq=False)
class Tracked:
    """A tensor that depends on the input.

    Attributes
    ----------
    value : Value
        What its features are.
    index : torch.Tensor
        Of the same shape. Each element is ``sample * width + feature``: where it comes from. What
        only moves numbers (views, slices, permutations) is done to this tensor.
    samples : int
        How many samples the module is run on.
    """

    value: Value
    index: Any
    samples: int

    @classmethod
    def of(cls, value: Value, shape: Sequence[int], samples: int) -> Tracked:
        """Return the tensor of that shape that has the features of a value in C order."""
        return cls(value, numbered(shape), samples)

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.index.shape)

    def with_value(self, value: Value) -> Tracked:
        """Return the tensor of the same places with another value of the same width."""
        return Tracked(value, self.index, self.samples)

    def ordered(self) -> Tracked:
        """Return the same tensor, with a value whose features are its elements in C order.

        Raises
        ------
        ValueError
            If the samples are not the first axis (but for those of length 1), or do not have the
            same features.
        """
        width = self.value.width
        assert width is not None  # known wherever a module is run
        extents = [n for n in self.shape if n != 1] or [1]
        apart = self.samples == 1 or extents[0] == self.samples
        if not apart or self.index.numel() == 0:
            raise ValueError(
                f"is given a tensor of shape {self.shape} for {self.samples} samples: laminet's "
                "layers take one row of features for each sample"
            )
        rows = self.index.reshape(self.samples, -1).numpy()
        samples, features = rows // width, rows % width
        if (samples != np.arange(self.samples)[:, None]).any() or (features != features[0]).any():
            raise ValueError("mixes the features of different samples")
        if np.array_equal(features[0], np.arange(width)):
            return self
        return Tracked.of(self.value.selected(features[0]), self.shape, self.samples)

    def samples_first(self, axis: int) -> Tracked:
        """Return the tensor with the axis of the samples in front, as of a stack of results."""
        return Tracked(self.value, self.index.movedim(axis, 0), self.samples) if axis else self

    def expanded(self, shape: Sequence[int]) -> Tracked:
        """Return the tensor, broadcast to a shape."""
        return Tracked(self.value, self.index.expand(tuple(shape)), self.samples)

    def sample_axis(self) -> int:
        """Return the axis along which the samples differ; 0 where that is none or several."""
        width = self.value.width or 1
        for axis, length in enumerate(self.shape):
            ends = self.index.narrow(axis, 0, 1), self.index.narrow(axis, length - 1, 1)
            if length == self.samples > 1 and ((ends[1] - ends[0]) // width != 0).any():
                return axis
        return 0

    def linear(self, weight: Array, bias: Array | None = None) -> Tracked:
        """Return ``x W^T + b`` over the last axis: of each part where a sample has several."""
        size = self.index.numel() // self.samples
        count = size // self.shape[-1] if self.shape and self.shape[-1] else 0
        shape = (*self.shape[:-1], weight.shape[0])
        if count < 2:
            x = self.ordered()
            if x.value.width != x.shape[-1]:
                raise ValueError(f"takes samples of shape {x.shape[1:]}, which are no features")
            return Tracked.of(x.value.linear(weight, bias), shape, self.samples)
        if count > _MOST_PARTS:
            raise ValueError(f"acts on each of {count} parts of a sample")
        parts = self.index.reshape(self.samples, count, -1)
        rows = [Tracked(self.value, part, self.samples).ordered().value for part in parts.unbind(1)]
        value = Value.joined([row.linear(weight, bias) for row in rows])
        return Tracked.of(value, shape, self.samples)

    def beside(self, constant: Any) -> tuple[Tracked, Array | float]:
        """Return this tensor and a constant one, broadcast to each other.

        Returns
        -------
        Tracked, float or ndarray
            Of the constant, a number if all its elements are equal, else one for each feature.

        Raises
        ------
        ValueError
            If the constant is not the same for all samples, or holds no real numbers.
        """
        import torch

        if constant.is_complex() or constant.is_quantized or constant.is_meta:
            raise ValueError(f"takes a tensor of {constant.dtype}, not of real numbers")
        shape = torch.broadcast_shapes(self.shape, tuple(constant.shape))
        x = self if tuple(shape) == self.shape else self.expanded(shape)
        numbers = constant.detach().to("cpu", torch.float64)
        if numbers.numel() == 1:
            return x, float(numbers)
        array = numbers.expand(shape).numpy()
        if not np.isnan(array).any() and (array == array.flat[0]).all():
            return x, float(array.flat[0])
        axis = x.sample_axis()
        if axis:  # a stack of results
            first, beside = x.samples_first(axis).beside(numbers.expand(shape).movedim(axis, 0))
            return Tracked(first.value, first.index.movedim(0, axis), x.samples), beside
        x = x.ordered()
        rows = array.reshape(self.samples, -1)
        if not np.array_equal(rows, np.broadcast_to(rows[0], rows.shape), equal_nan=True):
            raise ValueError(
                f"takes a tensor of shape {tuple(constant.shape)}, not one number for each feature"
            )
        return x, rows[0].copy()


@dataclass(frozen=True, eq=False)
class Comparison:
    """Where a tensor is greater than a number, or, without `greater`, where it is less."""

    tensor: Tracked
    bound: float
    greater: bool


@dataclass(frozen=True, eq=False)
class LogSum:
    """The logarithm of the sum of the exponentials of a tensor's features."""

    tensor: Tracked


def concatenated(tensors: Sequence[Tracked]) -> list[Tracked]:
    """Return the same tensors as parts of one value: its features one after the other."""
    first = tensors[0].value
    if all(t.value is first for t in tensors):
        return list(tensors)
    parts = [t.ordered() for t in tensors]
    value = Value.joined([t.value for t in parts])
    samples = parts[0].samples
    assert value.width is not None
    result, start = [], 0
    for part in parts:
        width = part.index.numel() // samples
        table = part.index.reshape(samples, width)
        shift = (value.width - width) * numbered((samples,)).reshape(-1, 1) + start
        result.append(Tracked(value, (table + shift).reshape(part.shape), samples))
        start += width
    return result
