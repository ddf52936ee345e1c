"""Rows of the network's type from batches of Arrow: memory is read as it lies, column by column.

No value becomes an object of Python. A column of lists that have as many numbers as the network has
features is its rows already, and is not copied where its type is the network's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.files.arrow_types import is_number, is_text, value_type
from laminet.files.samples import MissingValueError, SampleError, beyond, in_type

if TYPE_CHECKING:
    from laminet.files.columns import Chosen, Request

__all__ = ["RowsOf", "column_of_lists", "require_types"]

Array = NDArray[Any]
#: Returns what messages call a value: the file, its row from 0, its column.
Place = Callable[[int, str], str]


def column_of_lists(names: list[str], schema: Any, request: Request) -> str | None:
    """Return the column that holds all features of each row in a list, if there is one.

    It is the one that is asked for, or the only one beside those to keep.
    """
    import pyarrow as pa

    width = request.net.in_features
    asked = request.columns or [name for name in names if name not in (request.keep or ())]
    if len(asked) != 1 or names.count(asked[0]) != 1:
        return None
    kind = schema.field(names.index(asked[0])).type
    if not pa.types.is_fixed_size_list(kind) or not is_number(kind.value_type):
        return None
    return asked[0] if kind.list_size == width else None


def require_types(name: str, schema: Any, chosen: Chosen, *, gaps: bool = False) -> None:
    """Refuse columns of features that hold something else than they must, and names that two have.

    Parameters
    ----------
    name : str
        The file.
    schema : pyarrow.Schema
    chosen : Chosen
    gaps : bool
        Whether a column may have no value at all, and so no type.
    """
    import pyarrow as pa

    names = schema.names
    for index in chosen.features:
        kind = value_type(schema.field(index).type)
        if index in chosen.categories:
            if not (is_text(kind) or is_number(kind)):
                raise SampleError(f"{name}: column {names[index]!r} holds {kind}, not text")
        elif not (is_number(kind) or (gaps and pa.types.is_null(kind))):
            raise SampleError(f"{name}: column {names[index]!r} holds {kind}, not numbers")
    for index in [*chosen.features, *chosen.kept]:
        if names.count(names[index]) > 1:
            raise SampleError(f"{name}: two columns are named {names[index]!r}")


class RowsOf:
    """Makes rows of batches.

    Parameters
    ----------
    request : Request
    names : list of str
        Of the columns of the file.
    chosen : Chosen
    lists : str or None
        The column that holds all features in lists.
    """

    def __init__(
        self, request: Request, names: list[str], chosen: Chosen, lists: str | None
    ) -> None:
        self._dtype, self._width = request.net.dtype, request.net.in_features
        self._to_nan = request.gaps
        self._names, self._chosen, self._lists = names, chosen, lists

    def __call__(self, batch: Any, place: Place) -> Array:
        """Return the rows of a pyarrow.RecordBatch; of lists they may be its own memory."""
        if self._lists is not None:
            return self._from_lists(batch.column(self._lists), self._lists, place)
        # Rows lie one after another, as the network reads them fastest.
        x = np.empty((batch.num_rows, self._width), self._dtype)
        for feature in self._chosen.numbers:
            name = self._names[self._chosen.features[feature]]
            self._fill(x[:, feature], batch.column(name), name, place)
        for position in self._chosen.categories:
            found = self._categories(batch, position, place)
            has_one = np.flatnonzero(found >= 0)
            for feature in self._chosen.features_of(position):
                x[:, feature] = np.where(found < 0, np.nan, 0)
            x[has_one, found[has_one]] = 1
        return x

    def _fill(self, x: Array, column: Any, name: str, place: Place) -> None:
        """Write a column of numbers into one of the rows."""
        if value_type(column.type) is not column.type:
            column = column.dictionary_decode()
        values, missing = self._values(column, name, place)
        with np.errstate(over="ignore"):
            np.copyto(x, values, casting="unsafe")
        is_wider = values.dtype.kind == "f" and values.dtype.itemsize > x.dtype.itemsize
        if is_wider and not np.isfinite(x).all():
            infinite = np.isinf(x) & np.isfinite(values)
            if infinite.any():
                row = int(infinite.argmax())
                what = beyond(str(values[row]), x.dtype)
                raise SampleError(f"{place(row, name)}: {what}")
        if missing is not None:
            x[missing] = np.nan

    def _values(self, column: Any, name: str, place: Place) -> tuple[Array, Array | None]:
        """Return a column's numbers, and where a value is missing; None if none is."""
        import pyarrow as pa

        missing = None
        if column.null_count:
            missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
            if not self._to_nan:
                raise MissingValueError(
                    f"{place(int(missing.argmax()), name)}: the value is missing"
                )
            if pa.types.is_null(column.type):
                return np.zeros(len(column), self._dtype), missing
            # Whole numbers stay what they are: a float64 between would round them twice.
            if not pa.types.is_floating(column.type):
                column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        return np.asarray(column.to_numpy(zero_copy_only=False)), missing

    def _categories(self, batch: Any, position: int, place: Place) -> Array:
        """Return which feature is 1 in each row, of a column of categories; -1 where none is."""
        import pyarrow as pa

        name = self._names[position]
        column = batch.column(name).cast(pa.string()).dictionary_encode()
        # Those that occur, and what is missing.
        texts = [*(text.strip() for text in column.dictionary.to_pylist()), ""]
        features = np.full(len(texts), -1)
        why: dict[int, ValueError] = {}
        for i, text in enumerate(texts):
            try:
                features[i] = self._chosen.feature_of(position, text)
            except ValueError as error:
                why[i] = error
        codes = column.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)
        found: Array = features[codes]
        refused = np.array([i in why and not (self._to_nan and not t) for i, t in enumerate(texts)])
        if refused[codes].any():
            row = int(refused[codes].argmax())
            kind = SampleError if texts[codes[row]] else MissingValueError
            raise kind(f"{place(row, name)}: {why[int(codes[row])]}")
        return found

    def _from_lists(self, column: Any, name: str, place: Place) -> Array:
        width = self._width
        first, end = column.offset * width, (column.offset + len(column)) * width
        numbers = column.values.slice(first, end - first)
        missing = None
        if column.null_count:  # whole lists; their numbers may be anything
            missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
            if not self._to_nan:
                raise MissingValueError(
                    f"{place(int(missing.argmax()), name)}: the value is missing"
                )

        def cell(row: int, index: int) -> str:
            return f"{place(row, name)}, number {index + 1}"

        values, holes = self._values(numbers, name, lambda i, _: cell(i // width, i % width))
        x = in_type(values.reshape(-1, width), self._dtype, cell)
        if missing is not None or holes is not None:
            x = np.array(x)
            x[False if missing is None else missing] = np.nan
            x[False if holes is None else holes.reshape(x.shape)] = np.nan
        return x
