"""``laminet train`` over tables that nothing can be learnt from: one line, and no file."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import refused
from command_train import in_folder, train

import laminet as ln
from laminet.cli import main

__all__ = ["in_folder"]  # a fixture


def message(capsys: pytest.CaptureFixture[str], table: str, *options: str) -> str:
    """What is said of a table of .csv whose target is y, unless options say more."""
    Path("x.csv").write_text(table)
    command = ["train", "x.csv", "-o", "net.safetensors"]
    if "--target" not in options:
        command += ["--target", "y"]
    return refused(capsys, *command, *options).removeprefix("laminet: error: ")


def rows(count: int, row: str = "{i},{i}") -> str:
    return "".join(row.format(i=i, text=f"t{i}") + "\n" for i in range(count))


TABLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "nothing": ("", (), "x.csv: the file is empty"),
    "blank lines": ("\n\n", (), "x.csv: the file is empty"),
    "a heading": ("a,y\n", (), "x.csv: 0 samples"),
    "one row": ("a,y\n1,2\n", (), "column 'y' is 2 in the only row: there is nothing to learn"),
    "two rows": ("a,y\n1,2.5\n3,4\n", (), "--test 0.2 of 2 samples is none: --test 0 holds out n"),
    "too few": (
        "a,y\n" + rows(3),
        ("--test", "0.4", "--validation", "0.6"),
        "--test 0.4 and --validation 0.6 of 3 samples leave none to learn from",
    ),
    "a constant number": ("a,y\n" + rows(9, "{i},2.5"), (), "column 'y' is 2.5 in every row"),
    "a constant text": ("a,y\n" + rows(9, "{i},no"), (), "column 'y' is 'no' in every row"),
    "no such target": ("a,b\n1,2\n", (), "no column 'y', and --target names it; the columns are"),
    "no heading": ("1,2\n3,4\n", (), "no heading, so --target takes the numbers of columns, 1 for"),
    "no such number": (
        "1,2\n3,4\n",
        ("--target", "3"),
        "there are 2 columns, and --target names 3",
    ),
    "the target alone": ("y\n1\n2\n", (), "x.csv: no column is left to learn from"),
    "two of the name": ("a,y,y\n1,2,3\n", (), "x.csv: two columns are named 'y'"),
    "two features of the name": ("a,a,y\n1,2,3\n4,5,6\n", (), "two columns are named 'a'"),
    "no name": (
        ",a,y\n5,1,2\n1,2,3\n",
        ("--columns", "1"),
        "column 1 has no name, and a network knows its features by theirs",
    ),
    "decimal commas": (
        "a;b;y\n1;2;3\n4;5,5;6\n",
        ("--separator", ";"),
        "line 3, column 'b': '5,5' has a comma, and numbers are read with a decimal point and",
    ),
    "decimal commas of a target": (
        "a;y\n1;0,5\n4;1,5\n",
        ("--separator", ";"),
        "line 2, column 'y': '0,5' has a comma, and numbers are read with a decimal point and",
    ),
    "another separator": (
        "a;y\n1,5;2\n",
        (),
        "line 2: 2 columns, the first line has 1: --separator ';' takes what is between its names",
    ),
    "titles": (
        "a,b,y\n" + rows(101, "{i}.5,{text},{i}") + "3,1,2\n",
        (),
        "column 'b' holds 102 different texts in 102 rows, rather names than categories",
    ),
    "a slip among many numbers": (
        "a,b,y\n" + rows(101, "{i}.5,{i},{i}") + "3,12x,2\n",
        (),
        "line 103, column 'b': '12x' is not a number, and line 2 holds 0",
    ),
    "names": (
        "a,name,y\n" + rows(101, "{i},{text},{i}"),
        (),
        "column 'name' holds 101 different texts in 101 rows, rather names than categories",
    ),
    "few names": (
        "a,name,n 2,y\n" + rows(11, "{i}.5,{text},x{text},{i}"),
        (),
        "column 'n 2' holds 11 different texts in 11 rows, rather names than categories: --ignore "
        "'name,n 2' leaves them out, --categories takes them as they are",
    ),
    "a slip": (
        "a,y\n1,2\n12x,3\n5,4\n",
        (),
        "line 3, column 'a': '12x' is not a number, and line 2 holds 1: --categories a takes all",
    ),
    "a slip in the target": (
        "a,y\n1,no\n2,3\n5,4\n",
        (),
        "line 2, column 'y': 'no' is not a number, and line 3 holds 3: --task classes takes all of",
    ),
    "text for a number": (
        "a,y\n1,no\n2,yes\n",
        ("--task", "numbers"),
        "line 2, column 'y': 'no' is not a number, and --task says numbers",
    ),
    "text among targets": (
        "a,y,z\n1,2,no\n2,3,yes\n",
        ("--target", "y,z"),
        "line 2, column 'z': 'no' is not a number, and several targets are numbers",
    ),
    "nothing that varies": (
        "a,b,y\n" + rows(9, "2,no,{i}.5"),
        (),
        "nothing is left to learn from: 2 columns are the same in every row and left out: 'a', 'b'",
    ),
    "a slip in a name": (
        "a,price\n1,2\n",
        ("--target", "prise"),
        "no column 'prise', and --target names it; did you mean 'price'? the columns are",
    ),
    "numbers as labels": (
        "a,y,z\n1,1,0\n2,0,3\n",
        ("--target", "y,z", "--task", "labels"),
        "line 3, column 'z': 3 is neither 0 nor 1, and --task says labels",
    ),
    "text as labels": (
        "a,y,z\n1,1,0\n2,0,x\n",
        ("--target", "y,z", "--task", "labels"),
        "line 3, column 'z': 'x' is not a number, and --task says labels",
    ),
    "classes in two columns": (
        "a,y,z\n1,2,3\n2,3,4\n",
        ("--target", "y,z", "--task", "classes"),
        "--task classes: classes stand in one column, not in several; --task labels takes",
    ),
    "too many classes": (
        "a,y\n" + rows(9, "{i},{text}"),
        (),
        "column 'y' holds 9 different values in 9 rows, which is too many for classes",
    ),
    "a target that is NaN": (
        "a,y\n1,2\n2,nan\n3,4.5\n",
        (),
        "line 3, column 'y': the target is missing: --missing drop leaves such rows out",
    ),
    "all targets missing": (
        "a,y\n1,NA\n2,\n",
        ("--missing", "drop"),
        "x.csv: every row has a missing value",
    ),
    "an infinite target": ("a,y\n1,2\n2,inf\n", (), "line 3, column 'y': the target is infinite"),
    "a target beyond float32": (
        "a,y\n1,2\n2,1e39\n",
        (),
        "line 3, column 'y': 1e+39 is beyond the largest number of float32, the network's type",
    ),
    "a missing value": (
        "a,b,y\n1,1,2\n2,,3\n3,nan,4.5\n",
        (),
        "line 3, column 'b': the value is missing, as in 2 of 3 rows one or more are",
    ),
    "a column without values": (
        "a,b,y\n" + rows(9, "{i},,{i}"),
        ("--missing", "mean"),
        "column 'b' has no values: --ignore b leaves it out",
    ),
    "one value, which is held out": (
        "a,b,y\n" + rows(30, "{i},,{i}") + "1,5,2\n1,6,2\n",
        ("--missing", "mean", "--seed", "2"),
        "column 'b' has no values among the 20 rows to learn from: --ignore b leaves it out",
    ),
    "categories without values": (
        "a,b,y\n" + rows(9, "{i},,{i}"),
        ("--categories", "b"),
        "column 'b' has no values: --ignore b leaves it out",
    ),
    "numbers near 0": (
        "a,y\n" + rows(9, "{i}e-42,{i}"),
        (),
        "column 'a' has a standard deviation of 2.42e-42, which float32 cannot scale to 1",
    ),
    "a deviation beyond float64": (
        "a,y\n" + rows(9, "{i},{i}.5e200"),
        ("--dtype", "float64"),
        "column 'y' has a standard deviation of inf, which float64 cannot scale to 1",
    ),
    "an infinity": ("a,y\n1,2\n-inf,3\n", (), "line 3, column 'a': the value is infinite"),
    "a number beyond float32": (
        "a,y\n1,2\n-1e39,3\n",
        (),
        "line 3, column 'a': -1e+39 is beyond the largest number of float32",
    ),
    "text without a heading": (
        "no,1\nyes,2\n",
        ("--target", "2"),
        "column 1 holds text, and there is no heading: a network knows categories by the name",
    ),
    "a category that is a column": (
        "a,a=x,y\nx,1,2\nz,2,3\n",
        (),
        "a category would have the name of another feature, 'a=x'",
    ),
    "a category of two columns": (
        "a,a=x,y\nx=x,x,2\nz,x,3\n",
        (),
        "feature 'a=x=x' may be a category of the column 'a' or of 'a=x'",
    ),
    "rows of other widths": ("a,y\n1,2\n1,2,3\n", (), "line 3: 3 columns, the first line has 2"),
    "an open quote": ('a,y\n1,"2\n', (), "line 2: a quote is not closed"),
    "a quote within": ('a,y\n1,2\n1"3"x,"2"x\n', (), "line 3: a quote or a line break where none"),
    "ignored and aimed at": (
        "a,y\n1,2\n",
        ("--ignore", "y"),
        "--ignore names 'y', and --target does, too",
    ),
    "used and aimed at": (
        "a,y\n1,2\n",
        ("--columns", "a,y"),
        "--columns names 'y', and --target does, too",
    ),
    "named twice": ("a,y\n1,2\n", ("--columns", "a,1"), "--columns names 'a' twice"),
    "a category that is ignored": (
        "a,b,y\n1,2,3\n",
        ("--ignore", "b", "--categories", "b"),
        "--categories names 'b', which is no feature",
    ),
}


@pytest.mark.parametrize(("table", "options", "words"), TABLES.values(), ids=TABLES)
def test_hostile_tables(
    table: str, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = message(capsys, table, *options)
    assert words in error
    assert error.startswith(("x.csv: ", "--"))


def test_columns_of_parquet_that_are_neither(capsys: pytest.CaptureFixture[str]) -> None:
    when = [datetime.datetime(2020, 1, day) for day in range(1, 9)]
    pq.write_table(pa.table({"when": when, "y": np.arange(8.0), "of": [[1]] * 8}), "x.parquet")
    command = ["train", "x.parquet", "-o", "net.safetensors", "--target"]
    error = refused(capsys, *command, "y", "--columns", "when")
    assert "column 'when' holds timestamp[us], neither numbers nor text: --ignore when" in error
    error = refused(capsys, *command, "of", "--ignore", "when")
    assert "column 'of' holds list<" in error
    Path("x.parquet").write_bytes(b"PAR1 and no more")
    assert "x.parquet: not a .parquet file, or a damaged one" in refused(capsys, *command, "y")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(3), "of shape (rows, columns), and this one is float64 of shape (3,)"),
        (np.zeros((3, 2, 2)), "and this one is float64 of shape (3, 2, 2)"),
        (np.zeros((3, 2), complex), "and this one is complex128 of shape (3, 2)"),
        (np.array([["a", "b"]]), "and this one is <U1 of shape (1, 2)"),
        (np.zeros((0, 2)), "x.npy: 0 samples"),
        (np.zeros((3, 1)), "there are 1 columns, and --target names 2"),
    ],
)
def test_arrays_that_are_no_tables(
    array: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", array)
    command = ["train", "x.npy", "-o", "net.safetensors", "--target", "2"]
    assert words in refused(capsys, *command)


def test_an_array_that_ends_early(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.zeros((3, 2)))
    Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:-1])
    error = refused(capsys, "train", "x.npy", "-o", "net.safetensors", "--target", "2")
    assert "its header promises 48 bytes, and 47 follow it" in error


def test_a_class_with_one_sample_is_learnt_from(capsys: pytest.CaptureFixture[str]) -> None:
    table = "a,y\n" + rows(30, "{i},no") + rows(30, "-{i},yes") + "99,perhaps\n"
    Path("x.csv").write_text(table)
    text = train(capsys, "y", source="x.csv")
    assert "Of the class 'perhaps' there is 1 sample to learn from." in text
    assert ln.load("net.safetensors").outputs == ln.Classes(["no", "perhaps", "yes"])


def test_two_columns_that_are_equal_are_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    """The linear model has no single solution then."""
    Path("x.csv").write_text("a,b,y\n" + rows(60, "{i}.5,{i}.5,{i}.25"))
    text = train(capsys, "y", "--hidden", "0", source="x.csv")
    (line,) = [line for line in text.splitlines() if "least squares" in line]
    assert line.split()[-1] == "1.000"


def test_columns_that_tell_nothing_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text(",a,b,c,n,y\n" + rows(60, "{text},{i}.5,7,same,{i},{i}.25"))
    text = train(capsys, "y", "--epochs", "2", source="x.csv")
    assert "\nColumn 1 has no name and is left out.\n" in text
    assert "\n2 columns are the same in every row and left out: 'b', 'c'.\n" in text
    assert "\nColumn 'n' only numbers the rows: --ignore n leaves it out.\n" in text
    assert ln.load("net.safetensors").feature_names == ("a", "n")
    text = train(capsys, "y", "--epochs", "2", "--columns", "b,n,a", source="x.csv")
    assert "\nColumn 'b' is the same in every row and left out.\n" in text
    assert "only numbers" not in text
    assert ln.load("net.safetensors").feature_names == ("n", "a")


def test_a_column_that_numbers_the_rows_may_be_all_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("x.csv").write_text("n,y\n" + rows(30, "{i},{i}.25"))
    assert "only numbers the rows" not in train(capsys, "y", "--epochs", "2", source="x.csv")


def test_gaps_filled_with_the_mean_make_no_column_vary(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a,b,y\n" + rows(30, "{i}.5,7,{i}.25") + "1,,2\n")
    text = train(capsys, "y", "--epochs", "2", "--missing", "mean", source="x.csv")
    assert "Column 'b' is the same in every row and left out." in text
    assert ln.load("net.safetensors").feature_names == ("a",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["t.csv", "-o", "net.onnx"], "OUTPUT net.onnx: the name must end in .safetensors"),
        (["t.csv", "-o", "-"], "OUTPUT -: the name must end in .safetensors"),
        (["t.csv", "-o", ""], "OUTPUT '': the name must end in .safetensors"),
        (["t.csv", "-o", "no/net.safetensors"], "there is no directory no"),
        (["t.txt", "-o", "n.safetensors"], "DATA t.txt: the name must end in .csv, .parquet or"),
        (["missing.csv", "-o", "n.safetensors"], "missing.csv: No such file or directory"),
        (
            ["t.csv", "-o", "n.safetensors", "--format", "npy"],
            "name of the file says otherwise",
        ),
        (["t.npy", "-o", "n.safetensors", "--separator", ";"], "--separator is for .csv"),
        (
            ["t.csv", "-o", "n.safetensors", "--optimizer", "lbfgs", "--learning-rate", "1"],
            "--learning-rate has no meaning for lbfgs, which looks at all samples",
        ),
        (
            ["t.csv", "-o", "n.safetensors", "--optimizer", "lbfgs", "--batch-size", "1"],
            "--batch-size has no meaning for lbfgs",
        ),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, "train", *arguments, "--target", "price")


def test_a_run_that_diverges_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "t.csv", "--target", "price", "-o", "n.safetensors"]
    assert main([*command, "--optimizer", "sgd", "--learning-rate", "1e30"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("laminet: error: the loss ")
    assert err.endswith("; nothing is written\n")
    assert sorted(os.listdir()) == ["t.csv"]


def test_classes_are_no_least_squares(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(
        capsys,
        *("train", "t.csv", "--target", "kind", "-o", "n.safetensors"),
        *("--optimizer", "levenberg_marquardt"),
    )
    assert "--optimizer levenberg_marquardt makes squares of errors small, and t.csv has" in error


def test_a_table_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("t.csv").read_bytes()
    Path("link.safetensors").symlink_to("t.csv")
    error = refused(capsys, "train", "t.csv", "--target", "price", "-o", "link.safetensors")
    assert "OUTPUT link.safetensors is DATA: it would be overwritten" in error
    assert Path("t.csv").read_bytes() == before
    Path("d.safetensors").mkdir()
    error = refused(capsys, "train", "t.csv", "--target", "price", "-o", "d.safetensors")
    assert "a directory, not a file to write" in error
    for other in ("./n.svg", "n.svg"):
        Path("n.safetensors").unlink(missing_ok=True)
        Path("n.safetensors").symlink_to("n.svg")
        command = ["train", "t.csv", "--target", "price", "-o", "n.safetensors"]
        assert "is OUTPUT: one would" in refused(capsys, *command, "--plot", other)


def test_a_folder_that_cannot_be_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even by root, for whom the tests of a container run."""
    error = refused(capsys, "train", "t.csv", "--target", "price", "-o", "/proc/n.safetensors")
    assert re.search(r"OUTPUT /proc/n.safetensors: .+, so nothing can be written there", error)
