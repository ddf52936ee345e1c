"""Truth values are 1 and 0, in .csv as in a column of bool of Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import refused

import laminet as ln
from laminet.cli import main
from laminet.files.columns import Request
from laminet.files.csv_files import open_csv
from laminet.files.samples import SampleError
from laminet.files.tables import read_table

NET = ln.MLP.init([2, 1], seed=0, feature_names=["x", "b"])


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows_of(text: str, rows: int = 2, gaps: bool = False) -> Any:
    Path("x.csv").write_text(text)
    with open_csv("x.csv", Request(NET, gaps=gaps), rows) as samples:
        return np.concatenate([block.x for block in samples.blocks])


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
def test_columns_of_truth_values(yes: str, no: str) -> None:
    rows = rows_of(f'b,x,other\n{yes},1.5,u\n{no},2,\n"{no}",3,v\n {yes},4,w\n{yes},5,z\n')
    assert rows.tolist() == [[1.5, 1], [2, 0], [3, 0], [4, 1], [5, 1]]
    # The whole line, and without a heading.
    assert rows_of(f"1.5,{yes}\n2,{no}\n").tolist() == [[1.5, 1], [2, 0]]
    Path("x.csv").write_text(f"a,b,c\n{yes},{no},1\n,{yes},2\nNA,{no},3\n")
    columns = read_table("x.csv", "csv").columns
    assert [column.kind for column in columns] == ["numbers"] * 3
    assert [column.is_bool for column in columns] == [True, True, False]
    np.testing.assert_array_equal(columns[0].numbers, [1, np.nan, np.nan])
    np.testing.assert_array_equal(columns[1].numbers, [0, 1, 0])
    assert columns[1].texts(True) == [no, yes, no]


def test_missing_truth_values() -> None:
    text = "b,x\n,1\nNA,2\n,3\nTrue,4\n,\nFalse,6\n"
    with pytest.raises(SampleError, match=r"line 2: column 1: the cell is empty$"):
        rows_of(text)
    nan = np.nan
    expected = [[1, nan], [2, nan], [3, nan], [4, 1], [nan, nan], [6, 0]]
    for rows in (1, 2, 100):
        np.testing.assert_array_equal(rows_of(text, rows, gaps=True), expected)


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["True", "1", "False"], "line 3: column 1: '1' is not true or false, as the column is"),
        (["1", "0", "False"], "line 4: column 1: 'False' is not a number$"),
        (["True", "False", "yes"], "line 4: column 1: 'yes' is not true or false"),
        (["T", "F", "True"], "line 2: column 1: 'T' is not a number$"),
    ],
)
def test_columns_of_two_kinds(cells: list[str], message: str, gaps: bool, rows: int) -> None:
    text = "b,x\n" + "".join(f"{cell},1\n" for cell in cells)
    with pytest.raises(SampleError, match=message):
        rows_of(text, rows, gaps)
    assert read_table("x.csv", "csv").columns[0].kind in ("text", "both")


def test_a_network_of_the_one_format_reads_the_other() -> None:
    """And is the same, whichever it was made from."""
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal(60), rng.random(60) > 0.5
    table = pa.table({"x": x, "b": b, "price": 2 * x + b, "dear": 2 * x + b > 0})
    pq.write_table(table, "t.parquet")
    rows = zip(*table.to_pydict().values(), strict=True)
    lines = [",".join(table.column_names), *(",".join(map(str, row)) for row in rows)]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    options = ["--columns", "x,b", "--seed", "0", "--epochs", "2"]
    for target in ("price", "dear"):
        nets = []
        for kind in ("csv", "parquet"):
            command = ["train", f"t.{kind}", "--target", target, "-o", f"{kind}.safetensors"]
            assert main([*command, *options]) == 0
            nets.append(ln.load(f"{kind}.safetensors"))
        assert nets[0] == nets[1]
        assert nets[0].feature_names == ("x", "b")
        for kind in ("csv", "parquet"):
            assert main(["predict", "csv.safetensors", f"t.{kind}", "-o", f"{kind}.npy"]) == 0
        assert np.load("csv.npy").tobytes() == np.load("parquet.npy").tobytes()
    assert nets[0].predict(np.array([[9.0, 1.0]])).tolist() in ([True], [False])
    assert nets[0].outputs.labels.dtype == bool


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_truth_values_as_categories(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As --categories makes of them, in letters of the size that the file had."""
    for names in (["b=True", "b=False"], ["b=true", "b=false"], ["b=TRUE", "b=FALSE"]):
        net = ln.MLP([ln.Dense([[1.0, -1.0]])], feature_names=names)
        net.save("net.safetensors")
        pq.write_table(pa.table({"b": [True, False]}), "x.parquet")
        Path("x.csv").write_text("b\nTrue\nFalse\n")
        assert main(["predict", "net.safetensors", f"x.{kind}", "-o", "y.npy"]) == 0
        assert np.load("y.npy").ravel().tolist() == [1, -1]
    # Names that differ in nothing else are texts, each of its own.
    net = ln.MLP([ln.Dense([[1.0, -1.0]])], feature_names=["b=True", "b=TRUE"])
    net.save("net.safetensors")
    message = refused(capsys, "predict", "net.safetensors", f"x.{kind}", "-o", "z.npy")
    assert "is none of the network's categories 'True', 'TRUE'" in message
