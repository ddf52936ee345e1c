"""Weights of classes as those of samples, in scikit-learn's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from laminet.training.samples import within_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["weighed"]


def weighed(
    sample_weight: Array | None, class_weight: Any, y: Array, classes: Array, labels: bool
) -> Array:
    """Return weights of samples times those of their classes.

    Parameters
    ----------
    sample_weight : ndarray of shape (samples,), or None
    class_weight : dict, "balanced", or for labels a list of dicts
        By class; 1 of those that a dict does not name, whether samples have them or not.
    y : ndarray of shape (samples,), or (samples, labels)
    classes : ndarray
    labels : bool
        Whether each sample may have several.

    Raises
    ------
    ValueError
        If a weight is none, or a dict names what is no class.
    """
    if labels or isinstance(class_weight, str):
        found = compute_sample_weight(class_weight, y)
    elif not isinstance(class_weight, Mapping):
        raise ValueError(
            "class_weight must be a dict by class, or 'balanced'; a list of dicts is for labels, "
            "and y holds classes"
        )
    else:
        # Not of the classes in y: some of the samples may have but some of them.
        weights = compute_class_weight(class_weight, classes=classes, y=y)
        found = weights[np.searchsorted(classes, y)]
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        raise ValueError(
            f"class_weight must be finite and at least 0, got {found[wrong.argmax()]:g}"
        )
    if sample_weight is None or not found.any():
        return np.asarray(found, np.float64)
    with np.errstate(under="ignore"):
        return within_range(found) * within_range(sample_weight)
