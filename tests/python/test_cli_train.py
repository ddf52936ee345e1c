"""``laminet train``: what it makes of a table, what it says of it, and that predict reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import refused
from command_train import ROWS, in_folder, rows_of_csv, train, write_csv

import laminet as ln
from laminet.cli import main
from laminet.cli.learning.lesson import Choices, lesson_of
from laminet.cli.learning.targets import targets_of
from laminet.files.tables import read_table

__all__ = ["in_folder"]  # a fixture


def predicted(source: str, *options: str) -> list[list[str]]:
    assert main(["predict", "net.safetensors", source, "-o", "p.csv", *options]) == 0
    return rows_of_csv("p.csv")


def figures(text: str, model: str) -> list[float]:
    """The figures in the closing table's line of a model."""
    (line,) = [line for line in text.splitlines() if model in line]
    return [float(t) for t in re.findall(r"-?\d+\.\d+|\d+", line.split(model)[1].replace(",", ""))]


def test_numbers_from_numbers_and_texts(capsys: pytest.CaptureFixture[str]) -> None:
    text = train(capsys, "price")
    assert f"t.csv: {ROWS} samples, 7 features from 4 columns. Numbers to predict: price. " in text
    assert "240 samples to learn from, 80 to stop by, 80 to test with." in text
    assert "On the 80 samples that it has never seen:" in text
    net = ln.load("net.safetensors")
    assert net.feature_names == (
        *("color=green", "color=light blue", "color=red"),
        *("size=L", "size=S", "age", "w"),
    )
    assert net.outputs == ln.Quantities(["price"])
    assert net.dtype == np.float32
    assert "A network 7-64-64-1 in float32, " in text
    # What the table was made of is no sum over its columns, and the noise has deviation 1.
    own, linear = figures(text, "this network"), figures(text, "least squares")
    assert own[0] < linear[0] / 2
    assert own[2] > 0.9
    assert "The linear model does better" not in text
    found = np.array([float(row[0]) for row in predicted("t.csv")])
    price = np.array([float(row[4]) for row in rows_of_csv("t.csv")[1:]])
    assert np.sqrt(np.mean((found - price) ** 2)) < linear[0] / 2


@pytest.mark.parametrize(
    ("target", "ignored", "labels"),
    [("kind", "price", ["high", "low"]), ("code", "price,kind", [3, 7])],
)
def test_classes_of_texts_and_of_whole_numbers(
    target: str, ignored: str, labels: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv("t.csv", code=True)
    text = train(capsys, target, "--ignore", ignored if target == "code" else f"{ignored},code")
    assert f"Classes of {target}: {labels[0]}, {labels[1]}" in text
    assert ("(--task numbers takes them as numbers)" in text) == (target == "code")
    net = ln.load("net.safetensors")
    assert net.outputs == ln.Classes(labels)
    assert figures(text, "this network")[0] > 85 > figures(text, "always ")[0]
    found = predicted("t.csv", "--classes", "--keep", target)[1:]
    assert np.mean([own == said for own, said in found]) > 0.9


def test_several_targets(capsys: pytest.CaptureFixture[str]) -> None:
    text = train(capsys, "price,w", "--ignore", "kind", "--hidden", "8", "--epochs", "3")
    net = ln.load("net.safetensors")
    assert net.outputs == ln.Quantities(["price", "w"])
    assert net.out_features == 2
    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines if line[1:3] == ["this", "network"]] == ["price", "w"]
    assert len(predicted("t.csv")[0]) == 2


