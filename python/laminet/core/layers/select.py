"""Some of the columns."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import shown
from laminet.core.layers.layer import ImmutableLayer
from laminet.core.public_module import named_in

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Select"]

# So many indices a repr shows.
_SHOWN = 8


@named_in("laminet")
class Select(ImmutableLayer):
    """Some columns: ``x[:, columns]``, of the input or of what a layer gives.

    Parameters
    ----------
    columns : slice or sequence of int
        As NumPy takes them: from 0, from the end where negative. Indices may come in any order, and
        more than once.

    Attributes
    ----------
    columns : slice or tuple of int
    in_features : None
    out_features : int or None
        None of a slice: what comes decides.

    Raises
    ------
    ValueError
        If there are no columns, or an index is beyond those that memory can hold.
    TypeError
        If `columns` is something else.

    Notes
    -----
    A network refuses indices beyond its columns, and a slice of none of them. What begins with a
    `Select` does not say how many features it takes: ``ln.MLP(layers, in_features=...)`` does.
    Columns that lie side by side are read where they are, and cost nothing.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.Select([2, 0])], in_features=3)([1.0, 2.0, 3.0])
    array([3., 1.], dtype=float32)
    """

    __slots__ = ("columns",)
    _fields = ("columns",)
    _keeps_width = False

    columns: slice | tuple[int, ...]

    def __init__(self, columns: slice | Sequence[int]) -> None:
        self._set(columns=_as_slice(columns) if isinstance(columns, slice) else _indices(columns))

    @property
    def out_features(self) -> int | None:
        """Length of an output sample; None of a slice."""
        return None if isinstance(self.columns, slice) else len(self.columns)

    def indices(self, features: int) -> tuple[int, ...]:
        """Return which of so many columns these are.

        Raises
        ------
        ValueError
            If an index is beyond them, or there are none.
        """
        return tuple(self._found(features, "Select"))

    def _found(self, features: int, place: str) -> Sequence[int]:
        if isinstance(self.columns, slice):
            found = range(*self.columns.indices(features))
            if not found:
                raise ValueError(f"{place} selects no columns of {features}")
            return found  # not as a tuple: who asks for their number makes no memory of them
        for index in self.columns:
            if not -features <= index < features:
                raise ValueError(f"{place} selects column {index} of {features}")
        return tuple(index % features for index in self.columns)

    def _gives(self, features: int, place: str, giver: str) -> int:
        return len(self._found(features, place))

    def _for_core(self, features: int) -> tuple[Any, ...]:
        try:
            return "select", list(self._found(features, "Select"))
        except MemoryError:
            number = len(self._found(features, "Select"))
            raise MemoryError(f"there is no memory for the numbers of {number} columns") from None

    def _brief(self) -> str:
        if isinstance(self.columns, slice):
            ends = (self.columns.start, self.columns.stop, self.columns.step)
            text = ":".join("" if end is None else str(end) for end in ends)
            return f"select {text.removesuffix(':') if ends[2] is None else text}"
        return f"select {_listed(self.columns)}"

    def __repr__(self) -> str:
        columns = self.columns
        text = columns if isinstance(columns, slice) else _listed(columns)
        return f"{type(self).__name__}({text})"


def _as_slice(columns: slice) -> slice:
    ends = []
    for name in ("start", "stop", "step"):
        end = getattr(columns, name)
        if end is not None and not _is_index(end):
            raise TypeError(f"{name} of the slice must be an integer, got {type(end).__name__}")
        ends.append(None if end is None else _within(end, f"{name} of the slice"))
    if ends[2] == 0:
        raise ValueError("the step of the slice is 0")
    return slice(*ends)


def _indices(columns: Any) -> tuple[int, ...]:
    wanted = "columns must be a slice or a sequence of integers"
    if isinstance(columns, (str, bytes, dict, set, frozenset)) or not np.iterable(columns):
        raise TypeError(f"{wanted}, got {type(columns).__name__}")
    found = []
    for index in columns:
        if not _is_index(index):
            raise TypeError(f"{wanted}, got one of {type(index).__name__}")
        found.append(_within(index, "one of the columns"))
    if not found:
        raise ValueError("columns is empty; at least one must be selected")
    return tuple(found)


def _is_index(value: Any) -> bool:
    # Of a mask the True are meant, and NumPy's indices would be 0 and 1; an array has the method.
    unfit = isinstance(value, (bool, np.bool_)) or (isinstance(value, np.ndarray) and value.ndim)
    return hasattr(value, "__index__") and not unfit


def _within(value: Any, what: str) -> int:
    index = operator.index(value)
    if not -sys.maxsize - 1 <= index <= sys.maxsize:
        raise ValueError(f"{what} is {shown(index)}, beyond all that there can be")
    return index


def _listed(columns: tuple[int, ...]) -> str:
    if len(columns) <= _SHOWN:
        return str(list(columns))
    shown = ", ".join(map(str, columns[: _SHOWN - 1]))
    return f"[{shown}, ... {columns[-1]}] ({len(columns)} columns)"
