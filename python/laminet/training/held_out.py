"""Which samples are held out for validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import shown
from laminet.core.scalar_arguments import as_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["held_out_rows"]


def held_out_rows(
    fraction: Any, rows: int, classes: NDArray[Any] | None, seed: int
) -> NDArray[np.intp]:
    """Return which rows are held out, in order; of each class its share.

    Parameters
    ----------
    fraction : float
        Between 0 and 1.
    rows : int
    classes : ndarray of shape (rows,), or None
        Of which class each is.
    seed : int

    Raises
    ------
    ValueError
        If the fraction is out of its bounds, or would hold out nothing, or everything.
    TypeError
        If it is no real number.
    """
    expected = "validation must be a fraction between 0 and 1, or a tuple (X, y)"
    try:
        share = as_number(fraction, "validation")
    except TypeError:
        raise TypeError(f"{expected}, got {shown(fraction)}") from None
    if not 0 < share < 1:
        raise ValueError(f"{expected}, got {share:g}")
    count = round(share * rows)
    if count == 0 or count == rows:
        raise ValueError(
            f"validation={share:g} of {rows} samples holds out {count}: at least one is needed for "
            "validation and one for training"
        )
    random = np.random.default_rng([seed, 1])
    order = random.permutation(rows)
    if classes is None:
        return np.sort(order[:count])
    # The k-th of the n samples of a class, in random order, at the place (k + 1/2) / n: the first
    # ones of all have each class by its share, and single samples stay for training.
    places = np.empty(rows)
    for label in np.unique(classes):
        own = order[classes[order] == label]
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(np.lexsort((np.argsort(order), places))[:count])
