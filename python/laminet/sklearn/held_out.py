"""Samples that are not learnt from: a part of those given, or others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import train_test_split

from laminet.sklearn.objective import Samples
from laminet.training.samples import within_range

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
        If fewer than two would be held out, none would be left, or one of the classes that are to
        be in both parts would be in one alone.
    """
    total, classes = len(samples), np.unique(samples.targets) if stratified else np.zeros(0)
    count = math.ceil(fraction * total)  # theirs
    least = max(2, len(classes))
    if not least <= count <= total - max(1, len(classes)):
        each = ", one of each class," * (least > 2)
        raise ValueError(
            f"validation_fraction={fraction} of {total} samples holds out {count}, and early "
            f"stopping needs {least}{each} and {max(1, len(classes))} to learn from: give more "
            "samples or another fraction"
        )
    if stratified and (samples.targets == classes[:, None, None]).sum(axis=(1, 2)).min() < 2:
        raise ValueError(
            "early stopping holds out samples of each class, and of one there is but one sample"
        )
    given = [samples.x, samples.targets, *([] if samples.weights is None else [samples.weights])]
    parts = train_test_split(
        *given,
        random_state=random,
        test_size=fraction,
        stratify=samples.targets if stratified else None,
    )
    return HeldOut(Samples(*parts[::2]), Samples(*parts[1::2]))


def accuracy(predicted: Array, targets: Array, weights: Array | None) -> float:
    """Return the share of samples with the right class, or with all labels right."""
    right = predicted == targets
    each = right.all(axis=1) if right.ndim == 2 else right
    return float(np.average(each, weights=None if weights is None else within_range(weights)))


def determination(predicted: Array, targets: Array, weights: Array | None) -> float:
    """Return the mean R squared of outputs: of a constant 1 if it is met, else 0."""
    wide, weights = targets.astype(np.float64), None if weights is None else within_range(weights)
    residual = np.average((wide - predicted) ** 2, axis=0, weights=weights)
    total = np.average((wide - np.average(wide, axis=0, weights=weights)) ** 2, 0, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(total > 0, 1 - residual / total, np.where(residual > 0, 0.0, 1.0))
    return float(each.mean())
