"""Forms side by side, and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from laminet.interop.symbolic.forms import Form, Joined, Summed
from laminet.interop.symbolic.reading import BranchError

__all__ = ["beside_zero", "joined", "summed"]


def joined(values: Sequence[Form]) -> Form:
    """Return the features of some values side by side, in that order.

    Parts of one value (as of the input, or of a layer's outputs), scaled or not, become such, and
    results of matrices over the same value one matrix.

    Raises
    ------
    BranchError
        If they are results of different inputs.
    ValueError
        If they take different numbers of features, or it is not known how many there are.
    """
    if len(values) == 1:
        return values[0]
    first = values[0]
    parts = [v.origin or (v, np.arange(v.width or 0)) for v in values]
    whole = parts[0][0]
    if all(v.width is not None for v in values) and all(p[0] is whole for p in parts):
        return whole.selected(np.concatenate([places for _, places in parts]))
    found = _columns_beside(values)
    if found is not None:
        return found
    if any(v.step is not first.step or v.weight is None for v in values):
        return _side_by_side(values)
    matrices = [v.weight for v in values if v.weight is not None]
    if len({w.shape[1] for w in matrices}) > 1:
        raise ValueError("joins results of layers that take different numbers of features")
    biases = [v.bias for v in values]
    bias = None
    if any(b is not None for b in biases):
        bias = np.concatenate(
            [np.zeros(v.width or 0, np.float32) if v.bias is None else v.bias for v in values]
        )
    weight = np.concatenate(matrices)
    return Form(first.step, first.source, len(weight), weight, bias)


def _side_by_side(values: Sequence[Form]) -> Form:
    if any(v.source is not values[0].source for v in values):
        raise BranchError("joins results of different inputs")
    if any(v.width is None for v in values):
        raise ValueError("joins an unknown number of features")
    return values[0].over(Joined(tuple(values)), sum(v.width or 0 for v in values))


def _columns_beside(values: Sequence[Form]) -> Form | None:
    """Return columns of the input side by side, each with its scale and shift; None for others."""
    first = values[0]
    for v in values:
        if v.step is not first.source or v.weight is not None:
            return None
        if v.width is None or (v.total or v.width) != (first.total or first.width):
            return None
    columns = [np.arange(v.width or 0) if v.columns is None else v.columns for v in values]
    parts = {}
    for name, neutral in (("scale", 1.0), ("shift", 0.0)):
        if any(getattr(v, name) is not None for v in values):
            given = [neutral if getattr(v, name) is None else getattr(v, name) for v in values]
            parts[name] = np.concatenate(
                [np.broadcast_to(g, v.width or 0) for g, v in zip(given, values, strict=True)]
            )
    return replace(
        first,
        width=sum(v.width or 0 for v in values),
        columns=np.concatenate(columns),
        total=first.total or first.width,
        scale=parts.get("scale"),
        shift=parts.get("shift"),
        origin=None,
        scaled_of=None,
    )


def summed(values: Sequence[Form]) -> Form:
    """Return the sum of some values of one input.

    Raises
    ------
    BranchError
        If they are results of different inputs.
    ValueError
        If they have different numbers of features.
    """
    first = values[0]
    if len(values) == 1:
        return first
    if any(v.source is not first.source for v in values):
        raise BranchError("adds results of different inputs")
    if first.width is None or any(v.width != first.width for v in values):
        raise ValueError("combines values of different numbers of features")
    return first.over(Summed(tuple(values)), first.width)


def beside_zero(logit: Form) -> Form:
    """Return 0 and one logit z, whose softmax is 1 - sigmoid(z) and sigmoid(z)."""
    if logit.weight is None:
        return logit.linear(np.array([[0.0], [1.0]]))
    bias = None if logit.bias is None else np.concatenate([np.zeros_like(logit.bias), logit.bias])
    weight = np.concatenate([np.zeros_like(logit.weight), logit.weight])
    return Form(logit.step, logit.source, 2, weight, bias)
