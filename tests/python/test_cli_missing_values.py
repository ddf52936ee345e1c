"""Missing values from ``laminet train`` to ``laminet predict``: the table that trained is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import refused
from command_train import ROWS, in_folder, rows_of_csv, train

import laminet as ln
from laminet.cli import main
from laminet.cli.learning.lesson import Choices, lesson_of
from laminet.files.safetensors_files import save, stand_ins
from laminet.files.tables import read_table

__all__ = ["in_folder"]  # a fixture

#: Cells of ``t.csv`` without a value: rows from 0, and what stands there.
AGES = {7: "", 30: "NA", 31: "nan"}
COLORS = {9: "", 30: "?"}
WITH_GAPS = sorted({*AGES, *COLORS})


@pytest.fixture(autouse=True)
def gaps(in_folder: None) -> None:
    cells = rows_of_csv("t.csv")
    for column, values in ((2, AGES), (0, COLORS)):
        for row, text in values.items():
            cells[row + 1][column] = text
    Path("t.csv").write_text("\n".join(map(",".join, cells)))


def features() -> np.ndarray:
    """The features of all rows in the network's order, NaN where a value is missing."""
    rows = rows_of_csv("t.csv")[1:]
    colors = [cells[0] for cells in rows]
    x = np.array([[c == color for color in ("green", "light blue", "red")] for c in colors], float)
    x[sorted(COLORS)] = np.nan
    sizes = np.array([[cells[1] == size for size in "LS"] for cells in rows], float)
    numbers = [[np.nan if i in AGES else float(c[2]), float(c[3])] for i, c in enumerate(rows)]
    return np.column_stack([x, sizes, numbers]).astype(np.float32)


def predict(*options: str, source: str = "t.csv", output: str = "p.csv") -> None:
    assert main(["predict", "net.safetensors", source, "-o", output, *options]) == 0


def numbers(path: str = "p.csv") -> np.ndarray:
    return np.array([[float(cell) for cell in row] for row in rows_of_csv(path)], np.float32)


def filled(net: ln.MLP) -> np.ndarray:
    """What the network makes of the rows with means of the training part for what is missing."""
    choices = Choices(["price"], ignore=["kind"], missing="mean")
    lesson = lesson_of(read_table("t.csv", "csv"), choices, net.dtype, 0.2, 0.2, 0)
    x = features()
    means = lesson.training.x.mean(axis=0)  # where a mean stands it changes none
    return net(np.where(np.isnan(x), means, x).astype(np.float32))


def test_means_that_it_learnt_with(capsys: pytest.CaptureFixture[str]) -> None:
    text = train(capsys, "price", "--missing", "mean", "--epochs", "2")
    assert text.endswith(
        "laminet predict net.safetensors t.csv -o predicted.csv\n"
        "Missing values of samples are taken to be the means of what it learnt from.\n"
    )
    net = ln.load("net.safetensors")
    predict()
    error = capsys.readouterr().err
    # three ages, and the three features of two colors
    known = "filled in with the means that net.safetensors knows"
    assert error == f"laminet: t.csv: 9 missing values are {known}\n"
    # Means in float64 from two sums: some roundings of float32 further on.
    np.testing.assert_allclose(numbers(), filled(net), rtol=1e-5)
    assert np.isfinite(numbers()).all()
    predict("--missing", "mean", "--keep", "size")
    assert [float(row[1]) for row in rows_of_csv("p.csv")[1:]] == numbers_of(net)


def numbers_of(net: ln.MLP) -> list[float]:
    predict()
    return [float(row[0]) for row in rows_of_csv("p.csv")]


