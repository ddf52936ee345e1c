"""``laminet predict``: columns by name, Parquet, what is special in .csv and .npy."""

from __future__ import annotations

import csv
import os
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import refused
from command_predict import X, in_folder, predict, rows_of_csv, saved

import laminet as ln
from laminet.cli import main

__all__ = ["in_folder"]  # a fixture


def table_of(names: list[str]) -> str:
    cells = {"a": "1", "b": "2", "c": "3", "id": "x1", "note": '"says ""hi"", or so"'}
    return ";".join(names) + "\n" + ";".join(cells[name] for name in names) + "\n"


def test_columns_by_name() -> None:
    """In the network's order, whatever the file's; others are passed on or left out."""
    net = saved(None, feature_names=["a", "b", "c"])
    Path("x.csv").write_text(table_of(["id", "c", "note", "b", "a"]))
    predict("y.csv", "--separator", ";", "--keep", "id,note", source="x.csv")
    with open("y.csv", newline="") as file:
        heading, row = csv.reader(file, delimiter=";")
    assert heading[:2] == ["id", "note"]
    assert row[:2] == ["x1", 'says "hi", or so']
    np.testing.assert_allclose([float(v) for v in row[2:]], net([1, 2, 3]), rtol=1e-6)


def test_columns_by_option() -> None:
    net = saved(None)
    Path("x.csv").write_text("id,c,b,a\n7,3,2,1\n")
    predict("y.npy", "--columns", "a,b,c", source="x.csv")
    np.testing.assert_allclose(np.load("y.npy")[0], net([1, 2, 3]), rtol=1e-6)
    Path("plain.csv").write_text("7,3,2,1\n")
    predict("z.npy", "--columns", "4,3,2", source="plain.csv")
    np.testing.assert_allclose(np.load("z.npy")[0], net([1, 2, 3]), rtol=1e-6)


def test_a_column_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None, feature_names=["a", "b", "c"])
    Path("x.csv").write_text("a,b,d\n1,2,3\n")
    message = refused(capsys, "predict", "net.safetensors", "x.csv", "-o", "y.csv")
    assert "c" in message
    pq.write_table(pa.table({"a": [1.0], "b": [2.0], "d": [3.0]}), "x.parquet")
    message = refused(capsys, "predict", "net.safetensors", "x.parquet", "-o", "y.csv")
    assert "'c'" in message


def test_parquet_in_and_out() -> None:
    net = saved(None, feature_names=["a", "b", "c"])
    names = [f"row {i}" for i in range(len(X))]
    table = pa.table({"c": X[:, 2], "id": names, "b": X[:, 1].astype("f8"), "a": X[:, 0]})
    pq.write_table(table, "x.parquet", row_group_size=7)
    predict("y.parquet", "--keep", "id", source="x.parquet")
    result = pq.read_table("y.parquet")
    assert result["id"].to_pylist() == names
    y = np.stack([result[name].to_numpy() for name in result.column_names[1:]], 1)
    assert np.array_equal(y, net(X))


def test_text_in_a_column_of_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None, feature_names=["a", "b", "c"])
    pq.write_table(pa.table({"a": [1.0], "b": ["x"], "c": [3.0]}), "x.parquet")
    message = refused(capsys, "predict", "net.safetensors", "x.parquet", "-o", "y.csv")
    assert "'b'" in message


