"""Tables and columns of polars."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.core.conversion.columns import filled, missing, refuse_columns
from laminet.core.conversion.names import check_names

__all__ = ["PolarsColumn", "PolarsFrame"]

Array = np.ndarray[Any, np.dtype[Any]]


class PolarsFrame:
    """A polars.DataFrame."""

    def __init__(self, polars: Any, frame: Any, name: str) -> None:
        self._polars, self._frame, self._name = polars, frame, name
        refuse_columns(
            [
                (label, str(dtype), "")
                for label, dtype in zip(frame.columns, frame.dtypes, strict=True)
                if not _numeric(polars, dtype)
            ],
            name,
            f"{name}.drop({{}})",
        )

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do what `Table.check_names` says."""
        name = self._name
        check_names(
            tuple(self._frame.columns),
            expected,
            name,
            select=f"{name}.select(net.feature_names)",
            values=f"{name}.to_numpy()",
        )

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        frame = self._frame
        dtypes = [_dtype(self._polars, kind) for kind in frame.dtypes]
        return filled(frame.height, dtypes, dtype, self._parts)

    def _parts(self, index: int) -> list[Array]:
        column = self._frame.to_series(index)
        return _parts(self._polars, column, self._name, column.name)


class PolarsColumn:
    """A polars.Series: one sample."""

    def __init__(self, polars: Any, series: Any, name: str) -> None:
        self._polars, self._series, self._name = polars, series, name
        if not _numeric(polars, series.dtype):
            raise TypeError(f"{name} must hold real numbers, got dtype {series.dtype} of polars")

    def check_names(self, expected: tuple[str, ...]) -> None:
        """Do nothing: values of a Series of polars have no names."""

    def array(self, dtype: np.dtype[Any] | None) -> Array:
        """Return what `Table.array` says."""
        series, polars = self._series, self._polars
        parts = _parts(polars, series, self._name, None)
        return filled(len(series), [_dtype(polars, series.dtype)], dtype, lambda _: parts).reshape(
            -1
        )


def _numeric(polars: Any, dtype: Any) -> bool:
    return bool(dtype == polars.Boolean or dtype.is_numeric())


def _dtype(polars: Any, dtype: Any) -> np.dtype[Any]:
    if dtype == polars.Boolean:
        return np.dtype(bool)
    # The name of a numeric type is NumPy's with a capital.
    name = str(dtype).lower()
    known = name.startswith(("int", "uint", "float")) and not name.endswith("128")
    return np.dtype(name if known else np.float64)


def _parts(polars: Any, series: Any, name: str, label: Any) -> list[Array]:
    if series.null_count():
        raise missing(name, int(series.is_null().arg_max()), label, f"{name}.fill_null(0)")
    if _dtype(polars, series.dtype) == np.float64:
        series = series.cast(polars.Float64)
    return [series.to_numpy()]
