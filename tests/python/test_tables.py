"""Tables of pandas, polars and Arrow as input: what they hold goes in, and takes little memory."""

from __future__ import annotations

import decimal
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tables import (
    EXPECTED,
    FLOAT32,
    NAMES,
    REALS,
    ArrayExporter,
    Exporter,
    arrow_table,
    pandas_frame,
    polars_frame,
)
from variants import normal, same_bits

import laminet as ln
from laminet.core.conversion import as_real_array, real_array


def with_dates_for_rows() -> pd.DataFrame:
    frame = pandas_frame()
    frame.index = pd.date_range("2020-01-01", periods=len(frame))
    return frame


# Arrow-backed columns of pandas hold a NaN only where it is put in as such.
ARROW_REALS = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(REALS)))
TWICE = pa.concat_tables([arrow_table(), arrow_table()])

TABLES = {
    "pandas": pandas_frame(),
    "pandas, other dtypes": pandas_frame("int16", "bool", "float32"),
    "pandas, nullable": pandas_frame("Int64", "boolean"),
    "pandas, one nullable": pandas_frame("Int16"),
    "pandas, Arrow-backed": pandas_frame("int64[pyarrow]", "bool[pyarrow]").assign(c=ARROW_REALS),
    "pandas, of each kind": pandas_frame("Int64", "bool[pyarrow]").assign(c=ARROW_REALS),
    "pandas, other rows": with_dates_for_rows(),
    "pandas, of one dtype": pandas_frame("float64", "float64"),
    "pandas, of one float32": pandas_frame("float32", "float32", "float32"),
    "polars": polars_frame(),
    "polars, in chunks": pl.concat([polars_frame()[:2], polars_frame()[2:]], rechunk=False),
    "polars, other types": polars_frame().cast({"a": pl.Int16, "c": pl.Float32}),
    "Arrow": arrow_table(),
    "Arrow, in chunks": pa.concat_tables([arrow_table()[i : i + 2] for i in (0, 2, 4)]),
    "Arrow, sliced": TWICE[5:],
    "Arrow, a batch": arrow_table().to_batches()[0],
    "Arrow, a batch sliced": TWICE.combine_chunks().to_batches()[0][5:],
    "a stream": Exporter(arrow_table()),
    "an array of records": ArrayExporter(arrow_table().to_batches()[0]),
}
# Their reals are rounded.
OF_FLOAT32 = {"pandas, other dtypes", "pandas, of one float32", "polars, other types"}


@pytest.mark.parametrize("kind", TABLES)
def test_numbers_are_those_of_the_columns(kind, dtype):
    table = TABLES[kind]
    net = ln.MLP.init([3, 8, 2], "tanh", dtype=dtype, seed=0)
    expected = EXPECTED.copy()
    if kind in OF_FLOAT32:
        expected[:, 2] = expected[:, 2].astype(np.float32)
    got = as_real_array(table, np.dtype(dtype), "x", NAMES)
    assert got.dtype == dtype
    assert np.array_equal(got, expected.astype(dtype), equal_nan=True)
    assert same_bits(net(table), net(expected.astype(dtype)))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_method_reads_tables(table, dtype):
    net = ln.MLP.init([3, 8, 2], "tanh", dtype=dtype, seed=0)
    x = as_real_array(table, np.dtype(dtype), "x")
    for method in ("jacobian", "predict_proba", "layer_jacobians"):
        ours, theirs = getattr(net, method)(table), getattr(net, method)(x)
        assert all(same_bits(a, b) for a, b in zip(ours, theirs, strict=True))
    assert same_bits(net.vjp(table, np.ones((5, 2), dtype)), net.vjp(x, np.ones((5, 2), dtype)))
    assert same_bits(net.jvp(table, table), net.jvp(x, x))
    ours, theirs = (net.gradients(given, np.ones((5, 2))).input for given in (table, x))
    assert same_bits(ours, theirs)
    assert same_bits(ln.linear(table, np.eye(3, dtype=dtype)), ln.linear(x, np.eye(3, dtype=dtype)))
    exact = as_real_array(table, np.dtype(float), "x")
    assert same_bits(ln.reference.forward(net, table), ln.reference.forward(net, exact))


@pytest.mark.parametrize(
    ("table", "dtype"),
    [
        (pd.DataFrame({"a": [True], "b": [2]}), np.int64),
        (pd.DataFrame({"a": [True], "b": [False]}), np.bool_),
        (pd.DataFrame({"a": pd.array([1], dtype="UInt8"), "b": [2.0]}), np.float64),
        (pd.DataFrame({"a": pd.array([1], dtype="UInt8"), "b": np.float32([2])}), np.float32),
        (pl.DataFrame({"a": [True], "b": [2]}), np.int64),
        (pa.table({"a": [True], "b": pa.array([2], pa.float32())}), np.float32),
    ],
)
def test_weights_from_a_table_are_as_wide_as_its_columns(table, dtype):
    assert real_array(table, "weight").dtype == dtype
    layer = ln.Dense(table)
    assert layer.weight.tolist() == real_array(table, "weight").tolist()
    assert layer.dtype == np.result_type(np.float32, dtype)


