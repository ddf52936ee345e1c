"""What transformers do to features: functions of a value, each an affine map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from laminet.interop.symbolic.exact import as_wide
from laminet.interop.symbolic.value import Value

__all__ = ["Map", "beside", "clipped", "diagonal", "full", "in_series", "selection", "sized"]

Array = NDArray[Any]
Map: TypeAlias = Callable[[Value], Value]


def diagonal(factors: Any, shift: Any) -> Map:
    """Return ``factors * x + shift``; ones and zeros change nothing."""
    return lambda x: x.scaled(as_wide(factors), as_wide(shift))


def clipped(inner: Map, low: float, high: float) -> Map:
    """Return a map whose results are kept within bounds."""
    return lambda x: inner(x).clipped(low, high)


def full(matrix: Any, shift: Any) -> Map:
    """Return ``matrix x + shift``."""
    bias = as_wide(shift)
    return lambda x: x.linear(as_wide(matrix), bias if bias.any() else None, merged=True)


def selection(columns: Any, inputs: int) -> Map:
    """Return ``x[columns]`` of so many features."""
    places = np.asarray(columns, np.intp)
    return lambda x: sized(x, inputs).selected(places)


def beside(maps: Sequence[Map], inputs: int) -> Map:
    """Return the outputs of several maps of the same inputs, one after the other."""

    def together(x: Value) -> Value:
        x = sized(x, inputs)
        values = [Value(one(x).resolved()) for one in maps]
        steps = {id(v.form.step) for v in values}
        if len(steps) == 1 and any(v.form.weight is not None for v in values):
            values = [_with_matrix(v) for v in values]
        return Value.joined(values)

    return together


def in_series(maps: Sequence[Map]) -> Map:
    """Return several maps, one after the other."""

    def all_of_them(x: Value) -> Value:
        for one in maps:
            x = one(x)
        return x

    return all_of_them


def _with_matrix(x: Value) -> Value:
    """Return a value with a matrix, however many features it has."""
    return x if x.form.weight is not None else x.linear(np.eye(x.width or 0, dtype=np.float32))


def sized(x: Value, inputs: int) -> Value:
    """Return a value of so many features, if that was not known."""
    if x.width is None:
        return Value.input(inputs)  # nothing has been done to it: else its width were known
    if x.width != inputs:
        raise ValueError(f"gives {x.width} features, and the next step takes {inputs}")
    return x
