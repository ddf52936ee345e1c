"""The labels that outputs may stand for: numbers or text, all different."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

__all__ = ["as_labels"]

# Of an integer, in bits: files keep labels as decimal text, and Python reads 4300 digits at most.
_LONGEST_LABEL = 1024


def as_labels(values: ArrayLike, kind: str) -> Array:
    """Return labels as a read-only array; refuse, in the name of a `kind`, what are none."""
    # Of a set the order would be any; what a mask hides is no label.
    unfit = (str, bytes, set, frozenset, dict, np.ma.MaskedArray)
    if isinstance(values, unfit) or not (hasattr(values, "__iter__") or hasattr(values, "tolist")):
        raise TypeError(f"{kind} takes labels in a sequence, got a {type(values).__name__}")
    if isinstance(values, np.ndarray):
        labels = np.array(values)
    else:
        # Iterable, as was just seen; mypy knows an ArrayLike, which says less.
        listed = values.tolist() if hasattr(values, "tolist") else list(values)  # type: ignore[arg-type]
        kinds = {_kind_of_label(value) for value in listed}
        # Of rows of unequal lengths NumPy before 1.24 warns, where later ones raise.
        rows = any(
            hasattr(value, "__len__") and not isinstance(value, (str, bytes)) for value in listed
        )
        try:
            # NumPy would turn the 1 of [1, "one"] into text, and the True of [True, 2] into 1.
            labels = np.array(listed, dtype=object if rows or len(kinds) > 1 else None)
            unequal = rows and labels.ndim == 1
        except ValueError:
            unequal = True
        if unequal:
            raise ValueError(f"{kind} takes labels of shape (n,), got rows of them")
        if labels.dtype.kind == "f" and all(isinstance(value, int) for value in listed):
            labels = np.array(listed, dtype=object)  # no integer type of NumPy holds them all
        if labels.dtype.kind == "U" and labels.tolist() != listed:
            raise ValueError(f"{kind}: a label ends in a null character, which NumPy drops")
    if labels.dtype.kind == "U":
        labels = np.array(labels.tolist(), dtype=str)  # as wide as the longest
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"{kind} takes labels of shape (n,), got shape {labels.shape}")
    if labels.dtype.kind not in "biufUO":
        raise TypeError(f"{kind} takes numbers or text as labels, got dtype {labels.dtype}")
    listed = labels.tolist()
    for value in listed:
        missing = value is None or type(value).__name__ == "NAType"  # of pandas
        if missing or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
            raise ValueError(f"{kind}: {value} is no label")
        if isinstance(value, int) and value.bit_length() > _LONGEST_LABEL:
            raise ValueError(f"{kind}: {shown(value)} is no label")
        if not isinstance(value, (str, Number)) or isinstance(value, complex):
            raise TypeError(f"{kind} takes numbers or text as labels, got {type(value).__name__}")
    if len(set(listed)) < len(listed):
        raise ValueError(f"{kind}: labels must all be different")
    labels.flags.writeable = False
    return labels


def _kind_of_label(value: Any) -> type:
    for kind in (str, bool, np.bool_):
        if isinstance(value, kind):
            return bool if kind is np.bool_ else kind
    return object
