"""Losses and optimisers as the core is told of them, and learning rates of steps to come."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.optim import Muon
from laminet.optim.schedules import Constant, Plateau, Schedule, WarmUp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.losses import Loss
    from laminet.optim import FirstOrder

__all__ = ["factors_for_core", "learning_rates", "loss_for_core", "optimizer_for_core"]

_NOT_OF_A_STEP = {"learning_rate", "schedule", "learning_rate_factors"}


def loss_for_core(loss: Loss, class_weight: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return what the core is told of a loss."""
    return {
        "name": loss.name,
        "parameter": getattr(loss, "delta", 1.0),
        "levels": list(getattr(loss, "levels", ())),
        "label_smoothing": getattr(loss, "label_smoothing", 0.0),
        "class_weight": [] if class_weight is None else class_weight.tolist(),
    }


def optimizer_for_core(optimizer: FirstOrder) -> dict[str, Any]:
    """Return what the core is told of an optimiser: 0 of what it does not do."""
    names = [field.name for field in dataclasses.fields(optimizer)]
    told = {name: getattr(optimizer, name) for name in names if name not in _NOT_OF_A_STEP}
    if isinstance(optimizer, Muon):
        # Beside the matrices' rate, which a step is told of.
        told["adamw_rate"] = optimizer.adamw_learning_rate / optimizer.learning_rate
    return {"name": optimizer.name, **{k: 0.0 if v is None else v for k, v in told.items()}}


def factors_for_core(optimizer: FirstOrder, net: MLP) -> tuple[list[float], ...] | None:
    """Return factors of the learning rate of dense layers, norms and functions by unit."""
    if not optimizer.learning_rate_factors:
        return None
    kinds = net._places
    places = [place.removesuffix(".activation") for kind in kinds for place in kind]
    found = iter(optimizer.layer_factors(places, len(net.layers)))
    return tuple([next(found) for _ in kind] for kind in kinds)


def learning_rates(
    optimizer: FirstOrder,
    first: int,
    count: int,
    total_steps: int | None,
    losses: Sequence[float],
) -> NDArray[np.float64]:
    """Return the learning rate of each of so many steps, of which the first has that number."""
    assert optimizer.schedule is None or isinstance(optimizer.schedule, Schedule)
    found = _factors(optimizer.schedule, first, count, total_steps, losses)
    return optimizer.learning_rate * found


def _factors(
    schedule: Schedule | None, first: int, count: int, total: int | None, losses: Sequence[float]
) -> NDArray[np.float64]:
    if schedule is None or isinstance(schedule, (Constant, Plateau)):
        # The same within an epoch; what Plateau says takes time in epochs.
        return np.full(count, 1.0 if schedule is None else schedule.factor(first, total, losses))
    if isinstance(schedule, WarmUp):
        steps = schedule._steps(schedule.steps, total)
        if first >= steps:
            left = None if total is None else max(1, total - steps)
            assert isinstance(schedule.then, Schedule)
            return _factors(schedule.then, first - steps, count, left, losses)
    return np.array([schedule.factor(step, total, losses) for step in range(first, first + count)])
