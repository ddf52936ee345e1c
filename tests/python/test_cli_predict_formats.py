"""``laminet predict``: labels of every kind, columns by name, standard streams, Parquet."""

from __future__ import annotations

import csv
import io
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import COMMAND, refused, samples

import laminet as ln
from laminet.cli import main

LAYERS = ln.MLP.init([3, 4, 3], "tanh", seed=0).layers
X = samples(40)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)


def saved(outputs: Any, last: str = "identity", n: int = 3, **more: Any) -> ln.MLP:
    layer = LAYERS[1]
    layers = [LAYERS[0], ln.Dense(layer.weight[:n], np.full(n, 0.1, "f4"), last)]
    net = ln.MLP(layers, outputs=outputs, **more)
    net.save("net.safetensors")
    return net


def predict(target: str, *options: str, source: str = "x.npy") -> None:
    assert main(["predict", "net.safetensors", source, "-o", target, *options]) == 0


LABELS = {
    "int8": np.array([-3, 1, 100], np.int8),
    "int64": np.array([2**40, 1, -1]),
    "uint16": np.array([1, 65535, 7], np.uint16),
    "float": np.array([0.5, 1.5, -2.25]),
    "text": np.array(["no, never", 'a "quoted"\nline', "ä€"]),
}


def rows_of_csv(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_of_every_kind(labels: np.ndarray[Any, Any]) -> None:
    net = saved(ln.Classes(labels))
    expected = net.predict(X)
    assert len(set(expected.tolist())) > 1
    for target in ("y.npy", "y.csv", "y.parquet"):
        predict(target, "--classes")
    loaded = np.load("y.npy")
    assert loaded.tolist() == expected.tolist()
    assert loaded.dtype == expected.dtype
    table = pq.read_table("y.parquet")
    assert table.column_names == ["label"]
    assert table["label"].to_pylist() == expected.tolist()
    texts = [row[0] for row in rows_of_csv("y.csv")]
    assert texts == [str(value) for value in expected.tolist()]


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


def piped(data: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, "predict", "net.safetensors", "-", "-o", "-", *options]
    return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)


def test_standard_input_and_output() -> None:
    net = saved(None)
    buffer = io.BytesIO()
    np.save(buffer, X)
    result = piped(buffer.getvalue(), "--format", "npy")
    assert result.stderr == b""
    assert np.array_equal(np.load(io.BytesIO(result.stdout)), net(X))
    result = piped(b"1,2,3\n4,5,6\n", "--format", "csv")
    assert result.stderr == b""
    y = np.loadtxt(io.BytesIO(result.stdout), delimiter=",", dtype="f4")
    assert np.array_equal(y, net([[1, 2, 3], [4, 5, 6]]))
    result = piped(b"1,2,3\n", "--format", "csv", "--output-format", "npy")
    assert np.load(io.BytesIO(result.stdout)).shape == (1, 3)


def test_standard_input_has_no_name_to_tell_its_format(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    assert "--format" in refused(capsys, "predict", "net.safetensors", "-", "-o", "y.npy")


def test_an_npy_that_ends_early(capsys: pytest.CaptureFixture[str]) -> None:
    saved(None)
    size = os.path.getsize("x.npy")
    os.truncate("x.npy", size - 12)
    message = refused(capsys, "predict", "net.safetensors", "x.npy", "-o", "y.npy")
    assert "x.npy" in message


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f8", "float16"])
def test_npy_in_fortran_order(dtype: str) -> None:
    net = saved(None)
    x = np.asfortranarray((X * 4).round().astype(dtype))
    np.save("f.npy", x)
    predict("y.npy", source="f.npy")
    assert np.array_equal(np.load("y.npy"), net(x.astype("f4")))
