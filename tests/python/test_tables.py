"""Tables of pandas, polars and Arrow as input: what they hold goes in, names are checked."""

from __future__ import annotations

import decimal
import re
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from variants import normal, random_net, same_bits

import laminet as ln
from laminet.core.conversion import as_real_array, real_array

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


# --- What cannot go in ---------------------------------------------------------------------------

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


# --- Names ---------------------------------------------------------------------------------------

FRAMES = {
    "pandas": (pd.DataFrame, "x[list(net.feature_names)]"),
    "polars": (pl.DataFrame, "x.select(net.feature_names)"),
    "Arrow": (pa.table, "x.select(list(net.feature_names))"),
}


def refusal(make, columns, names=NAMES) -> str:
    table = make({name: [1.0, 2.0] for name in columns})
    with pytest.raises(ValueError, match=r"^x has ") as caught:
        as_real_array(table, FLOAT32, "x", names)
    return str(caught.value)


@pytest.mark.parametrize(("make", "select"), FRAMES.values(), ids=FRAMES.keys())
def test_names_that_differ(make, select):
    assert refusal(make, "bac") == (
        "x has the columns in another order: expected a, b, c, got b, a, c; "
        f"{select} puts them right"
    )
    assert refusal(make, "abcd") == (
        "x has other columns than the network's features (unexpected: 'd'); "
        f"{select} takes those that the network knows"
    )
    assert "(missing: 'c'); to go by position alone, give" in refusal(make, "ab")
    assert "(missing: 'c'; unexpected: 'C')" in refusal(make, "abC")
    assert "(missing: 'a', 'b', 'c'; unexpected: 'd')" in refusal(make, "d")


def test_the_remedies_do_what_they_say():
    class Net:
        feature_names = NAMES

    for make, select in FRAMES.values():
        x = make({name: [value] for value, name in enumerate("cdba")})
        picked = eval(select, {"x": x, "net": Net})
        assert as_real_array(picked, FLOAT32, "x", NAMES).tolist() == [[3, 2, 0]]
        message = refusal(make, "ab")
        plain = eval(message.rpartition("give ")[2], {"x": picked, "numpy": np})
        assert plain.tolist() == [[3, 2, 0]]


def test_names_of_many_columns_are_cut():
    many = tuple(f"column {i}" for i in range(50))
    message = refusal(pd.DataFrame, [*many[:20], many[21], many[20], *many[22:]], many)
    assert "expected 'column 20' at position 20, got 'column 21'" in message
    assert len(message) < 250
    message = refusal(pl.DataFrame, [name.upper() for name in many], many)
    assert message.count("column ") == message.count("COLUMN ") == 8
    assert message.count("... (50 in all)") == 2


def test_a_name_that_comes_twice():
    frame = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["a", "b", "b", "c"])
    with pytest.raises(ValueError, match=r"\(more than once: 'b'\)"):
        as_real_array(frame, FLOAT32, "x", NAMES)
    assert as_real_array(frame, FLOAT32, "x").shape == (1, 4)
    assert as_real_array(frame, FLOAT32, "x", ("a", "b", "b", "c")).shape == (1, 4)


def test_labels_that_are_numbers_are_no_names():
    for columns in (None, [2, 0, 1], [0.5, 1.5, 2.5]):
        frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=columns)
        assert as_real_array(frame, FLOAT32, "x", NAMES).tolist() == [[1, 2, 3]]


def test_labels_of_several_levels_and_mixed_ones_are_names():
    levels = pd.DataFrame([[1.0, 2.0, 3.0]], columns=pd.MultiIndex.from_product([["a"], NAMES]))
    with pytest.raises(ValueError, match=r"unexpected: \('a', 'a'\), \('a', 'b'\)"):
        as_real_array(levels, FLOAT32, "x", NAMES)
    assert as_real_array(levels, FLOAT32, "x").tolist() == [[1, 2, 3]]
    mixed = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", 2])
    with pytest.raises(ValueError, match="missing: 'c'; unexpected: 2"):
        as_real_array(mixed, FLOAT32, "x", NAMES)


def test_names_are_not_asked_of_arrays_and_not_of_networks_without():
    frame = pandas_frame()[["c", "a", "b"]]
    assert as_real_array(frame, FLOAT32, "x").shape == (5, 3)
    for plain in (EXPECTED, EXPECTED.tolist(), EXPECTED[0], [1, 2, 3]):
        assert as_real_array(plain, FLOAT32, "x", NAMES).shape[-1] == 3


def test_frames_of_packages_that_work_like_pandas():
    class Frame:
        """Modin, Dask: names and an array."""

        columns = pd.Index(["b", "a", "c"])
        iloc = None

        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3))

    with pytest.raises(ValueError, match="in another order: expected a, b, c, got b, a, c"):
        as_real_array(Frame(), FLOAT32, "x", NAMES)
    assert as_real_array(Frame(), FLOAT32, "x", ("b", "a", "c")).tolist() == [[1, 1, 1]] * 2


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


# --- Networks that know the names ----------------------------------------------------------------


@pytest.mark.parametrize("make", [make for make, _ in FRAMES.values()], ids=FRAMES.keys())
def test_networks_check_the_names_of_their_features(make, dtype):
    layers = ln.MLP.init([3, 2], dtype=dtype, seed=0).layers
    net = ln.MLP(layers, feature_names=NAMES)
    right, wrong = (make({n: np.ones(2, dtype) for n in names}) for names in ("abc", "bac"))
    assert same_bits(net(right), net(np.ones((2, 3), dtype)))
    assert same_bits(ln.MLP(layers)(wrong), net(right))
    calls = [
        net,
        net.predict,
        net.predict_proba,
        net.trace,
        net.jacobian,
        net.layer_jacobians,
        net.value_and_jacobian,
        lambda x: net.vjp(x, np.ones((2, 2))),
        lambda x: net.jvp(x, np.ones((2, 3))),
        lambda x: net.jvp(np.ones((2, 3)), x),
        lambda x: net.gradients(x, np.ones((2, 2))),
        lambda x: net.astype("float32")(x),
        lambda x: ln.gradient_flow(net, x),
        lambda x: ln.check_jacobian(net, x),
        lambda x: ln.reference.forward(net, x),
        lambda x: ln.reference.forward_components(net, x),
        lambda x: ln.reference.jacobian(net, x),
        lambda x: ln.reference.layer_jacobians(net, x),
        lambda x: ln.reference.numerical_jacobian(net, x),
    ]
    for call in calls:
        call(right)
        with pytest.raises(ValueError, match="has the columns in another order: expected a, b, c"):
            call(wrong)


def test_the_reference_of_training_holds_columns_against_the_names() -> None:
    net = ln.MLP([ln.Dense([[1.0, 2.0]])], feature_names=["a", "b"])
    swapped = pd.DataFrame({"b": [1.0], "a": [2.0]})
    for call in (
        lambda: ln.reference.gradients(net, swapped, [[1.0]]),
        lambda: ln.reference.training_step(net, swapped, [1.0], "squared_error", "sgd"),
    ):
        with pytest.raises(ValueError, match="columns"):
            call()
