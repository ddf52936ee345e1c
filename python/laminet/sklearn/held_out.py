"""Samples that are not learnt from: a part of those given, or others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import train_test_split

from laminet.sklearn.objective import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["HeldOut", "accuracy", "determination", "split"]


@dataclass(frozen=True)
class HeldOut:
    """Samples that are learnt from, and those that are scored after each epoch."""

    learnt: Samples
    scored: Samples | None = None


def split(
    samples: Samples, fraction: float, random: np.random.RandomState, stratified: bool
) -> HeldOut:
    """Return samples in two parts, drawn as scikit-learn draws them.

    Raises
    ------
    ValueError
        If fewer than two would be held out.
    """
    given = [samples.x, samples.targets, *([] if samples.weights is None else [samples.weights])]
    parts = train_test_split(
        *given,
        random_state=random,
        test_size=fraction,
        stratify=samples.targets if stratified else None,
    )
    held = HeldOut(Samples(*parts[::2]), Samples(*parts[1::2]))
    if len(parts[1]) < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {len(samples)} samples holds out {len(parts[1])}, "
            "and early stopping needs two: give more samples or a larger fraction"
        )
    return held


def accuracy(predicted: Array, targets: Array, weights: Array | None) -> float:
    """Return the share of samples with the right class, or with all labels right."""
    right = predicted == targets
    return float(np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weights))


def determination(predicted: Array, targets: Array, weights: Array | None) -> float:
    """Return the mean R squared of outputs: of a constant 1 if it is met, else 0."""
    wide = targets.astype(np.float64)
    residual = np.average((wide - predicted) ** 2, axis=0, weights=weights)
    total = np.average((wide - np.average(wide, axis=0, weights=weights)) ** 2, 0, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(total > 0, 1 - residual / total, np.where(residual > 0, 0.0, 1.0))
    return float(each.mean())
