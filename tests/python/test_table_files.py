"""Whole tables from files: what is a heading, what is a number, and what is missing."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from laminet.files.samples import SampleError
from laminet.files.tables import Table, read_table


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def from_csv(text: str, *asked: str, separator: str = ",") -> Table:
    Path("x.csv").write_text(text)
    return read_table("x.csv", "csv", separator, asked)


def numbers(table: Table, index: int) -> Any:
    values = table.columns[index].numbers
    return None if values is None else values.tolist()


def test_columns_of_every_kind() -> None:
    table = from_csv('n,t,b,m\n1, x ,True,1\n\n?,"y, z",false,NA\n-1e3,,TRUE,a\n')
    assert table.heading == ["n", "t", "b", "m"]
    assert (table.source, table.rows) == ("x.csv", 3)
    assert [column.kind for column in table.columns] == ["numbers", "text", "numbers", "both"]
    np.testing.assert_array_equal(numbers(table, 0), [1, np.nan, -1000])
    assert table.columns[1].texts(True) == ["x", "y, z", None]
    assert table.columns[2].texts(True) == ["True", "false", "TRUE"]
    assert table.columns[3].texts(True) == ["1", None, "a"]
    assert table.columns[3].texts(False) == ["1", "NA", "a"]
    assert table.place(1, table.columns[3]) == "x.csv: line 4, column 'm'"
    assert [column.is_bool for column in table.columns] == [False, False, True, False]


@pytest.mark.parametrize("text", ["nan", "NaN", "N/A", "null", "-", "None", ""])
def test_what_stands_for_a_missing_value(text: str) -> None:
    table = from_csv(f"a,b\n1,x\n{text},{text}\n")
    np.testing.assert_array_equal(numbers(table, 0), [1, np.nan])
    assert table.columns[1].texts(True) == ["x", None]
    assert table.columns[1].texts(False) == ["x", text or None]
    assert table.columns[1].kind == "text"


@pytest.mark.parametrize("text", ["1_000", "1,5", "0x10", "3 kg"])
def test_what_is_no_number(text: str) -> None:
    assert from_csv(f"a\n{text}\n", separator=";").columns[0].kind == "text"


def test_lines_of_other_widths_and_long_cells() -> None:
    with pytest.raises(SampleError, match=r"line 2: 3 columns, the first line has 2$"):
        from_csv("a;b,c\n1,2,3\n")
    long = "x" * 2**17
    assert from_csv(f"a,b\n{long},y\n").columns[0].texts(True) == [long]
    with pytest.raises(SampleError, match=r"line 2: a quote or .* a cell of more than 128 KiB"):
        from_csv(f"a,b\n{long}x,y\n")


@pytest.mark.parametrize(
    ("first", "asked", "is_heading"),
    [
        ("a,b", (), True),
        ("1,b", (), False),
        ("1,b", ("b",), True),
        ("2019,b", ("2019",), False),
        ("true,false", (), False),
        ("na,x", (), False),
        ("$,%", (), False),
        (",a", ("a",), True),
        (",a", (), False),
    ],
)
def test_a_heading(first: str, asked: tuple[str, ...], is_heading: bool) -> None:
    table = from_csv(f"{first}\n1,2\n", *asked)
    assert (table.heading is not None) == is_heading
    assert table.rows == 2 - is_heading
    name = first.partition(",")[0] if is_heading else ""
    assert table.columns[0].called == (f"column {name!r}" if name else "column 1")


def test_columns_by_name_and_by_number() -> None:
    table = from_csv("a,2,b\n1,2,3\n", "a")
    assert [table.column(name, "--x").number for name in ("a", "2", "3")] == [1, 2, 3]
    table = from_csv("a,3,b\n1,2,3\n", "a")
    assert table.column("3", "--x").number == 2
    for name, words in (
        ("c", "x.csv: no column 'c', and --x names it; the columns are 'a', '3', 'b'"),
        ("4", "x.csv: there are 3 columns, and --x names 4"),
        ("0", "x.csv: no column '0', and --x names it"),
    ):
        with pytest.raises(SampleError, match=words):
            table.column(name, "--x")
    with pytest.raises(SampleError, match="no heading, so --x takes the numbers of columns"):
        from_csv("1,2\n").column("a", "--x")


def test_columns_of_parquet() -> None:
    columns = {
        "n": [1, None, 3],
        "t": ["x", " ", None],
        "b": [True, False, None],
        "d": pa.array(["NA", "v", "NA"]).dictionary_encode(),
        "e": [decimal.Decimal("1.5")] * 3,
        "f": [[1]] * 3,
    }
    pq.write_table(pa.table(columns), "x.parquet", row_group_size=2)
    table = read_table("x.parquet", "parquet")
    assert table.heading == list(columns)
    kinds = [column.kind for column in table.columns]
    assert kinds[:5] == ["numbers", "text", "numbers", "text", "numbers"]
    assert kinds[5].startswith("list<")
    assert [column.is_bool for column in table.columns] == [c == "b" for c in columns]
    np.testing.assert_array_equal(numbers(table, 0), [1, np.nan, 3])
    np.testing.assert_array_equal(numbers(table, 2), [1, 0, np.nan])
    assert numbers(table, 4) == [1.5] * 3
    assert table.columns[0].texts(True) == ["1", None, "3"]
    assert table.columns[1].texts(True) == ["x", None, None]
    # A file that has missing values of its own says no more by a text.
    assert table.columns[3].texts(True) == ["NA", "v", "NA"]
    assert table.place(2, table.columns[0]) == "x.parquet: row 3, column 'n'"
    pq.write_table(pa.table({"a": pa.array([], pa.int8())}), "x.parquet")
    assert read_table("x.parquet", "parquet").rows == 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_of_an_array(order: Any) -> None:
    np.save("x.npy", np.array([[1, 2, 3], [4, 5, 6]], ">i2", order=order))
    table = read_table("x.npy", "npy")
    assert table.heading is None
    assert [numbers(table, i) for i in range(3)] == [[1, 4], [2, 5], [3, 6]]
    assert table.place(1, table.columns[2]) == "x.npy: row 2, column 3"
