"""Layers in series that are one: what only becomes visible where they stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from laminet.interop.symbolic.functions import FLOAT32_TOLERANCE
from laminet.interop.symbolic.layers import (
    Dense,
    Elementwise,
    Layer,
    Parallel,
    Rescale,
    Residual,
    Select,
)

__all__ = ["tidied"]


def tidied(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers in series with those that can be one made one."""
    result: list[Layer] = []
    for layer in layers:
        pair = _one(result[-1], layer) if result else None
        if pair is None:
            result.append(layer)
        else:
            result[-1] = pair
    return tuple(result)


def _one(first: Layer, second: Layer) -> Layer | None:
    """Return one layer that does what two do; None where there is none."""
    if isinstance(second, Select):
        if isinstance(first, Select):
            return Select(first.columns[second.columns])
        if isinstance(first, Dense):
            bias = None if first.bias is None else first.bias[second.columns]
            return Dense(first.weight[second.columns], bias, first.activation)
    if isinstance(first, Rescale) and isinstance(second, Rescale):
        free = first.low is None and first.high is None
        if free and second.scale is None and second.shift is None:
            return replace(first, low=second.low, high=second.high)
    if isinstance(first, Dense) and isinstance(second, Elementwise):
        free = first.activation.name == "identity" and second.alpha is None
        return replace(first, activation=second.activation) if free else None
    return _mean(_addends(first), second) if isinstance(second, Rescale) else None


def _addends(layer: Layer) -> tuple[tuple[Layer, ...], ...]:
    """Return the branches that a layer is the sum of; none if it is no sum."""
    if isinstance(layer, Residual):
        inner = _addends(layer.layers[0]) if len(layer.layers) == 1 else ()
        return ((), *(inner or (layer.layers,)))
    return layer.branches if isinstance(layer, Parallel) and layer.join == "sum" else ()


def _mean(branches: tuple[tuple[Layer, ...], ...], scale: Rescale) -> Parallel | None:
    """Return a sum that is divided by the number of its parts as a mean."""
    if scale.scale is None or any(a is not None for a in (scale.shift, scale.low, scale.high)):
        return None
    share = 1 / max(len(branches), 1)
    if not branches or np.abs(scale.scale - share).max() > FLOAT32_TOLERANCE * share:
        return None
    return Parallel(branches, "mean")
