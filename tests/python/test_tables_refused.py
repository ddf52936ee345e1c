"""Columns of tables that cannot go into a network: which are named, and with what remedy."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tables import Exporter, arrow_table, polars_frame
from variants import random_net

import laminet as ln

TEXT = ["x", "y"]
REFUSED = {
    "text": TEXT,
    "category": pd.Categorical(TEXT),
    "category of numbers": pd.Categorical([1, 2]),
    "category of bool": pd.Categorical([True, False]),
    "object": np.array([1, 2], object),
    "object of text": np.array(TEXT, object),
    "datetime": pd.to_datetime(["2020-01-01", "2021-01-01"]),
    "datetime with zone": pd.to_datetime(["2020-01-01", "2021-01-01"]).tz_localize("UTC"),
    "timedelta": pd.to_timedelta([1, 2]),
    "period": pd.period_range("2020", periods=2, freq="D"),
    "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
    "complex": np.array([1j, 2]),
    "sparse": pd.arrays.SparseArray([0.0, 1.0]),
    "Arrow text": pd.array(TEXT, dtype=pd.ArrowDtype(pa.string())),
    "Arrow date": pd.array([0, 1], dtype=pd.ArrowDtype(pa.date32())),
}
REMEDIES = {
    "sparse": "x['city'].sparse.to_dense()",
    "object": "x['city'].astype(float)",
    "category of numbers": "x['city'].astype(float)",
    "timedelta": "x['city'].dt.total_seconds()",
    "complex": "x['city'].abs()",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_column_of_something_else_is_named(kind):
    frame = pd.DataFrame({"a": [1, 2], "city": REFUSED[kind], "c": [1.0, 2.0]})
    net = random_net([3, 2])
    dtype = re.escape(str(frame.dtypes["city"]))
    with pytest.raises(TypeError, match=f"^x has a column .*: 'city' \\({dtype}\\); ") as caught:
        net(frame)
    assert REMEDIES.get(kind, "encode it as numbers") in str(caught.value)
    assert "x.drop(columns=['city'])" in str(caught.value)
    with pytest.raises(TypeError, match=f"^x must hold real numbers, got dtype {dtype}"):
        net(frame["city"])


def test_several_columns_are_named():
    frame = pd.DataFrame({"a": [1], "b": ["x"], "c": ["x"], "d": [1j], "e": ["x"], "f": ["x"]})
    with pytest.raises(TypeError, match=r"^x has columns .*: 'b' .*, 'c' .*, 'd' .* \(5 in all\)"):
        random_net([6, 2])(frame)


@pytest.mark.parametrize(
    "values",
    [
        pl.Series(TEXT),
        pl.Series(TEXT, dtype=pl.Categorical),
        pl.Series([0, 1]).cast(pl.Date),
        pl.Series([0, 1]).cast(pl.Duration("ms")),
        pl.Series([[0], [1]]),
        pl.Series([{"a": 0}, {"a": 1}]),
        pl.Series([object(), object()], dtype=pl.Object),
        pl.Series([None, None]),
        pl.Series([b"x", b"y"]),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_column_of_polars_is_named(values):
    frame = pl.DataFrame({"a": [1, 2], "city": values})
    dtype = re.escape(str(frame["city"].dtype))
    with pytest.raises(TypeError, match=f"^x has a column .*'city' \\({dtype}\\)") as caught:
        random_net([2, 2])(frame)
    assert "x.drop('city')" in str(caught.value)
    with pytest.raises(TypeError, match=f"^x must hold real numbers, got dtype {dtype}"):
        random_net([2, 2])(frame["city"])


@pytest.mark.parametrize(
    "values",
    [
        pa.array(TEXT),
        pa.array(TEXT).dictionary_encode(),
        pa.array([0, 1], pa.date32()),
        pa.array([0, 1], pa.timestamp("s")),
        pa.array([0, 1], pa.duration("s")),
        pa.array([[0], [1]]),
        pa.array([{"a": 0}, {"a": 1}]),
        pa.nulls(2),
        pa.array([b"x", b"y"]),
    ],
    ids=lambda array: str(array.type),
)
def test_a_column_of_arrow_is_named(values):
    table = pa.table({"a": [1, 2], "city": values})
    kind = re.escape(str(values.type))
    for given in (table, table.to_batches()[0], Exporter(table)):
        with pytest.raises(TypeError, match=f"^x has a column .*'city' \\({kind}\\)") as caught:
            random_net([2, 2])(given)
        assert "x.drop_columns(['city'])" in str(caught.value)
    with pytest.raises(TypeError, match=f"^x must hold real numbers, got Arrow's type {kind}$"):
        random_net([2, 2])(values)


@pytest.mark.parametrize(
    ("table", "fill"),
    [
        (pd.DataFrame({"a": [1, 2, 3], "b": pd.array([1, 2, None], dtype="Int64")}), "x.fillna(0)"),
        (
            pd.DataFrame({"a": [1, 2, 3], "b": pd.array([True, True, None], dtype="boolean")}),
            "x.fillna(0)",
        ),
        (
            pd.DataFrame({"a": [1, 2, 3], "b": pd.array([1.5, 2, None], dtype="double[pyarrow]")}),
            "x.fillna(0)",
        ),
        (pl.DataFrame({"a": [1, 2, 3], "b": [1.5, 2, None]}), "x.fill_null(0)"),
        (pl.DataFrame({"a": [1, 2, 3], "b": [True, True, None]}), "x.fill_null(0)"),
        (pa.table({"a": [1, 2, 3], "b": [1.5, 2, None]}), "pyarrow.compute.fill_null(x['b'], 0)"),
        (
            pa.table({"a": [1, 2, 3], "b": pa.chunked_array([[1.5], [2, None]])}),
            "pyarrow.compute.fill_null(x['b'], 0)",
        ),
    ],
)
def test_missing_values_are_refused(table, fill):
    """As masked arrays are; NaN is a number of floats and goes in."""
    net = random_net([2, 2])
    message = "x has missing values, the first in row 2 of column 'b'; the network has no notion"
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        net(table)
    assert str(caught.value).endswith(f"as in {fill}")
    column = table["b"]
    with pytest.raises(ValueError, match=r"^x has missing values, the first at 2; the network"):
        net(column)


def test_nan_of_floats_is_no_missing_value():
    net = ln.MLP([ln.Dense([[1.0, 1.0]])])
    for table in (
        pd.DataFrame({"a": [1.0, np.nan], "b": [1, 2]}),
        pl.DataFrame({"a": [1.0, np.nan], "b": [1, 2]}),
        pa.table({"a": [1.0, np.nan], "b": [1, 2]}),
    ):
        y = net(table)
        assert y[0] == 2
        assert np.isnan(y[1])


def test_a_query_is_not_run_and_a_reader_not_emptied():
    net = random_net([3, 2])
    reader = arrow_table().to_reader()
    with pytest.raises(TypeError, match=r"RecordBatchReader.* give x\.read_all\(\)$"):
        net(reader)
    assert reader.read_all().num_rows == 5
    with pytest.raises(TypeError, match=r"LazyFrame.* give x\.collect\(\)$"):
        net(polars_frame().lazy())
