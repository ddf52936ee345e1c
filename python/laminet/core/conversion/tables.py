"""Tables of pandas, polars and Arrow; none of these packages is imported before its objects are."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from laminet.core.conversion.arrow import ArrowColumn, ArrowTable, read_stream
from laminet.core.conversion.names import check_pandas_names
from laminet.core.conversion.pandas_objects import PandasColumn, PandasFrame
from laminet.core.conversion.polars_objects import PolarsColumn, PolarsFrame

__all__ = ["Table", "table_of"]

Array = np.ndarray[Any, np.dtype[Any]]


class Table(Protocol):
    """A table, or one column of one, whose values are all numbers or bool."""

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Raise a ValueError if it has names, and others than these or in another order."""

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return the numbers, rows by columns; of a dtype that holds all of them for None.

        Of a package that is not known here, whatever it gives, which `arrays` has yet to look at.

        The columns are converted one by one, so that there is never more than the result and one
        column besides.

        Raises
        ------
        ValueError
            If a value is missing.
        """


def table_of(value: Any, name: str) -> Table | None:
    """Return what can be read of an object as a table; None if it is no table.

    Parameters
    ----------
    value : object
        Any but lists and NumPy arrays. A column alone (a Series, a ChunkedArray) is a table of one
        axis: one sample.
    name : str
        The argument's name.

    Raises
    ------
    TypeError
        If a column holds something else than numbers or bool, with its name.
    """
    if (pandas := sys.modules.get("pandas")) is not None:
        if isinstance(value, _class(pandas, "DataFrame")):
            return PandasFrame(value, name)
        if isinstance(value, _class(pandas, "Series")):
            return PandasColumn(value, name)
        if isinstance(value, (_class(pandas, "Index"), *_extension_arrays(pandas))):
            return PandasColumn(pandas.Series(value), name)
    if (polars := sys.modules.get("polars")) is not None:
        if isinstance(value, _class(polars, "DataFrame")):
            return PolarsFrame(polars, value, name)
        if isinstance(value, _class(polars, "Series")):
            return PolarsColumn(polars, value, name)
    if (pyarrow := sys.modules.get("pyarrow")) is not None:
        if isinstance(value, (_class(pyarrow, "Table"), _class(pyarrow, "RecordBatch"))):
            return ArrowTable(value, name)
        if isinstance(value, (_class(pyarrow, "ChunkedArray"), _class(pyarrow, "Array"))):
            return ArrowColumn(value, name)
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        return read_stream(value, name)
    if hasattr(value, "__array__") and (columns := _columns(value)) is not None:
        return _LikePandas(value, columns, name)
    return None


class _LikePandas:
    """A table of a package that works as pandas does (Modin, Dask, cuDF): names and an array."""

    def __init__(self, frame: Any, columns: tuple[Any, ...], name: str) -> None:
        self._frame, self._columns, self._name = frame, columns, name

    def check_names(self, expected: tuple[str, ...]) -> None:
        check_pandas_names(self._columns, self._name, expected)

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        return np.asarray(self._frame)


def _columns(value: Any) -> tuple[Any, ...] | None:
    columns = getattr(value, "columns", None)
    if not hasattr(value, "iloc") or not isinstance(columns, Iterable):
        return None
    return tuple(columns)


def _class(module: Any, name: str) -> Any:
    # None of a module that is being imported.
    return getattr(module, name, ())


def _extension_arrays(pandas: Any) -> tuple[Any, ...]:
    api = getattr(getattr(pandas, "api", None), "extensions", None)
    return () if api is None else (api.ExtensionArray,)
