"""Tables and columns of pandas."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from laminet.core.conversion.arrow import column_dtype, column_parts
from laminet.core.conversion.columns import filled, missing, refuse_columns
from laminet.core.conversion.names import check_pandas_names, check_series_names

__all__ = ["PandasColumn", "PandasFrame"]

Array = np.ndarray[Any, np.dtype[Any]]


class PandasFrame:
    """A pandas.DataFrame."""

    def __init__(self, frame: Any, name: str) -> None:
        self._frame, self._name = frame, name
        known = {kind: _dtype(kind) for kind in set(frame.dtypes)}
        dtypes = [(kind, known[kind]) for kind in frame.dtypes]
        refuse_columns(
            [
                (label, str(kind), _remedy(kind, f"{name}[{label!r}]"))
                for label, (kind, dtype) in zip(frame.columns, dtypes, strict=True)
                if dtype is None
            ],
            name,
            f"{name}.drop(columns=[{{}}])",
        )
        self._dtypes = [dtype for _, dtype in dtypes if dtype is not None]

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do what `Table.check_names` says."""
        check_pandas_names(self._frame.columns, self._name, expected)

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        frame = self._frame
        kinds = set(frame.dtypes)
        if all(isinstance(kind, np.dtype) for kind in kinds):
            if len(kinds) > 1 and dtype is None:
                dtype = np.result_type(*kinds)
            # Block by block; columns of one dtype are read in place.
            array: Array = frame.to_numpy(dtype=dtype if len(kinds) > 1 else None)
            return array
        return filled(len(frame), self._dtypes, dtype, self._parts)

    def _parts(self, index: int) -> list[Array]:
        column = self._frame.iloc[:, index]
        return _parts(column, self._dtypes[index], self._name, self._frame.columns[index])


class PandasColumn:
    """A pandas.Series: one sample, whose features have the names in the index."""

    def __init__(self, series: Any, name: str) -> None:
        self._series, self._name = series, name
        dtype = _dtype(series.dtype)
        if dtype is None:
            remedy = _remedy(series.dtype, name)
            raise TypeError(
                f"{name} must hold real numbers, got dtype {series.dtype}"
                + (f"; {remedy}" if remedy else "")
            )
        self._dtype = dtype

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do what `Table.check_names` says."""
        check_series_names(self._series, self._name, expected)

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        parts = _parts(self._series, self._dtype, self._name, None)
        if len(parts) == 1:
            return parts[0]
        return filled(len(self._series), [self._dtype], dtype, lambda _: parts).reshape(-1)


def _dtype(dtype: Any) -> np.dtype[Any] | None:
    """Return the dtype of the numbers in a column; None for a column of something else."""
    if isinstance(dtype, np.dtype):
        return dtype if dtype.kind in "biuf" else None
    if hasattr(dtype, "pyarrow_dtype"):
        return column_dtype(dtype.pyarrow_dtype)
    # Sparse columns; categories, whose codes or values may be meant.
    if hasattr(dtype, "fill_value") or hasattr(dtype, "categories"):
        return None
    types = sys.modules["pandas"].api.types
    if not types.is_bool_dtype(dtype) and not types.is_numeric_dtype(dtype):
        return None
    found: np.dtype[Any] = getattr(dtype, "numpy_dtype", np.dtype(np.float64))
    return found


def _parts(column: Any, dtype: np.dtype[Any] | None, name: str, label: Any) -> list[Array]:
    if isinstance(column.dtype, np.dtype):
        return [column.to_numpy()]
    fill = f"{name}.fillna(0)"
    if hasattr(column.dtype, "pyarrow_dtype"):
        return column_parts(column.array.__arrow_array__(), name, label, fill)
    absent = column.isna().to_numpy()
    if absent.any():
        raise missing(name, int(absent.argmax()), label, fill)
    return [column.to_numpy(dtype=dtype)]


def _remedy(dtype: Any, column: str) -> str:
    """Return a sentence on how a column of that dtype may become numbers; may be empty."""
    if hasattr(dtype, "fill_value"):
        return f"{column}.sparse.to_dense() makes a sparse column dense"
    if getattr(dtype, "kind", "") == "c":
        return f"take the real part or the absolute value: {column}.abs()"
    if getattr(dtype, "kind", "") == "m":
        return f"{column}.dt.total_seconds() counts seconds"
    if dtype == np.dtype(object) or hasattr(dtype, "categories"):
        return f"{column}.astype(float) makes floats of numbers in it; else encode it as numbers"
    return ""