def test_rows_that_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    text = train(capsys, "price", "--missing", "drop", "--epochs", "2")
    assert text.endswith("t.csv -o predicted.csv --missing drop\n")
    net = ln.load("net.safetensors")
    assert stand_ins("net.safetensors") is None
    predict("--missing", "drop", "--keep", "age,size")
    assert capsys.readouterr().err == "laminet: t.csv: 4 rows with missing values are left out\n"
    rows = rows_of_csv("p.csv")
    left = np.delete(np.arange(ROWS), WITH_GAPS)
    given = rows_of_csv("t.csv")[1:]
    assert [row[:2] for row in rows[1:]] == [[given[i][2], given[i][1]] for i in left]
    found = np.array([[float(row[2])] for row in rows[1:]], np.float32)
    # The command computes in blocks of another size, and writes every digit.
    np.testing.assert_array_equal(found, net(features()[left]))
    error = refused(capsys, "predict", "net.safetensors", "t.csv", "-o", "no.csv")
    assert "t.csv: line 9: column 3: the cell is empty; --missing drop leaves such" in error


def test_who_refuses_may_ask_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "price", "--missing", "mean", "--epochs", "1")
    command = ("predict", "net.safetensors", "t.csv", "-o", "no.csv", "--missing", "refuse")
    assert "line 9: column 3: the cell is empty" in refused(capsys, *command)
    predict("--missing", "drop")
    assert len(rows_of_csv("p.csv")) == ROWS - len(WITH_GAPS)


