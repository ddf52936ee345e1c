"""What the columns of tables of all packages have in common: refusals, and how an array is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from laminet.core.conversion.names import listed
from laminet.core.conversion.refusals import NO_MISSING_VALUES

__all__ = ["filled", "missing", "refuse_columns"]

Array = np.ndarray[Any, np.dtype[Any]]


def filled(
    rows: int,
    dtypes: Sequence[np.dtype[Any]],
    dtype: np.dtype[Any] | None,
    values: Callable[[int], Sequence[Array]],
) -> Array:
    """Return an array of columns.

    Parameters
    ----------
    rows : int
        The length of each column.
    dtypes : sequence of numpy.dtype
        Of each column.
    dtype : numpy.dtype, optional
        Of the result; by default one that holds all columns.
    values : callable
        Gives the parts of a column, one after the other.
    """
    if dtype is None:
        dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float64)
    # As a column lies in memory, so it is written; the network reads any strides.
    result = np.empty((rows, len(dtypes)), dtype, order="F")
    for index in range(len(dtypes)):
        start = 0
        for part in values(index):
            result[start : start + len(part), index] = part
            start += len(part)
    return result


def refuse_columns(refused: Sequence[tuple[Any, str, str]], name: str, drop: str) -> None:
    """Raise a TypeError for columns that hold something else than numbers; return if none does.

    Parameters
    ----------
    refused : sequence of (label, dtype, remedy)
        The remedy may be empty: a sentence on what to do where the column can become numbers.
    name : str
        The argument's name.
    drop : str
        How to leave columns out: a format for the list of their labels.
    """
    if not refused:
        return
    several = len(refused) > 1
    columns = ", ".join(f"{listed([label])} ({kind})" for label, kind, _ in refused[:4])
    if len(refused) > 4:
        columns += f", ... ({len(refused)} in all)"
    remedies = list(dict.fromkeys(remedy for *_, remedy in refused if remedy))[:2]
    them = "them" if several else "it"
    labels = listed([label for label, *_ in refused])
    encode = "" if all(remedy for *_, remedy in refused) else f"encode {them} as numbers, "
    leave = f"{encode}or leave {them} out, as in {drop.format(labels)}"
    raise TypeError(
        f"{name} has {'columns' if several else 'a column'} without real numbers: {columns}; "
        + "; ".join([*remedies, leave])
    )


def missing(name: str, row: int, label: Any, fill: str) -> ValueError:
    """Return the error for a value that is missing; `label` is None for a column alone."""
    where = f"at {row}" if label is None else f"in row {row} of column {listed([label])}"
    return ValueError(
        f"{name} has missing values, the first {where}; {NO_MISSING_VALUES}, as in {fill}"
    )