@pytest.mark.parametrize("options", [(), ("--task", "numbers")])
def test_several_labels(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of_csv("t.csv")[1:]
    lines = [
        f"{r[0]},{r[2]},{r[3]},{int(abs(float(r[3])) > 1)},{int(int(r[2]) > 40)}" for r in rows
    ]
    Path("x.csv").write_text("\n".join(["color,age,w,far,old", *lines]))
    command = ("--target", "old", "--epochs", "200", *options)
    text = train(capsys, "far", *command, source="x.csv")
    net = ln.load("net.safetensors")
    table = [line.split() for line in text.splitlines()]
    assert [line[0] for line in table if line[1:3] == ["this", "network"]] == ["far", "old"]
    if options:
        assert net.outputs == ln.Quantities(["far", "old"])
        return
    assert net.outputs == ln.Labels(["far", "old"])
    assert "Labels to predict: far, old (--task numbers takes their 0 and 1 as numbers). " in text
    assert min(float(line[3]) for line in table if line[1:3] == ["this", "network"]) > 90
    found = np.array(predicted("x.csv", "--classes"), float)
    assert (found == [[float(c) for c in line.split(",")[3:]] for line in lines]).mean() > 0.9


@pytest.mark.parametrize(
    ("values", "rows", "is_classes"),
    [
        (["0", "1"], 8, True),
        (["0.5", "1.5"], 60, False),
        (["0", "1", "2"], 15, True),
        (["0", "1", "2"], 12, False),
        ([str(i) for i in range(20)], 100, True),
        ([str(i) for i in range(21)], 105, False),
        (["", "1", "2"], 9, True),
    ],
)
def test_few_whole_numbers_are_classes(values: list[str], rows: int, is_classes: bool) -> None:
    Path("x.csv").write_text(
        "\n".join(["y,a", *(f"{values[i % len(values)]},1" for i in range(rows))])
    )
    table = read_table("x.csv", "csv", asked=["y"])
    found = targets_of(table, table.columns[:1], None, np.dtype(np.float32))
    assert found.task == ("classes" if is_classes else "numbers")


def test_epochs_without_a_validation_part(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing that would end more of them."""
    text = train(capsys, "price", "--validation", "0", "--hidden", "2")
    assert "epoch 100 of 100; " in text


def test_whole_numbers_can_be_numbers_and_categories(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv("t.csv", code=True)
    train(capsys, "code", "--task", "numbers", "--epochs", "1")
    assert ln.load("net.safetensors").outputs == ln.Quantities(["code"])
    train(capsys, "price", "--ignore", "kind", "--categories", "code", "--epochs", "1")
    names = ln.load("net.safetensors").feature_names or ()
    assert names[-2:] == ("code=3", "code=7")
    assert len(predicted("t.csv")) == ROWS
    train(capsys, "price", "--columns", "w", "--columns", "color", "--epochs", "1")
    names = ln.load("net.safetensors").feature_names or ()
    assert names == ("w", "color=green", "color=light blue", "color=red")


def test_texts_with_commas_and_many_texts_can_be_categories(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [f'"{(i % 3) or "x"},5",t{i},"{i % 2},5",{i}' for i in range(150)]
    Path("x.csv").write_text("\n".join(["mixed,many,y,a", *rows]))
    command = ("--categories", "many", "--task", "classes", "--epochs", "1")
    train(capsys, "y", *command, source="x.csv")
    net = ln.load("net.safetensors")
    assert net.outputs == ln.Classes(["0,5", "1,5"])
    assert net.feature_names is not None
    assert net.feature_names[:4] == ("mixed=1,5", "mixed=2,5", "mixed=x,5", "many=t0")
    assert net.in_features == 3 + 150 + 1
    train(capsys, "a", "--categories", "many,y", "--epochs", "1", source="x.csv")
    assert (ln.load("net.safetensors").feature_names or ())[-2:] == ("y=0,5", "y=1,5")


def test_what_is_learnt_from_what_stops_it_and_what_it_is_tested_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def fit(net: Any, x: Any, y: Any, **options: Any) -> Any:
        seen.extend([(x, y), options["validation"]])
        return ln.fit(net, x, y, **options)

    monkeypatch.setattr("laminet.cli.train.fit", fit)
    train(capsys, "kind", "--ignore", "price", "--epochs", "1", "--test", "0.25", "--seed", "3")
    choices = Choices(["kind"], ignore=["price"])
    table = read_table("t.csv", "csv", asked=["kind"])
    found = lesson_of(table, choices, np.dtype(np.float32), 0.25, 0.2, 3)
    for (x, y), part in zip(seen, (found.training, found.validation), strict=True):
        np.testing.assert_array_equal(x, part.x)
        np.testing.assert_array_equal(y, np.array(["high", "low"])[part.y])


def test_a_table_without_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Path("t.csv").read_text().splitlines()[1:]
    Path("t.csv").write_text("\n".join(lines))
    text = train(capsys, "6", "--ignore", "1,2,5")
    assert "Classes of column 6: high, low" in text
    assert ln.load("net.safetensors").feature_names is None
    command = text.strip().splitlines()[-1].split()
    assert command[-2:] == ["--columns", "3,4"]
    assert len(predicted("t.csv", "--classes", "--columns", "3,4")) == ROWS


def test_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    np.save("x.npy", np.asfortranarray(x))
    text = train(capsys, "2", "--hidden", "0", "--dtype", "float64", source="x.npy")
    assert "A network 2-1 in float64" in text
    assert "Numbers to predict: column 2" in text
    assert main(["predict", "net.safetensors", "x.npy", "-o", "y.npy", "--columns", "1,3"]) == 0
    assert np.load("y.npy").shape == (60, 1)


def test_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("t.csv") as file:
        monkeypatch.setattr("sys.stdin", file)
        text = train(capsys, "price", "--format", "csv", "--epochs", "1", source="-")
    assert "standard input: 400 samples" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--test", "0"), "80 samples by which the epoch was chosen, which flatters it"),
        (("--test", "0", "--validation", "0"), "400 samples that it was made from, which says"),
        (("--validation", "0"), "80 samples that it has never seen"),
    ],
)
def test_the_table_says_of_which_samples_it_is(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = train(capsys, "price", "--epochs", "3", *options)
    assert words in text
    end = "" if "--validation" in options else ", and it was still getting better (--epochs)"
    assert f"epoch 3 of 3{end}; " in text


def test_the_same_command_makes_the_same_network(capsys: pytest.CaptureFixture[str]) -> None:
    nets = []
    for options in ((), ("--threads", "1"), ("--seed", "1")):
        before = ln.get_num_threads()
        train(capsys, "price", "--epochs", "5", *options)
        assert ln.get_num_threads() == before
        nets.append(Path("net.safetensors").read_bytes())
    assert nets[0] == nets[1]
    assert nets[0] != nets[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon", "levenberg_marquardt"])
def test_optimizers(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = train(capsys, "price", "--optimizer", optimizer, "--hidden", "6", "--activation", "tanh")
    net = ln.load("net.safetensors")
    dense = [layer for layer in net.layers if isinstance(layer, ln.Dense)]
    assert [layer.activation.name for layer in dense] == ["tanh", "identity"]
    assert [layer.out_features for layer in dense] == [6, 1]
    assert figures(text, "this network")[0] < figures(text, "the mean")[0]


def test_muon_has_one_rate_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    """The first step of AdamW is the rate, and of scaled Muon a fifth of it, in the mean square."""
    options = ("--optimizer", "muon", "--epochs", "1", "--batch-size", "400", "--hidden", "6")
    last = []
    for rate in ("1e-12", "0.002"):
        train(capsys, "price", *options, "--learning-rate", rate)
        layers = ln.load("net.safetensors").layers
        last.append(next(layer for layer in reversed(layers) if isinstance(layer, ln.Dense)))
    start, learnt = last
    assert abs(learnt.bias - start.bias)[0] == pytest.approx(0.002, rel=0.01)
    step = start.weight * (1 - 0.002 * ln.optim.Muon().weight_decay) - learnt.weight
    # Five iterations make 0.697 of the one singular value.
    assert np.sqrt(np.mean(step**2)) == pytest.approx(0.697 * 0.2 * 0.002, rel=0.01)


def test_the_learning_rate_counts(capsys: pytest.CaptureFixture[str]) -> None:
    nets = []
    for rate in ("0.001", "0.002"):
        train(capsys, "price", "--epochs", "1", "--learning-rate", rate)
        nets.append(ln.load("net.safetensors"))
    assert nets[0] != nets[1]
    train(capsys, "price", "--epochs", "1")
    assert ln.load("net.safetensors") == nets[0]
    train(capsys, "price", "--epochs", "1", "--batch-size", "10")
    assert ln.load("net.safetensors") != nets[0]


def test_missing_values(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Path("t.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    cells[7][2] = ""  # the age
    cells[9][0] = "NA"  # the color
    Path("t.csv").write_text("\n".join(map(",".join, cells)))
    error = refused(capsys, "train", "t.csv", "--target", "price", "-o", "net.safetensors")
    assert "t.csv: line 8, column 'age': the value is missing, as in 2 of 400 rows" in error
    text = train(capsys, "price", "--missing", "drop", "--ignore", "kind", "--epochs", "1")
    assert "398 samples (2 rows with missing values are left out)" in text
    assert text.endswith("-o predicted.csv --missing drop\n")
    text = train(capsys, "price", "--missing", "mean", "--ignore", "kind", "--epochs", "1")
    assert "400 samples, 7 features" in text
    assert "Missing values of samples are taken to be the means" in text
    cells[4][4] = "?"  # the price
    Path("t.csv").write_text("\n".join(map(",".join, cells)))
    error = refused(
        capsys, *("train", "t.csv", "--target", "price", "-o", "n.safetensors", "--missing", "mean")
    )
    assert "t.csv: line 5, column 'price': the target is missing: --missing drop" in error
    text = train(capsys, "price", "--missing", "drop", "--ignore", "kind", "--epochs", "1")
    assert "397 samples (3 rows" in text


def test_the_learning_curve(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "price", "--epochs", "2", "--plot", "curve.png")
    assert Path("curve.png").read_bytes()[:4] == b"\x89PNG"
    for name, words in (
        ("curve.txt", "the name must end in .png, .svg, .pdf"),
        ("no/curve.png", "there is no directory no"),
    ):
        error = refused(
            capsys, "train", "t.csv", "--target", "price", "-o", "n.safetensors", "--plot", name
        )
        assert words in error


def test_it_is_quiet_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "t.csv", "--target", "price", "-o", "net.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()
    assert sorted(os.listdir()) == ["net.safetensors", "t.csv"]


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    for option, value, words in (
        ("--test", "1", "expected a share from 0 to below 1, got '1'"),
        ("--validation", "nan", "expected a share from 0 to below 1, got 'nan'"),
        ("--learning-rate", "0", "expected a number above 0, got '0'"),
        ("--hidden", "3,x", "expected whole numbers, got 'x'"),
        ("--seed", "-1", "expected a whole number from 0, got '-1'"),
        ("--activation", "rleu", "did you mean 'relu'?"),
        ("--optimizer", "adm", "did you mean 'adam'?"),
        ("--target", "a,,b", "'a,,b' is no list of names: one is empty"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["train", "t.csv", "--target", "price", "-o", "n.safetensors", option, value])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_columns_that_the_type_blurs_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Near 1.7e9 there is a float32 every 128, near 2^33 every 1024; 0.1 mostly is the same."""
    lines = [f"{1_700_000_000 + 7 * i},0.1,{i % 9},{2**33 + i}.5" for i in range(200)]
    Path("x.csv").write_text("time,same,a,y\n" + "\n".join([*lines, "1700000007,0.2,1,8589934600"]))
    options = ("--epochs", "2", "--seed", "2")  # which holds the last row out
    text = train(capsys, "y", *options, source="x.csv")
    for name in ("time", "y"):
        assert (
            f"\nColumn '{name}' has values so near to each other that float32 blurs them:" in text
        )
    assert text.count("blurs") == 2
    assert "blurs" not in train(capsys, "y", *options, "--dtype", "float64", source="x.csv")


@pytest.mark.parametrize("target", ["kind", "p\x1b[1m"])
def test_nothing_of_a_table_is_obeyed_by_a_terminal(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("\x1b[31mred", "green")
    lines = [f"{i},{kinds[i % 2]},{i}.5" for i in range(50)]
    Path("x.csv").write_text("a,kind,p\x1b[1m\n" + "\n".join(lines))
    text = train(capsys, target, "--epochs", "2", source="x.csv")
    assert "\x1b" not in text
    assert (r"\x1b[31mred" if target == "kind" else r"p\x1b[1m") in text


def test_patience_without_anything_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--target", "price", "-o", "n.safetensors", "--patience", "3", "--validation", "0")
    said = refused(capsys, "train", "t.csv", *options)
    assert "--patience is for the validation loss, and --validation 0 leaves none" in said


def test_a_network_too_large_for_its_optimizer(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--ignore", "kind", "--optimizer", "levenberg_marquardt", "--hidden", "3000,3000")
    assert main(["train", "t.csv", "--target", "price", "-o", "n.safetensors", *options]) == 2
    error = capsys.readouterr().err
    assert "--optimizer levenberg_marquardt: LevenbergMarquardt is for small networks" in error