@pytest.mark.parametrize("rows", [[7], [9], range(ROWS)], ids=["an age", "a color", "all"])
def test_parquet(rows: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """As .csv: numbers and truth values without a value, and texts."""
    cells = rows_of_csv("t.csv")[1:]
    age = [None if row in AGES else int(c[2]) for row, c in enumerate(cells)]
    columns = {
        "color": pa.array([None if i in COLORS else c[0] for i, c in enumerate(cells)]),
        "large": pa.array([None if i == 30 else c[1] == "L" for i, c in enumerate(cells)]),
        "age": pa.array(age, pa.int32()),
        "price": pa.array([float(c[4]) for c in cells]),
    }
    pq.write_table(pa.table(columns), "t.parquet")
    train(capsys, "price", "--missing", "mean", "--epochs", "1", source="t.parquet")
    net, means = ln.load("net.safetensors"), stand_ins("net.safetensors")
    assert net.feature_names == (
        "color=green", "color=light blue", "color=red", "large", "age"
    )  # fmt: skip
    x = np.column_stack([features()[:, :3], features()[:, 3], features()[:, 5]])
    x[30, 3] = np.nan
    pq.write_table(pa.table(columns).take(list(rows)), "part.parquet")
    predict(source="part.parquet", output="p.npy")
    x = x[list(rows)]
    expected = net(np.where(np.isnan(x), means, x).astype(np.float32))
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    predict("--missing", "drop", "--keep", "color", source="part.parquet", output="p.parquet")
    left = ~np.isnan(x).any(axis=1)
    assert pq.read_table("p.parquet").num_rows == left.sum()
    assert capsys.readouterr().err.count("\n") == 2  # means, then rows left out
    command = ("predict", "net.safetensors", "part.parquet", "-o", "n.csv", "--missing", "refuse")
    assert "the value is missing" in refused(capsys, *command)


def test_npy(capsys: pytest.CaptureFixture[str]) -> None:
    table = np.column_stack([features()[:, 4:], np.arange(ROWS) % 7])
    np.save("t.npy", table)
    train(capsys, "4", "--task", "numbers", "--missing", "mean", "--epochs", "1", source="t.npy")
    net, means = ln.load("net.safetensors"), stand_ins("net.safetensors")
    x = table[:, :3].astype(np.float32)
    columns = ("--columns", "1,2,3")
    predict(*columns, source="t.npy", output="p.npy")
    expected = net(np.where(np.isnan(x), means, x).astype(np.float32))
    np.testing.assert_array_equal(np.load("p.npy"), expected)
    predict(*columns, "--missing", "drop", source="t.npy", output="p.npy")
    left = ~np.isnan(x).any(axis=1)
    np.testing.assert_array_equal(np.load("p.npy"), net(x[left]))
    capsys.readouterr()
    command = ("predict", "net.safetensors", "t.npy", "-o", "n.npy", *columns)
    assert "t.npy: row 8: a value is NaN" in refused(capsys, *command, "--missing", "refuse")
    np.save("one.npy", x[7])
    command = ("predict", "net.safetensors", "one.npy", "-o", "n.npy")
    error = refused(capsys, *command, "--missing", "drop")
    assert "one.npy: its one sample has a missing value" in error
    predict(source="one.npy", output="p.npy")
    np.testing.assert_array_equal(np.load("p.npy"), expected[7])


def test_a_sample_without_a_label_is_named_by_its_own_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(capsys, "kind", "--ignore", "price,color", "--missing", "drop", "--epochs", "1")
    cells = rows_of_csv("t.csv")
    cells[60][3] = "inf"  # of both signs within the network
    Path("t.csv").write_text("\n".join(map(",".join, cells)))
    command = ("predict", "net.safetensors", "t.csv", "-o", "no.csv", "--classes")
    error = refused(capsys, *command, "--missing", "drop")
    assert "t.csv: line 61: the sample has a NaN among its outputs" in error


def test_what_no_file_says(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "price", "--missing", "drop", "--epochs", "1")
    command = ("predict", "net.safetensors", "t.csv", "-o", "no.csv", "--missing", "mean")
    error = refused(capsys, *command)
    assert "--missing mean: net.safetensors knows no means of its features; laminet train" in error


def test_text_that_is_neither_is_refused_still(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "price", "--missing", "mean", "--epochs", "1")
    for row, column, text, message in (
        (60, 2, "old", "line 61: column 3: 'old' is not a number"),
        (61, 0, "pink", "line 62: column 1: 'pink' is none of the network's categories"),
        (62, 3, "1e60", "line 63: column 4: 1e60 is beyond the largest number of float32"),
    ):
        cells = rows_of_csv("t.csv")
        cells[row][column] = text
        Path("x.csv").write_text("\n".join(map(",".join, cells)))
        assert message in refused(capsys, "predict", "net.safetensors", "x.csv", "-o", "no.csv")


def test_a_category_may_be_called_as_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the column was said to hold texts, whatever they look like."""
    train(capsys, "price", "--missing", "mean", "--categories", "color", "--epochs", "1")
    net = ln.load("net.safetensors")
    assert net.feature_names[0] == "color=?"
    predict()
    # three ages, and the four features of one color
    assert "t.csv: 7 missing values are filled in" in capsys.readouterr().err


def test_means_go_along_to_other_files(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "price", "--missing", "mean", "--epochs", "1")
    means = stand_ins("net.safetensors")
    assert main(["convert", "net.safetensors", "other.safetensors", "--dtype", "float64"]) == 0
    assert np.array_equal(stand_ins("other.safetensors"), means)
    assert ln.load("other.safetensors").dtype == np.float64
    ln.load("net.safetensors").save("again.safetensors")  # a network has none
    assert stand_ins("again.safetensors") is None


def test_a_chain_of_dense_layers_may_have_them(tmp_path: Path) -> None:
    net = ln.MLP.init([2, 3, 1], seed=0)
    save(net, "chain.safetensors", missing=[0.1, -2])
    assert ln.load("chain.safetensors") == net
    assert stand_ins("chain.safetensors").tolist() == [0.1, -2.0]


@pytest.mark.parametrize("wrong", [None, [1.0], [1, "2"], [True, 1], [1, 10**400], {"0": 1}])
def test_damaged_ones_are_refused(wrong: object) -> None:
    save(ln.MLP.init([2, 3, 1], seed=0), "n.safetensors", missing=[0.125, -2])
    data = Path("n.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    words = header["__metadata__"]["laminet"]
    header["__metadata__"]["laminet"] = words.replace("[0.125, -2.0]", json.dumps(wrong))
    text = json.dumps(header).encode()
    Path("n.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(ln.FormatError, match="metadata 'laminet': missing: "):
        ln.load("n.safetensors")
