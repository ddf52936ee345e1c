"""``laminet train`` on data sets of scikit-learn, from .csv, .parquet and .npy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_train import rows_of_csv, train
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression

import laminet as ln
from laminet.cli import main
from laminet.cli.learning.lesson import Choices, lesson_of
from laminet.files.tables import read_table


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def figures(text: str, model: str) -> list[float]:
    """The figures in the closing table's line of a model."""
    (line,) = [line for line in text.splitlines() if model in line]
    return [float(t) for t in re.findall(r"-?\d+(?:\.\d+)?", line.split(model)[1])]


@pytest.mark.parametrize("form", ["csv", "parquet", "npy"])
def test_diabetes(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    frame = load_diabetes(as_frame=True).frame
    source, target = f"x.{form}", "11" if form == "npy" else "target"
    if form == "npy":
        np.save(source, frame.to_numpy())
    else:
        frame.to_csv(source, index=False) if form == "csv" else frame.to_parquet(source)
    text = train(capsys, target, "--hidden", "0", source=source)
    assert f"{source}: 442 samples, 10 features. " in text
    found = lesson_of(
        read_table(source, form, asked=[target]),
        Choices([target]),
        *(np.dtype(np.float32), 0.2, 0.2, 0),
    )
    y = found.test.y
    model = LinearRegression().fit(found.training.x, found.training.y)
    error = np.sqrt(np.mean((model.predict(found.test.x) - y) ** 2))
    # Three digits of them are shown.
    assert figures(text, "least squares")[0] == pytest.approx(error, rel=2e-3)
    assert figures(text, "the mean")[0] == pytest.approx(
        np.sqrt(np.mean((y - found.training.y.mean()) ** 2)), rel=2e-3
    )
    own = np.sqrt(np.mean((ln.load("net.safetensors")(found.test.x.astype("f")) - y) ** 2))
    assert figures(text, "this network")[0] == pytest.approx(own, rel=2e-3)
    assert own < 1.2 * error


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_breast_cancer(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_breast_cancer(as_frame=True)
    frame: Any = data.frame.assign(target=data.target_names[data.target])
    source = f"x.{form}"
    frame.to_csv(source) if form == "csv" else frame.to_parquet(source)
    text = train(capsys, "target", source=source)
    # pandas has written the numbers of rows, too.
    assert ("Column 1 has no name and is left out." in text) == (form == "csv")
    assert "Classes of target: benign, malignant. 341 samples to learn from" in text
    assert figures(text, "this network")[0] > 90
    # Of 114 samples 72 are benign, as of all 569 the share of 357 is.
    assert figures(text, "always 'benign'")[0] == pytest.approx(100 * 72 / 114, abs=0.1)
    command = ["predict", "net.safetensors", source, "-o", "p.csv", "--classes"]
    assert main([*command, "--keep", "target"]) == 0
    table = rows_of_csv("p.csv")[1:]
    assert len(table) == 569
    assert np.mean([given == said for given, said in table]) > 0.95


def test_iris(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_iris(as_frame=True)
    data.frame.to_parquet("x.parquet")
    text = train(capsys, "target", source="x.parquet")
    assert "Classes of target: 0, 1, 2 (--task numbers takes them as numbers). " in text
    assert ln.load("net.safetensors").outputs == ln.Classes([0, 1, 2])
    assert figures(text, "this network")[0] > 85
    assert main(["predict", "net.safetensors", "x.parquet", "-o", "p.parquet", "--classes"]) == 0
    found = pd.read_parquet("p.parquet").iloc[:, 0]
    assert (found == data.target).mean() > 0.9