def test_types_that_numpy_has_not():
    amounts = [decimal.Decimal("1.25"), decimal.Decimal("-0.10")]
    expected = np.array([[1.25], [-0.1]])
    arrow = pa.table({"a": pa.array(amounts, pa.decimal128(5, 2))})
    wide = pl.DataFrame({"a": pl.Series([1, -(2**62)], dtype=pl.Int64)})
    tables = [
        arrow,
        pd.DataFrame({"a": pd.array(amounts, dtype=pd.ArrowDtype(pa.decimal128(5, 2)))}),
        pl.DataFrame({"a": pl.Series(amounts, dtype=pl.Decimal(5, 2))}),
    ]
    for table in tables:
        assert np.array_equal(as_real_array(table, np.dtype(float), "x"), expected)
        assert np.array_equal(real_array(table, "x"), expected)
    assert real_array(wide, "x").tolist() == [[1], [-(2**62)]]
    if hasattr(pl, "Int128"):
        assert real_array(wide.cast(pl.Int128), "x").tolist() == [[1.0], [-(2.0**62)]]
    half = pa.table({"a": pa.array(np.float16([0.5, 2]), pa.float16())})
    assert real_array(half, "x").dtype == np.float16
    assert real_array(half, "x").tolist() == [[0.5], [2.0]]


# --- One sample, one column ----------------------------------------------------------------------

COLUMNS = {
    "pandas": pd.Series([1, 2, 3]),
    "pandas, nullable": pd.Series([1, 2, 3], dtype="Int64"),
    "pandas, Arrow-backed": pd.Series([1, 2, 3], dtype="int64[pyarrow]"),
    "pandas, an array": pd.array([1, 2, 3], dtype="Int64"),
    "pandas, an index": pd.Index([1, 2, 3]),
    "polars": pl.Series([1, 2, 3]),
    "Arrow": pa.array([1, 2, 3]),
    "Arrow, in chunks": pa.chunked_array([[1], [2, 3]]),
    "a stream": Exporter(pa.chunked_array([[1], [2, 3]])),
    "an array": ArrayExporter(pa.array([1, 2, 3])),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_one_axis_is_one_sample(column, dtype):
    net = ln.MLP.init([3, 8, 2], "tanh", dtype=dtype, seed=0)
    assert same_bits(net(column), net([1.0, 2.0, 3.0]))
    assert as_real_array(column, np.dtype(dtype), "x", NAMES).shape == (3,)
    assert ln.Dense(np.ones((3, 1)), column).bias.tolist() == [1, 2, 3]


def test_a_row_of_a_frame_is_a_sample_with_names():
    frame = pandas_frame("float64", "float64")
    row = as_real_array(frame.iloc[1], FLOAT32, "x", NAMES)
    assert row.tolist() == np.float32(EXPECTED[1]).tolist()
    expected = "x has the labels in another order: expected a, b, c, got c, a, b"
    with pytest.raises(ValueError, match=f"^{expected}"):
        as_real_array(frame[["c", "a", "b"]].iloc[1], FLOAT32, "x", NAMES)
    rows = [frame.iloc[0], frame[["c", "a", "b"]].iloc[1]]
    with pytest.raises(ValueError, match=r"^x\[1\] has the labels in another order"):
        as_real_array(rows, FLOAT32, "x", NAMES)
    assert as_real_array([frame.iloc[0], frame.iloc[1]], FLOAT32, "x", NAMES).shape == (2, 3)


def test_an_index_of_numbers_or_dates_has_no_names():
    for index in (range(3), [7, 5, 1], pd.date_range("2020-01-01", periods=3)):
        series = pd.Series([1.0, 2.0, 3.0], index=index)
        assert as_real_array(series, FLOAT32, "x", NAMES).tolist() == [1, 2, 3]


# --- Memory --------------------------------------------------------------------------------------

ROWS = 200_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: pd.DataFrame({str(i): np.arange(ROWS) for i in range(8)} | {"f": np.ones(ROWS)}),
        lambda: pd.DataFrame({str(i): pd.array(np.arange(ROWS), "Int64") for i in range(9)}),
        lambda: pd.DataFrame({str(i): np.arange(ROWS) for i in range(9)}, dtype="int64[pyarrow]"),
        lambda: pl.DataFrame({str(i): np.arange(ROWS) for i in range(9)}),
        lambda: pa.table({str(i): np.arange(ROWS) for i in range(9)}),
    ],
    ids=["pandas", "pandas, nullable", "pandas, Arrow-backed", "polars", "Arrow"],
)
def test_no_more_than_the_result_and_a_column(make):
    """And no object for a cell."""
    table = make()
    as_real_array(table, FLOAT32, "x")
    tracemalloc.start()
    result = as_real_array(table, FLOAT32, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.nbytes == 9 * ROWS * 4
    assert result.flags.f_contiguous  # as tables are written: a column at a time
    # Of 8 bytes, and the mask of a nullable column.
    assert result.nbytes <= peak < result.nbytes + ROWS * 8 * 2.5


def test_a_frame_of_the_networks_dtype_is_read_in_place():
    frame = pd.DataFrame(normal((100, 6), np.float32), columns=list("abcdef"))
    x = as_real_array(frame, FLOAT32, "x", tuple("abcdef"))
    assert np.shares_memory(x, frame.to_numpy())


def test_the_packages_are_not_imported(script):
    result = script(
        """
import sys
import numpy as np, laminet as ln
net = ln.MLP.init([3, 2], seed=0)
net([[1, 2, 3]]), net(np.ones((2, 3), int))
print([name for name in ("pandas", "polars", "pyarrow", "torch", "scipy") if name in sys.modules])
"""
    )
    assert result.stdout.strip() == "[]", result.stderr
