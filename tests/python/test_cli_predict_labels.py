"""``laminet predict``: classes and labels of every kind, and outputs without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import refused
from command_predict import X, in_folder, predict, rows_of_csv, saved

import laminet as ln

__all__ = ["in_folder"]  # a fixture


LABELS = {
    "int8": np.array([-3, 1, 100], np.int8),
    "int64": np.array([2**40, 1, -1]),
    "uint16": np.array([1, 65535, 7], np.uint16),
    "float": np.array([0.5, 1.5, -2.25]),
    "float32": np.array([0.1, 1e-9, 3], np.float32),
    "text": np.array(["no, never", 'a "quoted"\nline', "ä€"]),
    "text with breaks and blanks": np.array(["a\rb", " c", ""]),
    "long text": np.array(["x" * 3000, "y", "z"]),
    "objects": np.array(["one", "two", "three"], object),
    "objects that are bool": np.array([True, False, True][:2], object),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind(labels: np.ndarray[Any, Any]) -> None:
    net = saved(ln.Classes(labels), n=len(labels))
    expected = net.predict(X)
    assert len(set(expected.tolist())) > 1
    for target in ("y.npy", "y.csv", "y.parquet"):
        predict(target, "--classes")
    loaded = np.load("y.npy")
    assert loaded.tolist() == expected.tolist()
    assert loaded.dtype == (expected.dtype if expected.dtype != object else loaded.dtype)
    assert loaded.dtype.kind != "O"
    table = pq.read_table("y.parquet")
    assert table.column_names == ["label"]
    assert table["label"].to_pylist() == expected.tolist()
    texts = [row[0] for row in rows_of_csv("y.csv")]
    assert texts == list(map(str, expected))


def test_two_labels_of_bool() -> None:
    net = saved(ln.Classes([False, True]), "sigmoid", 1)
    predict("y.npy", "--classes")
    assert np.load("y.npy").tolist() == net.predict(X).tolist()
    assert np.load("y.npy").dtype == bool
    predict("p.npy", "--proba")
    np.testing.assert_allclose(np.load("p.npy"), net.predict_proba(X), rtol=1e-6)


def test_labels_of_several_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    net = saved(ln.Classes([1, "one", 2.5]))
    predict("y.csv", "--classes")
    assert [row[0] for row in rows_of_csv("y.csv")] == [str(v) for v in net.predict(X).tolist()]
    for target in ("y.npy", "y.parquet"):
        message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", target, "--classes")
        assert "labels are of several kinds" in message


def test_any_of_several_labels() -> None:
    net = saved(ln.Labels(["a", "b", "c"]))
    for target in ("y.npy", "y.csv", "y.parquet"):
        predict(target, "--classes")
    assert np.load("y.npy").tolist() == net.predict(X).tolist()
    assert rows_of_csv("y.csv") == [[str(v) for v in row] for row in net.predict(X).tolist()]
    table = pq.read_table("y.parquet")
    assert np.stack([column.to_numpy() for column in table.columns], 1).tolist() == (
        net.predict(X).tolist()
    )
    predict("p.parquet", "--proba")
    named = pq.read_table("p.parquet")
    assert named.column_names == ["probability_a", "probability_b", "probability_c"]


def test_quantities_have_no_classes(capsys: pytest.CaptureFixture[str]) -> None:
    net = saved(ln.Quantities(["u", "v", "w"]))
    for option in ("--classes", "--proba"):
        message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy", option)
        assert "net.safetensors" in message
        assert "quantities" in message.lower()
    predict("y.parquet")
    table = pq.read_table("y.parquet")
    assert table.column_names == ["u", "v", "w"]
    np.testing.assert_allclose(table["v"].to_numpy(), net(X)[:, 1], rtol=1e-6)


def test_outputs_without_a_meaning_have_no_classes(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None, "sigmoid", 1)
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy", "--classes")
    assert "net.safetensors: the network has one output" in message


def test_a_sample_without_a_label_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    saved(ln.Classes(["a", "b", "c"]))
    Path("x.csv").write_text("p,q,r\n1,2,3\n\n1,nan,3\n")
    message = refused(capsys, "predict", "net.safetensors", "x.csv", "-o", "y.csv", "--classes")
    assert "x.csv: line 4: the sample has a NaN among its outputs" in message
