"""Tables and arrays of Arrow: of pyarrow, and of all that give their data as a stream of Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from laminet.core.conversion.columns import filled, missing, refuse_columns
from laminet.core.conversion.names import check_names

__all__ = ["ArrowColumn", "ArrowTable", "column_dtype", "column_parts", "read_stream"]

Array = np.ndarray[Any, np.dtype[Any]]


class ArrowTable:
    """A pyarrow.Table or RecordBatch."""

    def __init__(self, table: Any, name: str) -> None:
        self._table, self._name = table, name
        dtypes = [column_dtype(field.type) for field in table.schema]
        refuse_columns(
            [
                (field.name, str(field.type), _remedy(field.type))
                for field, dtype in zip(table.schema, dtypes, strict=True)
                if dtype is None
            ],
            name,
            f"{name}.drop_columns([{{}}])",
        )
        self._dtypes = [dtype for dtype in dtypes if dtype is not None]

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do what `Table.check_names` says."""
        name = self._name
        check_names(
            tuple(self._table.schema.names),
            expected,
            name,
            select=f"{name}.select(list(net.feature_names))",
            values=f"numpy.column_stack({name}.columns)",
        )

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        return filled(self._table.num_rows, self._dtypes, dtype, self._parts)

    def _parts(self, index: int) -> Sequence[Array]:
        label = self._table.schema.names[index]
        fill = f"pyarrow.compute.fill_null({self._name}[{label!r}], 0)"
        return column_parts(self._table.column(index), self._name, label, fill)


class ArrowColumn:
    """A pyarrow.ChunkedArray or Array: one sample."""

    def __init__(self, column: Any, name: str) -> None:
        self._column, self._name = column, name
        dtype = column_dtype(column.type)
        if dtype is None:
            raise TypeError(f"{name} must hold real numbers, got Arrow's type {column.type}")
        self._dtype = dtype

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do nothing: values of an array of Arrow have no names."""

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        fill = f"pyarrow.compute.fill_null({self._name}, 0)"
        parts = column_parts(self._column, self._name, None, fill)
        return filled(len(self._column), [self._dtype], dtype, lambda _: parts).reshape(-1)


def column_dtype(kind: Any) -> np.dtype[Any] | None:
    """Return the dtype of the numbers of an Arrow type; None for a type of something else."""
    import pyarrow

    types = pyarrow.types
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return dtype
    return np.dtype(np.float64) if types.is_decimal(kind) else None


def column_parts(column: Any, name: str, label: Any, fill: str) -> list[Array]:
    """Return the chunks of a column of numbers or bool as arrays, its memory where that can be.

    Raises
    ------
    ValueError
        If a value is missing.
    """
    import pyarrow

    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    start = 0
    for chunk in chunks:
        if chunk.null_count:
            row = start + int(np.argmax(chunk.is_null().to_numpy(zero_copy_only=False)))
            raise missing(name, row, label, fill)
        start += len(chunk)
    if pyarrow.types.is_decimal(column.type):
        chunks = [chunk.cast(pyarrow.float64()) for chunk in chunks]
    return [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]


def read_stream(value: Any, name: str) -> ArrowTable | ArrowColumn | None:
    """Return what an object of another package gives as Arrow; None where pyarrow is missing."""
    try:
        import pyarrow
    except ImportError:
        return None
    errors = (pyarrow.ArrowException, TypeError, ValueError, NotImplementedError)
    try:
        table = pyarrow.table(value)
    except errors:  # it may have one axis
        make = pyarrow.chunked_array if hasattr(value, "__arrow_c_stream__") else pyarrow.array
        try:
            column = make(value)
        except errors as error:
            kind = type(value).__name__
            raise TypeError(f"{name} is of type {kind}, which pyarrow cannot read") from error
        return ArrowColumn(column, name)
    return ArrowTable(table, name)


def _remedy(kind: Any) -> str:
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        return "dictionary_decode() gives the values of a dictionary"
    return ""