def test_a_damaged_parquet_file(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    pq.write_table(pa.table(dict(zip("abc", X.T, strict=True))), "x.parquet")
    data = Path("x.parquet").read_bytes()
    damaged = bytearray(data)
    damaged[6:60] = b"\xff" * 54
    for content in (data[:0], data[:3], data[:-1], data[: len(data) // 2], bytes(damaged)):
        Path("x.parquet").write_bytes(content)
        message = refused(capsys, "predict", "net.safetensors", "x.parquet", "-o", "y.npy")
        assert "x.parquet: " in message
        assert "damaged" in message


def test_a_parquet_file_with_other_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is written has checksums, and those of what is read are compared."""
    saved(None)
    predict("x.parquet")
    data = Path("x.parquet").read_bytes()
    Path("x.parquet").write_bytes(data[:60] + bytes(~b & 255 for b in data[60:70]) + data[70:])
    columns = ("--columns", "y0,y1,y2")
    message = refused(capsys, "predict", "net.safetensors", "x.parquet", "-o", "y.npy", *columns)
    assert "x.parquet: damaged: rows from 1 on cannot be read" in message


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.0, None]), "x.parquet: row 2, column 'b': the value is missing"),
        (pa.array([1.0, -1e39]), "row 2, column 'b': -1e+39 is beyond the largest number of float"),
        (pa.array([[1.0], [2.0]]), "column 'b' holds list<"),
        (pa.array(["1", "2"]), "column 'b' holds string, not numbers"),
    ],
)
def test_columns_of_parquet_that_are_refused(
    column: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(None)
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": column, "c": [3, 4]}), "x.parquet")
    assert message in refused(capsys, "predict", "net.safetensors", "x.parquet", "-o", "y.npy")


def test_columns_of_parquet_of_every_type_of_number() -> None:
    net = saved(None)
    a = pa.array([Decimal("1.5"), Decimal(3)], pa.decimal128(5, 2))
    b = pa.array([2, 3], pa.uint8()).dictionary_encode()
    pq.write_table(pa.table({"a": a, "b": b, "c": [True, False]}), "x.parquet")
    predict("y.npy", source="x.parquet")
    assert np.array_equal(np.load("y.npy"), net([[1.5, 2, 1], [3, 3, 0]]))


def test_columns_that_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    extra = {
        "day": pa.array([0, 1], pa.date32()),
        "note": [None, ""],
        "data": [b"\xff", b""],
    }
    pq.write_table(pa.table({**extra, **{name: [1.0, 2.0] for name in "abc"}}), "x.parquet")
    predict("y.csv", "--columns", "a,b,c", "--keep", "day,note", source="x.parquet")
    lines = Path("y.csv").read_text().splitlines()
    assert [line.rpartition(",y0")[0] or line.split(",")[:2] for line in lines] == [
        "day,note",
        ["1970-01-01", ""],
        ["1970-01-02", '""'],
    ]
    predict("y.parquet", "--columns", "a,b,c", "--keep", "data,day", source="x.parquet")
    assert pq.read_schema("y.parquet").field("day").type == pa.date32()
    command = ["predict", "net.safetensors", "x.parquet", "--columns", "a,b,c"]
    message = refused(capsys, *command, "-o", "y.csv", "--keep", "data")
    assert "a column of binary has no text" in message
    Path("x.csv").write_text("n 1,1,2,3\n")
    predict("z.csv", "--keep", "1", source="x.csv")
    assert rows_of_csv("z.csv")[0][0] == "n 1"
    predict("z.parquet", "--keep", "1", source="x.csv")
    assert pq.read_table("z.parquet").column_names == ["column_1", "y0", "y1", "y2"]


@pytest.mark.parametrize(
    ("heading", "options", "message"),
    [
        ("a,b,c,d", [], "x.csv: line 1: 4 columns, the network takes 3"),
        ("a,b,c,d", ["--columns", "a,b"], "--columns names 2 columns, the network takes 3"),
        ("a,b,c,d", ["--columns", "a,b,b"], "--columns names 'b' twice"),
        ("a,b,c,d", ["--columns", "a,b,x"], "no column 'x', and --columns names it; the columns"),
        ("a,b,c,c", ["--columns", "a,b,c"], "two columns are named 'c'"),
        ("a,b,c,d", ["--keep", "x"], "no column 'x', and --keep names it"),
        ("1,2,3,4", ["--columns", "a,b,c"], "no heading, so --columns takes the numbers"),
        ("1,2,3,4", ["--columns", "1,2,5"], "4 columns, and --columns names 5"),
        (
            "a,b,c,y0",
            ["--keep", "y0"],
            "error: --keep names 'y0', as a result is called: OUTPUT would have two columns named "
            "'y0'",
        ),
    ],
)
def test_columns_that_are_not_there(
    heading: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(None)
    Path("x.csv").write_text(f"{heading}\n1,2,3,4\n")
    command = ["predict", "net.safetensors", "x.csv", "-o", "y.csv", *options]
    assert message in refused(capsys, *command)


def test_columns_in_another_order_than_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    net = saved(None, feature_names=["a", "b", "c"])
    Path("x.csv").write_text("u,v,w\n1,2,3\n")
    predict("y.npy", "--columns", "u,v,w", source="x.csv")
    assert np.array_equal(np.load("y.npy")[0], net([1, 2, 3]))
    command = ["predict", "net.safetensors", "x.csv", "-o", "y.csv"]
    assert "no column 'a', and the network takes it" in refused(capsys, *command)
    message = refused(capsys, *command, "--columns", "b,a,c")
    assert "whose features are 'a', 'b', 'c', in this order" in message


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (("x.npy", "y.csv"), ["--format", "parquet"], "--format parquet: the names of the files"),
        (("x.npy", "y.csv"), ["--output-format", "npy"], "--output-format npy: the names"),
        (("x.npy", "y.npy"), ["--separator", ";"], "--separator is for .csv"),
        (("x.npy", "y.npy"), ["--heading"], "--heading is for a .csv OUTPUT"),
        (("x.npy", "y.csv"), ["--keep", "1"], "a .npy INPUT has nothing but samples"),
        (("x.csv", "y.npy"), ["--keep", "1"], "a .npy OUTPUT has no columns"),
    ],
)
def test_options_that_no_file_has_a_use_for(
    files: tuple[str, str],
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved(None)
    command = ["predict", "net.safetensors", files[0], "-o", files[1], *options]
    assert message in refused(capsys, *command)


@pytest.mark.parametrize("text", ["5", "ab", "", ".", '"', "-", "e", "\n"])
def test_separators_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "n", "x.csv", "-o", "y.csv", f"--separator={text}"])
    assert "expected a character that no number has" in capsys.readouterr().err


def test_tabs_at_the_ends_of_lines_are_cells(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    Path("x.csv").write_text("a\tb\tc\n1\t2\t\n")
    command = ["predict", "net.safetensors", "x.csv", "-o", "y.csv", "--separator", "tab"]
    assert "line 2: column 3: the cell is empty" in refused(capsys, *command)


def test_a_quoted_cell_over_two_lines() -> None:
    net = saved(None)
    Path("x.csv").write_text('id,a,b,c\n"x\ny",1,2,3\n"q ""r""",4,5,6\n')
    predict("y.csv", "--columns", "a,b,c", "--keep", "id", source="x.csv")
    rows = rows_of_csv("y.csv")
    assert [row[0] for row in rows] == ["id", "x\ny", 'q "r"']
    predict("y.npy", "--columns", "a,b,c", source="x.csv")
    assert np.array_equal(np.load("y.npy"), net([[1, 2, 3], [4, 5, 6]]))


def test_rows_of_another_width_where_some_columns_are_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved(None)
    command = ["predict", "net.safetensors", "x.csv", "-o", "y.csv", "--columns", "a,b,c"]
    for row in ("1,2,3", "1,2,3,4,5", '"1,5",2,3', '"1,5",2,3,4,5'):
        Path("x.csv").write_text(f"a,b,c,note\n1,2,3,4\n{row}\n")
        message = refused(capsys, *command)
        assert re.search("line 3: [35] columns, the first line has 4", message)


def test_labels_with_blanks_at_their_ends_are_quoted() -> None:
    """Some programs would drop the blanks otherwise."""
    saved(ln.Classes([" a", "b ", "c"]))
    predict("y.csv", "--classes")
    assert set(Path("y.csv").read_text().splitlines()) == {'" a"', '"b "', "c"}


def test_a_first_line_that_numbers_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """As pandas writes it of an array; it may be a sample as well, so it is said."""
    saved(None)
    Path("x.csv").write_text("0,1,2\n4,5,6\n")
    predict("y.npy", source="x.csv")
    assert capsys.readouterr().err == (
        "laminet: x.csv: line 1 numbers the columns from 0, and is taken for a sample\n"
    )


def test_without_pyarrow(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    saved(None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.parquet")
    assert "y.parquet: reading and writing .parquet takes: pip install 'laminet[arrow]'" in message


def test_an_npy_that_ends_early(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    size = os.path.getsize("x.npy")
    os.truncate("x.npy", size - 12)
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy")
    assert "x.npy" in message


@pytest.mark.parametrize("shape", [(2**63, 3), (0, 2**64), (2**40, 2**40), (2**62, 3)])
def test_an_npy_of_an_impossible_shape_is_refused(
    shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    saved(None)
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    Path("x.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy")
    assert "x.npy: not an array that can be read: no array has the shape (" in message


@pytest.mark.parametrize("description", ["[('a', '<f4')]", "('<f4', (8,))"])
def test_an_npy_of_structures_is_refused(
    description: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(None)
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': (10, 3)}}\n".encode()
    start = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little")
    Path("x.npy").write_bytes(start + header + bytes(960))
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy")
    assert "x.npy: a structured array; save its fields" in message


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f8", "float16"])
def test_npy_in_fortran_order(dtype: str) -> None:
    net = saved(None)
    x = np.asfortranarray((X * 4).round().astype(dtype))
    np.save("f.npy", x)
    predict("y.npy", source="f.npy")
    assert np.array_equal(np.load("y.npy"), net(x.astype("f4")))
