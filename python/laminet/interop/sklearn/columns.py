"""Columns of a table as a ColumnTransformer names them: by place, name, slice or mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["column_indices"]

Array = NDArray[Any]


def column_indices(columns: Any, inputs: int, names: Any) -> Array:
    """Return the places of columns.

    Parameters
    ----------
    columns : int, str, slice, or sequence of int, str or bool
    inputs : int
        The number of columns of the table.
    names : sequence of str, or None
        Their names.

    Raises
    ------
    ValueError
        If they are named otherwise, or there is no such column.
    """
    every: Array = np.arange(inputs)
    known = {} if names is None else {str(name): i for i, name in enumerate(names)}
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = None if columns.start is None else _place(columns.start, known)
            stop = None if columns.stop is None else _place(columns.stop, known) + 1
            return every[start : stop : columns.step]
        return every[columns]
    one = isinstance(columns, (str, int, np.integer))
    listed = [columns] if one else list(columns)
    if listed and all(isinstance(c, str) for c in listed):
        return np.array([_place(c, known) for c in listed], np.intp)
    array = np.asarray(listed)
    if array.dtype == bool and array.shape == (inputs,):
        return np.flatnonzero(array)
    if array.size == 0:
        return np.empty(0, np.intp)
    if array.dtype.kind not in "iu" or not ((array >= -inputs) & (array < inputs)).all():
        raise ValueError(f"takes columns {columns!r}, which are no places and no names")
    return every[array.astype(np.intp)]


def _place(name: str, known: dict[str, int]) -> int:
    if name not in known:
        raise ValueError(f"takes the column {name!r}, and the names of the columns are not known")
    return known[name]
