"""Tables of pandas, polars and Arrow for the tests, and what else gives its data as they do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

NAMES = ("a", "b", "c")
FLOAT32 = np.dtype(np.float32)

INTEGERS = np.array([3, -1, 0, 200, 7])
BOOLS = np.array([True, False, False, True, True])
REALS = np.array([0.1, -2.5, np.nan, 1e-3, np.inf])
EXPECTED = np.column_stack([INTEGERS, BOOLS, REALS])


def pandas_frame(integers="int64", bools="bool", reals="float64") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": pd.Series(INTEGERS).astype(integers),
            "b": pd.Series(BOOLS).astype(bools),
            "c": pd.Series(REALS).astype(reals),
        }
    )


def polars_frame() -> pl.DataFrame:
    return pl.DataFrame({"a": INTEGERS, "b": BOOLS, "c": REALS})


def arrow_table() -> pa.Table:
    return pa.table({"a": INTEGERS, "b": BOOLS, "c": REALS})


class Exporter:
    """Anything that gives its data by the C stream of Arrow: DuckDB, narwhals, ..."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


class ArrayExporter:
    def __init__(self, data):
        self.data = data

    def __arrow_c_array__(self, requested_schema=None):
        return self.data.__arrow_c_array__(requested_schema)
