"""``laminet train`` over cells that one program writes so and another otherwise."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import predicted, refused
from command_train import in_folder, rows_of_csv, train

import laminet as ln
from laminet.cli import main

__all__ = ["in_folder"]  # a fixture

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 120))
K = RNG.integers(0, 3, 120)
FLAG = A + B > 0
FAST = ("--epochs", "2")


def write(frame: pd.DataFrame, name: str = "x") -> None:
    frame.to_csv(f"{name}.csv", index=False)
    frame.to_parquet(f"{name}.parquet")


@pytest.mark.parametrize("options", [(), ("--categories", "flag")], ids=str)
@pytest.mark.parametrize("learnt", ["x.csv", "x.parquet", "lower.csv"])
def test_truth_values_are_the_same_in_every_file(
    learnt: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """pandas writes True in .csv, others true or TRUE; .parquet has bits."""
    frame = pd.DataFrame({"a": A, "flag": FLAG, "price": 2 * A + FLAG})
    write(frame)
    for name, texts in (("lower", ("false", "true")), ("upper", ("FALSE", "TRUE"))):
        frame.assign(flag=np.where(FLAG, *texts[::-1])).to_csv(f"{name}.csv", index=False)
    text = train(capsys, "price", *options, *FAST, source=learnt)
    assert ("3 features from 2 columns" if options else "2 features") in text
    net = ln.load("net.safetensors")
    if not options:
        assert net.feature_names == ("a", "flag")
    answers = [
        predicted(source, "y.npy") for source in ("x.parquet", "x.csv", "lower.csv", "upper.csv")
    ]
    for answer in answers[1:]:
        assert np.array_equal(answer, answers[0])
    if not options:
        expected = net(np.column_stack([A, FLAG]))
        np.testing.assert_allclose(answers[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [(), ("--missing", "mean")], ids=str)
def test_truth_values_with_gaps(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = pd.array(np.where(K == 0, None, FLAG), dtype="boolean")
    write(pd.DataFrame({"a": A, "flag": flags, "price": 2 * A}))
    if not options:
        assert "column 'flag': the value is missing" in refused(
            capsys, "train", "x.csv", "--target", "price", "-o", "net.safetensors"
        )
        return
    train(capsys, "price", *options, *FAST, source="x.csv")
    assert np.array_equal(predicted("x.csv", "y.npy"), predicted("x.parquet", "y.npy"))


def test_a_target_of_truth_values(capsys: pytest.CaptureFixture[str]) -> None:
    write(pd.DataFrame({"a": A, "b": B, "u": FLAG, "v": K > 0}))
    for source in ("x.csv", "x.parquet"):
        text = train(capsys, "u", "--ignore", "v", *FAST, source=source)
        assert "Classes of u: False, True." in text
        assert ln.load("net.safetensors").outputs == ln.Classes([False, True])
        text = train(capsys, "u,v", *FAST, source=source)
        assert "Labels to predict: u, v" in text
        assert ln.load("net.safetensors").outputs == ln.Labels(["u", "v"])


LARGE = [str(2**53 + i) for i in range(3)]
ARABIC = ["\u0660", "\u0661", "\u0662"]


@pytest.mark.parametrize("names", [["007", "7", "07"], LARGE, ARABIC], ids=ascii)
def test_names_that_look_like_numbers_stay_apart(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As numbers some are equal, and none would be written as it was read."""
    Path("x.csv").write_text(
        "a,b,y\n" + "".join(f"{a},{b},{names[k]}\n" for a, b, k in zip(A, B, K, strict=True))
    )
    text = train(capsys, "y", *FAST, source="x.csv")
    assert f"Classes of y: {', '.join(sorted(names))}." in text
    assert ln.load("net.safetensors").outputs == ln.Classes(sorted(names))
    assert main(["predict", "net.safetensors", "x.csv", "-o", "y.csv", "--classes"]) == 0
    assert {row[0] for row in rows_of_csv("y.csv")[1:]} <= set(names)


def test_whole_numbers_of_parquet_that_float64_does_not_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(pd.DataFrame({"a": A, "b": B, "y": 2**53 + K}))
    train(capsys, "y", *FAST, source="x.parquet")
    expected = ln.Classes([str(2**53 + i) for i in range(3)])
    assert ln.load("net.safetensors").outputs == expected


def test_commands_that_are_shown_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files and columns have blanks, quotes and commas."""
    frame = pd.DataFrame({"the a": A, "it's, b": B, "the, price": 2 * A - B})
    frame.to_csv("my table.csv", index=False)
    command = ["train", "my table.csv", "-o", "my net.safetensors", *FAST]
    assert main([*command, "--target", '"the, price"']) == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(shown)[0] == "laminet"
    assert main(shlex.split(shown)[1:]) == 0
    assert Path("predicted.csv").exists()
    said = refused(capsys, *command, "--target", "the, price")
    assert "names with commas go in quotes: '\"the, price\"'; the columns are" in said
    frame["it's, b"] = np.where(K == 0, "x", B.astype(str))
    frame.to_csv("my table.csv", index=False)
    said = refused(capsys, *command, "--target", '"the, price"')
    option = said[said.index("--categories") :].removesuffix(" takes all of them as texts\n")
    assert shlex.split(option) == ["--categories", '"it\'s, b"']


def test_another_separator_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a;b;price\n1;2;3\n")
    command: list[Any] = ["train", "x.csv", "--target", "price", "-o", "net.safetensors"]
    assert "names it: --separator ';' takes what is between" in refused(capsys, *command)
