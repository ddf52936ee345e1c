"""Layers in series that are one: what only becomes visible where they stand side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laminet.core.activation import Activation
from laminet.core.layers.dense import Dense
from laminet.core.layers.layer import Layer
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.interop.symbolic.exact import Array
from laminet.interop.symbolic.functions import FLOAT32_TOLERANCE

__all__ = ["selection", "tidied"]


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


def selection(columns: Array) -> Select:
    """Return the layer that takes some columns: a slice where they lie side by side."""
    first, last = int(columns[0]), int(columns[-1])
    if np.array_equal(columns, np.arange(first, last + 1)):
        return Select(slice(first, last + 1))
    return Select(columns.tolist())


def _one(first: Layer, second: Layer) -> Layer | None:
    """Return one layer that does what two do; None where there is none."""
    if isinstance(second, Select):
        return _selected(first, second)
    if isinstance(first, Rescale) and isinstance(second, Rescale):
        if first.low is None and first.high is None and _only_clips(second):
            return Rescale(first.scale, first.shift, second.low, second.high)
        return None
    if isinstance(first, Dense) and isinstance(second, Activation):
        free = first.activation.name == "identity"
        return Dense(first.weight, first.bias, second) if free else None
    return _mean(_addends(first), second) if isinstance(second, Rescale) else None


def _selected(first: Layer, second: Select) -> Layer | None:
    """Return a layer of which only some outputs are made."""
    if isinstance(first, Dense):
        places = list(second.indices(first.out_features))
        bias = None if first.bias is None else first.bias[places]
        function = first.activation
        if function.in_features is not None:
            parameters = {
                k: np.broadcast_to(v, first.out_features)[places]
                for k, v in function.parameters.items()
            }
            function = Activation(function.name, **parameters)
        return Dense(first.weight[places], bias, function)
    if not isinstance(first, Select):
        return None
    if isinstance(first.columns, slice):
        start, stop = first.columns.start, first.columns.stop  # as the layout writes them
        taken = list(range(start, stop))
    else:
        taken = list(first.columns)
    return selection(np.array(taken)[list(second.indices(len(taken)))])


def _only_clips(layer: Rescale) -> bool:
    numbers = not isinstance(layer.scale, np.ndarray) and not isinstance(layer.shift, np.ndarray)
    return numbers and layer.scale == 1 and layer.shift == 0


def _addends(layer: Layer) -> tuple[tuple[Layer, ...], ...]:
    """Return the branches that a layer is the sum of; none if it is no sum."""
    if isinstance(layer, Residual):
        inner = _addends(layer.layers[0]) if len(layer.layers) == 1 else ()
        return ((), *(inner or (layer.layers,)))
    return layer.branches if isinstance(layer, Parallel) and layer.join == "sum" else ()


def _mean(branches: tuple[tuple[Layer, ...], ...], scale: Rescale) -> Parallel | None:
    """Return a sum that is divided by the number of its parts as a mean."""
    bounded = scale.low is not None or scale.high is not None
    if not branches or bounded or np.any(scale.shift):
        return None
    share = 1 / len(branches)
    if np.max(np.abs(scale.scale - share)) > FLOAT32_TOLERANCE * share:
        return None
    return Parallel(branches, "mean")
