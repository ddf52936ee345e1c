"""Columns of categories: a feature "color=red" is 1 where the column "color" holds "red"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import laminet as ln
from laminet.files.arrow_files import open_parquet
from laminet.files.columns import Request
from laminet.files.csv_files import open_csv
from laminet.files.samples import SampleError

NAMES = ["color=red", "size", "color=light blue", "shape=a=b"]
NET = ln.MLP.init([4, 1], seed=0, feature_names=NAMES)

Columns = dict[str, list[Any]]
TABLE: Columns = {
    "shape": ["a=b", "a=b", "a=b"],
    "color": ["light blue", "red", "red"],
    "size": [3, 1.5, -2],
}
ENCODED = [[0, 3, 1, 1], [1, 1.5, 0, 1], [1, -2, 0, 1]]


def read_csv(columns: Columns, net: ln.MLP = NET, rows: int = 2) -> Any:
    rows_of_text = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    lines = [",".join(columns), *rows_of_text]
    Path("x.csv").write_text("\n".join(lines) + "\n")
    with open_csv("x.csv", Request(net), rows) as samples:
        return np.concatenate([block.x for block in samples.blocks])


def read_parquet(columns: Columns, net: ln.MLP = NET, rows: int = 2) -> Any:
    pq.write_table(pa.table(columns), "x.parquet")
    with open_parquet("x.parquet", Request(net), rows) as samples:
        return np.concatenate([block.x for block in samples.blocks])


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


READERS = pytest.mark.parametrize("read", [read_csv, read_parquet])


@READERS
def test_categories_become_ones_and_zeros(read: Callable[..., Any]) -> None:
    assert read(TABLE).tolist() == ENCODED
    # Of texts alone, and of one column, whose first line has fewer cells than the network features.
    net = ln.MLP.init([2, 1], seed=0, feature_names=["color=red", "color=light blue"])
    assert read(TABLE, net).tolist() == [[0, 1], [1, 0], [1, 0]]
    assert read({"color": ["red", "light blue"]}, net).tolist() == [[1, 0], [0, 1]]
    assert read({**TABLE, "color": [" light blue", "red ", "red"]}).tolist() == ENCODED
    pair = ln.MLP.init([2, 1], seed=0, feature_names=["size", "color=red"])
    assert read({"size": [2, 3], "color": ["red", "red"]}, pair).tolist() == [[2, 1], [3, 1]]
    one = ln.MLP.init([1, 1], seed=0, feature_names=["color=red"])
    assert read({"color": ["red", "red"]}, one).tolist() == [[1], [1]]


@READERS
def test_a_column_of_that_name_is_what_it_is(read: Callable[..., Any]) -> None:
    table = {**TABLE, "color=red": [5, 6, 7]}
    net = ln.MLP.init([2, 1], seed=0, feature_names=["color=red", "size"])
    assert read(table, net).tolist() == [[5, 3], [6, 1.5], [7, -2]]


@READERS
@pytest.mark.parametrize(
    ("column", "values", "names", "message"),
    [
        (
            "color",
            ["red", "red", "green"],
            NAMES,
            "(line 4: column 2|row 3, column 'color'): 'green' is none of the network's categories "
            "'red', 'light blue'$",
        ),
        ("color", ["red", "", "red"], NAMES, "(line 3|row 2).*: the value is missing; the network"),
        (
            "shape=a",
            ["b", "b", "b"],
            NAMES,
            "feature 'shape=a=b' may be a category of the column 'shape' or of 'shape=a'",
        ),
        (
            "color",
            ["red", "red", "red"],
            ["color", "color=red"],
            "takes column 'color' as numbers and as categories",
        ),
        ("color", ["red"] * 3, ["color=red", "weight=3"], "no column 'weight=3'"),
        ("color", ["red"] * 3, ["color=", "size"], "no column 'color='"),
    ],
)
def test_what_is_no_category_is_refused(
    read: Callable[..., Any], column: str, values: list[str], names: list[str], message: str
) -> None:
    net = ln.MLP.init([len(names), 1], seed=0, feature_names=names)
    with pytest.raises(SampleError, match=rf"^x\.(csv|parquet): .*{message}"):
        read({**TABLE, column: values}, net)


def test_categories_of_arrow() -> None:
    net = ln.MLP.init([4, 1], seed=0, feature_names=["a=x", "a=y", "b=1", "b=2"])
    columns = {
        "a": pa.array(["x", "y", "x"]).dictionary_encode(),
        "b": pa.array([2, 1, 1], pa.int8()),
    }
    pq.write_table(pa.table(columns), "x.parquet")
    with open_parquet("x.parquet", Request(net), 10) as samples:
        (block,) = samples.blocks
    assert block.x.tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]]
    columns["a"] = pa.array(["x", None, "y"])
    with pytest.raises(SampleError, match=r"row 2, column 'a': the value is missing; the network"):
        read_parquet(columns, net)
    columns["a"] = pa.array([[1], [2], [3]])
    with pytest.raises(SampleError, match=r"column 'a' holds list<.*>, not text"):
        read_parquet(columns, net)


def test_numbers_beside_categories_are_checked() -> None:
    with pytest.raises(SampleError, match=r"line 3: column 3: 'big' is not a number"):
        read_csv({**TABLE, "size": [1, "big", 2]})
    with pytest.raises(SampleError, match=r"line 2: column 3: 1e39 is beyond the largest number"):
        read_csv({**TABLE, "size": ["1e39", 1, 2]})
    with pytest.raises(SampleError, match=r"line 2: 4 columns, the first line has 3"):
        read_csv({**TABLE, "size": ["1,0", 1, 2]})
