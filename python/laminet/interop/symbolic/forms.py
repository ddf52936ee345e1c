"""The graph of a model: features as functions of the network's input.

A `Form` is a value: an affine map of one *step*, which is the input, or what something that is not
affine makes of other forms. Each operation gives a new form. Layers that are there are taken over
bit by bit; what is folded into a layer (a scale and a shift for each feature, as of a batch
normalisation) is multiplied out in float64 and rounded once, to the dtype of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop.symbolic.exact import applied, composed, product, scattered, total
from laminet.interop.symbolic.functions import Function
from laminet.interop.symbolic.reading import Reading

__all__ = [
    "Activated",
    "Averaged",
    "Centred",
    "Clipped",
    "Dropped",
    "Form",
    "Input",
    "Joined",
    "Node",
    "Normalised",
    "Step",
    "Summed",
]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Input:
    """The network's input, or one of several inputs of the model that `name` tells apart.

    `width` is the number of its features; None as long as it is not known.
    """

    reading: Reading = field(default_factory=Reading)
    name: Any = None
    width: int | None = None


@dataclass(frozen=True, eq=False)
class Activated:
    """``s(of)``."""

    of: Form
    activation: Activation


@dataclass(frozen=True, eq=False)
class Clipped:
    """``min(max(of, low), high)``, numbers or one for each feature."""

    of: Form
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Normalised:
    """The features of each sample by their own statistics, then scaled by `weight` and shifted.

    ``layer``: (of - mean) / sqrt(variance + eps); ``rms``: of / sqrt(mean of squares + eps).
    """

    of: Form
    kind: Literal["layer", "rms"]
    eps: float
    weight: Array | None = None
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Centred:
    """``of - mean(of)``, the mean of each sample over its features."""

    of: Form


@dataclass(frozen=True, eq=False)
class Dropped:
    """``of``, of which training leaves features out at random."""

    of: Form
    rate: float


@dataclass(frozen=True, eq=False)
class Averaged:
    """The mean of a function of the features of each sample: one feature."""

    of: Form
    function: Function


@dataclass(frozen=True, eq=False)
class Summed:
    """The sum of forms of one width."""

    parts: tuple[Form, ...]


@dataclass(frozen=True, eq=False)
class Joined:
    """The features of several forms, one after the other."""

    parts: tuple[Form, ...]


Step: TypeAlias = (
    Input | Activated | Clipped | Normalised | Centred | Dropped | Averaged | Summed | Joined
)
Node: TypeAlias = "Form | Step"


@dataclass(frozen=True, eq=False)
class Form:
    """``W (scale * step + shift) + b``, each part where it is not None.

    `scale` and `shift` are there only as long as no matrix is, and so are `columns`.

    Attributes
    ----------
    step : Step
        What it is an affine map of.
    source : Input
        What it is a function of in the end.
    width : int or None
        The number of features; None as long as nothing has said how many inputs there are.
    columns : ndarray of int or None
        Which features of the step are meant, of how many: `total`. None for all in order.
    origin : tuple of Form and ndarray of int, or None
        For features that were selected: of which form, and which.
    scaled_of : tuple of Form, scale and shift, or None
        For features that were scaled and shifted: what they were before, and by what numbers.
    """

    step: Step
    source: Input
    width: int | None = None
    weight: Array | None = None
    bias: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    columns: Array | None = None
    total: int | None = None
    origin: tuple[Form, Array] | None = None
    scaled_of: tuple[Form, Array, Array] | None = None

    @classmethod
    def input(
        cls, width: int | None = None, *, reading: Reading | None = None, name: Any = None
    ) -> Form:
        """Return all features of an input of a model."""
        source = Input(reading or Reading(), name, width)
        return cls(source, source, width)

    @property
    def plain(self) -> bool:
        """Whether it is the step itself."""
        return self.bare and self.columns is None

    @property
    def bare(self) -> bool:
        """Whether it is features of the step as they are."""
        return self.weight is None and self.scale is None and self.shift is None

    def over(self, step: Step, width: int | None) -> Form:
        """Return another step, of the same input."""
        return Form(step, self.source, width)

    def kept(self, key: Any, make: Callable[[], Form]) -> Form:
        """Return what is made of this form, one and the same however often it is asked for."""
        memo = self.source.reading.memo
        if (id(self), key) not in memo:
            memo[id(self), key] = self, make()
        made: Form = memo[id(self), key][1]
        return made

    def linear(self, weight: Array, bias: Array | None = None, *, merged: bool = False) -> Form:
        """Return ``W v + b`` of this value, W of shape (out, in).

        Parameters
        ----------
        weight, bias : ndarray
        merged : bool, default False
            Whether a matrix before this one and it become one, and columns that are left out
            weights of 0; else these are layers of their own.

        Raises
        ------
        ValueError
            If the shapes do not fit, or a number that is multiplied out is too large for float64.
        """
        if weight.ndim != 2 or 0 in weight.shape:
            raise ValueError(f"a weight of shape {weight.shape} is not (outputs, inputs)")
        if self.weight is not None and not merged:
            return self.layer(Activation("identity")).linear(weight, bias)
        outputs, inputs = weight.shape
        if self.width not in (None, inputs):
            raise ValueError(
                f"a weight of shape {weight.shape} does not take {self.width} features"
            )
        if bias is not None and bias.shape != (outputs,):
            raise ValueError(f"a bias of shape {bias.shape} does not fit {outputs} outputs")
        if self.weight is not None:
            return self._merged(weight, bias)
        if self.shift is not None:
            added = applied(weight, np.broadcast_to(self.shift, inputs))
            bias = added if bias is None else total(bias, added)
        if self.scale is not None:
            weight = product(weight, self.scale)
        step = self.step
        if self.columns is not None:
            used = np.unique(self.columns)
            if merged or len(used) == self.total:
                weight = scattered(weight, self.columns, self.total or 0)
            else:
                # What is left out of a sample may be NaN, which a weight of 0 would not hide.
                step = self._only(used)
                weight = scattered(weight, np.searchsorted(used, self.columns), len(used))
        return Form(step, self.source, outputs, weight, bias)

    def _only(self, columns: Array) -> Step:
        """Return some features of the step as one, the same however often it is asked for."""
        memo, key = self.source.reading.memo, (id(self.step), columns.tobytes())
        if key not in memo:
            form = Form(self.step, self.source, len(columns), columns=columns, total=self.total)
            memo[key] = self.step, Activated(form, Activation("identity"))
        step: Step = memo[key][1]
        return step

    def _merged(self, weight: Array, bias: Array | None) -> Form:
        assert self.weight is not None  # linear() has looked
        if self.bias is not None:
            added = applied(weight, self.bias)
            bias = added if bias is None else total(bias, added)
        return Form(self.step, self.source, len(weight), composed(weight, self.weight), bias)

    def scaled(self, scale: Array | float, shift: Array | float) -> Form:
        """Return ``scale * v + shift``, both numbers or one number for each feature.

        Raises
        ------
        ValueError
            If the lengths do not fit, or a number that is multiplied out is too large for float64.
        """
        scale, shift = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        width = self.width
        for array in (scale, shift):
            if array.ndim > 1 or (array.ndim == 1 and array.size != (width or array.size)):
                raise ValueError(f"an array of shape {array.shape} does not fit {width} features")
            width = array.size if array.ndim else width
        # The halves that change nothing must not touch the bits of a layer.
        scales, shifts = bool((scale != 1).any()), bool((shift != 0).any())
        result = self
        if scales or shifts:
            result = replace(self, width=width, origin=None, scaled_of=(self, scale, shift))
        if result.width is None:
            result = replace(result, width=width)
        if scales:
            result = result._multiplied(scale if width is None else np.broadcast_to(scale, width))
        if shifts:
            result = result._shifted(shift if width is None else np.broadcast_to(shift, width))
        return result

    def _multiplied(self, factor: Array) -> Form:
        if self.weight is None:
            step = self.step
            if isinstance(step, Normalised) and self.plain and step.bias is None:
                weight = factor if step.weight is None else product(factor, step.weight)
                return replace(self, step=replace(step, weight=weight))
            scale = factor if self.scale is None else product(factor, self.scale)
            shift = None if self.shift is None else product(factor, self.shift)
            return replace(self, scale=scale, shift=shift)
        bias = None if self.bias is None else product(factor, self.bias)
        return replace(self, weight=product(factor[:, None], self.weight), bias=bias)

    def _shifted(self, shift: Array) -> Form:
        if self.weight is None:
            step = self.step
            if isinstance(step, Normalised) and self.plain and step.kind == "layer":
                bias = shift if step.bias is None else total(step.bias, shift)
                return replace(self, step=replace(step, bias=bias))
            return replace(self, shift=shift if self.shift is None else total(self.shift, shift))
        bias = shift if self.bias is None else total(self.bias, shift)
        return replace(self, bias=bias)

    def biased(self, bias: Array) -> Form:
        """Return ``v + bias`` of a matrix without a bias, which it has then, of zeros too."""
        return replace(self, bias=bias, origin=None, scaled_of=None)

    def selected(self, indices: Array) -> Form:
        """Return the features ``v[indices]``: some of them, in any order, repeated ones too.

        Raises
        ------
        ValueError
            If the number of features is not known, or an index is none of theirs.
        """
        if self.width is None:
            raise ValueError("selects some of an unknown number of features")
        if indices.ndim != 1 or indices.size == 0:
            raise ValueError(f"selects {indices.size} features")
        if indices.min() < 0 or indices.max() >= self.width:
            raise ValueError(f"selects feature {int(indices.max())} of {self.width}")
        if len(indices) == self.width and (indices == np.arange(self.width)).all():
            return self
        # The same however often it is asked for: a model may compute two things of it.
        key = "selected", indices.astype(np.int64).tobytes()
        return self.kept(key, lambda: self._selected(indices))

    def _selected(self, indices: Array) -> Form:
        assert self.width is not None  # selected() has looked
        scale, shift = (
            None if a is None else np.broadcast_to(a, self.width)[indices]
            for a in (self.scale, self.shift)
        )
        if isinstance(self.step, Joined) and self.weight is None and self.columns is None:
            found = _of_parts(self.step.parts, indices)
            if found is not None:
                return found.scaled(
                    1.0 if scale is None else scale, 0.0 if shift is None else shift
                )
        whole, places = self.origin or (self, np.arange(self.width))
        result = replace(
            self,
            width=len(indices),
            bias=None if self.bias is None else self.bias[indices],
            scale=scale,
            shift=shift,
            origin=(whole, places[indices]),
            scaled_of=None,
        )
        if self.weight is not None:
            return replace(result, weight=self.weight[indices])
        columns = np.arange(self.width) if self.columns is None else self.columns
        return replace(result, columns=columns[indices], total=self.total or self.width)

    def activated(self, activation: Activation) -> Form:
        """Return ``s(v)``."""
        return self if activation.name == "identity" else self.layer(activation)

    def layer(self, activation: Activation) -> Form:
        """Return ``s(v)`` as a step, of the identity too."""
        return self.kept(activation, lambda: self.over(Activated(self, activation), self.width))

    def clipped(self, low: Array | float, high: Array | float) -> Form:
        """Return ``min(max(v, low), high)`` as a step of its own.

        Raises
        ------
        ValueError
            If there is not one bound for each feature, or a lower one is above the upper one.
        """
        bounds = [np.asarray(bound, np.float64) for bound in (low, high)]
        width = self.width
        for bound in bounds:
            if bound.ndim > 1 or (bound.ndim == 1 and bound.size != (width or bound.size)):
                raise ValueError(f"bounds of shape {bound.shape} do not fit {width} features")
            width = bound.size if bound.ndim else width
        if not (bounds[0] <= bounds[1]).all():  # NaN too
            raise ValueError("clips to bounds of which the upper is below the lower, or NaN")
        return self.over(Clipped(self, *bounds), width)

    def dropped(self, rate: float) -> Form:
        """Return this value with a dropout behind it."""
        return self.over(Dropped(self, rate), self.width)

    def centred(self) -> Form:
        """Return ``v - mean(v)``, the mean of each sample over its features."""
        return self.kept(Centred, lambda: self.over(Centred(self), self.width))


def _of_parts(parts: tuple[Form, ...], indices: Array) -> Form | None:
    """Return features of joined forms as such of the parts; None where they are mixed more."""
    ends = np.cumsum([part.width or 0 for part in parts])
    owners = np.searchsorted(ends, indices, side="right")
    cuts = np.flatnonzero(np.diff(owners)) + 1
    if len(cuts) >= len(parts):
        return None
    taken = []
    for run in np.split(indices, cuts):
        owner = int(np.searchsorted(ends, run[0], side="right"))
        part = parts[owner]
        taken.append(part.selected(run - (ends[owner] - (part.width or 0))))
    if len(taken) == 1:
        return taken[0]
    return taken[0].over(Joined(tuple(taken)), len(indices))
