"""Inputs and targets of mean 0 and standard deviation 1, as layers of the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import shown
from laminet.core.floating_point import silent
from laminet.core.layers.rescale import Rescale
from laminet.training.data import Data
from laminet.training.descriptions import factors_for_core

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.losses import Loss
    from laminet.optim import FirstOrder

__all__ = ["behind_one_layer", "standardized"]

# Numbers that are summed at once: of a file that is larger than memory, by and by.
_AT_ONCE = 2**22

_FIRST = re.compile(r"^layers\[(\d+)\]")


def standardized(
    net: MLP, loss: Loss, data: Data, wanted: bool | str
) -> tuple[MLP, Data, Callable[[MLP], MLP], Callable[[Any], Any]]:
    """Return what to train on which data, what makes of it the network that users get.

    And what makes of its outputs those of that network.

    Parameters
    ----------
    net : MLP
    loss : Loss
    data : Data
    wanted : bool, "inputs" or "both"

    Raises
    ------
    ValueError
        If `wanted` is another word, or targets have no mean: of cross entropies and Poisson; or a
        deviation, or 1 over it, is too large a number.
    TypeError
        If `wanted` is neither a bool nor a word.
    """
    expected = "standardize must be True, False, 'inputs' or 'both'"
    if not isinstance(wanted, (bool, np.bool_, str)):
        raise TypeError(f"{expected}, got {shown(wanted)}")
    if isinstance(wanted, str) and wanted not in ("inputs", "both"):
        raise ValueError(f"{expected}, got {wanted!r}")
    if not wanted:
        return net, data, lambda made: made, lambda outputs: outputs
    mean, deviation = _moments(data.x, data.weights)
    # A feature that never varies is only shifted.
    scale = 1 / np.where(deviation > 0, deviation, 1)
    _require_scale(deviation, scale, net.dtype, "X", net.feature_names)
    start = net._like([Rescale(scale, -mean * scale), *net.layers], in_features=net.in_features)
    if wanted != "both":
        return start, data, lambda made: made, lambda outputs: outputs
    if loss.name not in ("squared_error", "absolute_error", "huber", "quantile"):
        raise ValueError(
            f"standardize='both' is for targets that are quantities, and the loss is {loss.name}"
        )
    shift, size = _moments(data.y, data.weights)
    size = np.where(size > 0, size, 1)
    _require_scale(size, size, net.dtype, "y", None)

    def scaled(part: Data) -> Data:
        return replace(part, y=((part.y - shift) / size).astype(part.y.dtype))

    held_out = None if data.validation is None else scaled(data.validation)
    repeat = net.out_features // len(shift)  # the quantiles of each target

    scales, shifts = np.repeat(size, repeat), np.repeat(shift, repeat)

    def finish(made: MLP) -> MLP:
        result: MLP = made._like([*made.layers, Rescale(scales, shifts)])
        return result

    def in_units(outputs: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = outputs * scales + shifts
        return found

    return start, replace(scaled(data), validation=held_out), finish, in_units


def behind_one_layer(optimizer: FirstOrder, net: MLP) -> FirstOrder:
    """Return an optimiser of a network for one that begins with one layer more.

    Its factors of the learning rate are by layers of the network that the user knows.

    Raises
    ------
    ValueError
        If there are not as many as layers, or one is for a place that has no parameters.
    """
    factors = optimizer.learning_rate_factors
    if factors is None:
        return optimizer
    factors_for_core(optimizer, net)  # or they are none of this network
    if isinstance(factors[0], float):
        return replace(optimizer, learning_rate_factors=(1.0, *factors))
    moved = {
        _FIRST.sub(lambda found: f"layers[{int(found[1]) + 1}]", place, count=1): factor
        for place, factor in factors
    }
    return replace(optimizer, learning_rate_factors=moved)


def _require_scale(
    deviation: NDArray[Any],
    scale: NDArray[Any],
    dtype: np.dtype[Any],
    argument: str,
    names: Sequence[str] | None,
) -> None:
    """Refuse a column that no scale of the network's type makes one of deviation 1."""
    wrong = ~np.isfinite(deviation) | (scale > np.finfo(dtype).max)
    if wrong.any():
        column = int(wrong.argmax())
        which = column if names is None else repr(names[column])
        raise ValueError(
            f"{argument} cannot be standardised in {dtype}: the standard deviation of column "
            f"{which} is {deviation[column]:.3g}; give its numbers in other units"
        )


@silent
def _moments(values: NDArray[Any], weights: NDArray[Any] | None) -> tuple[Any, Any]:
    """Return means and standard deviations of the columns, in float64."""
    rows = max(1, _AT_ONCE // max(1, values.shape[1]))
    blocks = range(0, len(values), rows)

    def mean(of: Callable[[Any], Any]) -> Any:
        total, weight = np.zeros(values.shape[1]), 0.0
        for first in blocks:
            part = of(np.asarray(values[first : first + rows], np.float64))
            own = None if weights is None else weights[first : first + rows, None]
            total += part.sum(axis=0) if own is None else (own * part).sum(axis=0)
            weight += len(part) if own is None else float(own.sum())
        return total / weight

    center = mean(lambda part: part)
    deviation = np.sqrt(mean(lambda part: (part - center) ** 2))
    # What rounding leaves of a column that never varies.
    tiny = 1e-12 * np.maximum(np.abs(center), 1e-300)
    return center, np.where(deviation > tiny, deviation, 0.0)
