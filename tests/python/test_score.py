"""`ln.score`: files, folders and formats, and that results are the network's, bit for bit."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from scored_tables import IDS, LAYERS, NAMES, NET, X, read, table, write

import laminet as ln
from laminet.scoring import answers, engine

Y = NET.predict_proba(X)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values(path: str, names: tuple[str, ...] = ("probability_no", "probability_yes")) -> Any:
    found = read(path)
    return np.array([found[name] for name in names], dtype=np.float32).T


@pytest.mark.parametrize("target", ["y.parquet", "y.arrow", "y.feather", "y.csv"])
@pytest.mark.parametrize("source", ["x.parquet", "x.arrow", "x.csv"])
def test_every_format_into_every_other(source: str, target: str) -> None:
    write(source, table())
    done = ln.score(NET, source, target, keep=["id"])
    assert (done.rows, done.files, done.method) == (50, 1, "predict_proba")
    assert done.columns == ("probability_no", "probability_yes")
    assert list(read(target)) == ["id", *done.columns]
    assert read(target)["id"] == IDS
    assert values(target).tobytes() == Y.tobytes()
    assert "50" in str(done)
    assert done.to_dict()["target"] == target


def test_npy() -> None:
    write("x.npy", table())
    ln.score(NET, "x.npy", Path("y.npy"))
    assert np.load("y.npy").tobytes() == Y.tobytes()
    ln.score(NET, "x.npy", "y.parquet")
    assert values("y.parquet").tobytes() == Y.tobytes()


@pytest.mark.parametrize("batch_rows", [1, 3, 49, 50, 1000])
def test_results_do_not_depend_on_batches(batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_CALL_BYTES", 24)
    monkeypatch.setattr(answers, "_CALL_ROWS", 2)
    lengths: list[int] = []
    call = engine._call
    monkeypatch.setattr(engine, "_call", lambda a, x: (lengths.append(len(x)), call(a, x))[1])
    for source in ("x.parquet", "x.arrow"):
        write(source, table(), rows=50)
        ln.score(NET, source, "y.npy", batch_rows=batch_rows)
        assert np.load("y.npy").tobytes() == Y.tobytes()
    assert max(lengths) == min(batch_rows, 50)


def test_what_is_written_by_what_outputs_stand_for() -> None:
    write("x.parquet", table())
    cases: list[tuple[Any, str | None, list[str], Any]] = [
        (ln.Quantities(["u", "v"]), None, ["u", "v"], "forward"),
        (ln.Quantities(), "predict", ["y0", "y1"], "predict"),
        (None, None, ["y0", "y1"], "forward"),
        (ln.Labels(["big", "red"]), None, ["probability_big", "probability_red"], "predict_proba"),
        (ln.Classes(["no", "yes"]), "predict", ["label"], "predict"),
        (ln.Labels(["big", "red"]), "predict", ["label_big", "label_red"], "predict"),
        (ln.Classes([3, 4]), "forward", ["y0", "y1"], "forward"),
    ]
    for outputs, method, names, used in cases:
        net = ln.MLP(LAYERS, outputs=outputs, feature_names=NAMES)
        done = ln.score(net, "x.parquet", "y.parquet", method=method)
        assert (list(done.columns), done.method) == (names, used)
        found = read("y.parquet")
        expected = np.asarray(getattr(net, used)(X))
        assert list(found) == names
        assert [found[name] for name in names] == np.atleast_2d(expected.T).tolist()
    one = ln.MLP([LAYERS[0], ln.Dense(LAYERS[1].weight[:1])], outputs=ln.Quantities(["price"]))
    ln.score(one, "x.parquet", "y.parquet", columns=NAMES, method="predict")
    assert read("y.parquet") == {"price": one.predict(X).tolist()}


def partitioned(kind: str) -> None:
    write(f"t/year=2023/b{kind}", table(0, 20))
    write(f"t/year=2024/a{kind}", table(20, 20))  # a partition without rows
    write(f"t/year=2024/c{kind}", table(20, 50))
    Path("t/_SUCCESS").touch()
    Path("t/.hidden.crc").touch()


@pytest.mark.parametrize("kind", [".parquet", ".arrow"])
def test_a_partitioned_folder_into_a_file(kind: str) -> None:
    partitioned(kind)
    done = ln.score(NET, "t", "y.parquet", keep=["year", "id"])
    assert (done.rows, done.files) == (50, 3)
    found = read("y.parquet")
    assert found["id"] == IDS
    assert found["year"] == [2023] * 20 + [2024] * 30
    assert values("y.parquet").tobytes() == Y.tobytes()


def test_a_partitioned_folder_into_a_folder() -> None:
    """Whose paths say what those of the source do."""
    partitioned(".parquet")
    ln.score(NET, "t", "out", keep=["year", "id"])
    files = ["year=2023/b.parquet", "year=2024/a.parquet", "year=2024/c.parquet"]
    assert sorted(str(p.relative_to("out")) for p in Path("out").rglob("*.*")) == files
    assert pq.read_schema("out/" + files[2]).names[0] == "id"
    found = read("out")
    assert (found["id"], found["year"]) == (IDS, [2023] * 20 + [2024] * 30)
    assert values("out").tobytes() == Y.tobytes()
    os.mkdir("empty")
    ln.score(NET, "t/year=2023/b.parquet", "empty/")
    assert os.listdir("empty") == ["b.parquet"]


def test_folders_of_other_formats() -> None:
    for kind in (".csv", ".npy"):
        write(f"t{kind[1:]}/1{kind}", table(0, 20))
        write(f"t{kind[1:]}/2{kind}", table(20))
        ln.score(NET, f"t{kind[1:]}", "y.npy")
        assert np.load("y.npy").tobytes() == Y.tobytes()


def test_a_path_that_gives_a_feature() -> None:
    for step, rows in (("c=0.5", (0, 20)), ("c=-2", (20, 50))):
        write(f"t/{step}/x.parquet", table(*rows).drop_columns(["c"]))
    with pytest.raises(ln.FormatError, match="column 'c' holds string, not numbers"):
        ln.score(NET, "t", "y.npy")
    os.rename("t/c=0.5", "t/c=7")
    ln.score(NET, "t", "y.npy")
    order = [*range(20, 50), *range(20)]
    x = X[order].copy()
    x[:30, 2], x[30:, 2] = -2, 7
    assert np.load("y.npy").tobytes() == NET.predict_proba(x).tobytes()


def test_a_column_that_path_and_file_give_is_the_files() -> None:
    write("t/year=2024/x.parquet", table(year=["1999"] * 50))
    ln.score(NET, "t", "y.parquet", keep=["year"])
    assert read("y.parquet")["year"] == ["1999"] * 50


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_lists_of_all_features(dtype: str) -> None:
    x = (X * 8).astype(dtype)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 3)
    write("x.arrow", pa.table({"id": IDS, "v": lists, "w": lists}))
    ln.score(NET, "x.arrow", "y.npy", columns=["v"], batch_rows=4)
    assert np.load("y.npy").tobytes() == NET.predict_proba(x).tobytes()
    ln.score(NET, "x.arrow", "y.parquet", keep=["id", "w"])
    assert values("y.parquet").tobytes() == NET.predict_proba(x).tobytes()


def test_lists_in_the_networks_type_are_not_copied() -> None:
    from laminet.files.arrow_rows import RowsOf
    from laminet.files.columns import Chosen, Request

    flat = pa.array(X.reshape(-1))
    batch = pa.RecordBatch.from_pydict({"v": pa.FixedSizeListArray.from_arrays(flat, 3)}).slice(
        10, 20
    )
    x = RowsOf(Request(NET), ["v"], Chosen([], []), "v")(batch, lambda row, name: "")
    assert np.shares_memory(x, flat.to_numpy())
    assert np.array_equal(x, X[10:30])


def test_a_stream_of_arrow() -> None:
    with pa.ipc.new_stream("x.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=9)
    ln.score(NET, "x.arrow", "y.npy")
    assert np.load("y.npy").tobytes() == Y.tobytes()


def test_columns_of_views_are_kept() -> None:
    """As polars gives them, and its categories."""
    if int(pa.__version__.partition(".")[0]) < 21:
        pytest.skip("pyarrow before 21 neither casts views nor writes them")
    texts = pa.array(IDS, pa.string_view())
    codes = pa.array([0, 1] * 25, pa.uint32())
    kinds = pa.DictionaryArray.from_arrays(codes, pa.array(["u", "v"], pa.string_view()))
    source = table(text=texts, kind=kinds)
    for target in ("y.parquet", "y.arrow", "y.csv"):
        ln.score(NET, source, target, keep=["text", "kind"])
        assert read(target)["text"] == IDS
        assert read(target)["kind"] == ["u", "v"] * 25
    names = ["kind=v", "kind=u", "a"]
    net = ln.MLP(LAYERS, feature_names=names)
    ln.score(net, source, "y.npy")
    ones = np.tile(np.array([[0, 1], [1, 0]], "f4"), (25, 1))
    assert np.load("y.npy").tobytes() == net(np.column_stack([ones, X[:, 0]])).tobytes()


class Stream:
    """All that other libraries have in common."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return table().__arrow_c_stream__(requested_schema)


def test_what_gives_batches_of_arrow() -> None:
    write("t/1.parquet", table(0, 20))
    write("t/2.parquet", table(20))
    sources = [
        ds.dataset("t"),
        table(),
        table().combine_chunks().to_batches()[0],
        pa.RecordBatchReader.from_batches(table().schema, table().to_batches(max_chunksize=20)),
        Stream(),
    ]
    for source in sources:
        done = ln.score(NET, source, "y.parquet", keep=["id"], batch_rows=8)
        assert (done.rows, done.source) == (50, "source")
        assert read("y.parquet")["id"] == IDS
        assert values("y.parquet").tobytes() == Y.tobytes()
    with pytest.raises(ln.FormatError, match=r"^source: no column 'c', and the network takes it"):
        ln.score(NET, table().drop_columns(["c"]), "y.parquet")
    with pytest.raises(ValueError, match=r"target out: the name must end in \.parquet"):
        ln.score(NET, table(), "out")


@pytest.mark.parametrize("source", ["x.parquet", "x.arrow", "x.csv"])
def test_missing_values_that_become_nan(source: str) -> None:
    x = X.astype(float)
    x[3, 0] = x[17, 2] = x[18, 2] = np.nan
    holes = {n: [None if np.isnan(v) else float(v) for v in x[:, i]] for i, n in enumerate(NAMES)}
    write(source, pa.table({"id": IDS, **holes}))
    with pytest.raises(ln.FormatError, match=r"(row 4, column 'a'|line 5: column 2).*(miss|empty)"):
        ln.score(NET, source, "y.npy")
    ln.score(NET, source, "y.npy", missing="nan", batch_rows=10)
    found = np.load("y.npy")
    assert np.array_equal(np.isnan(found).all(axis=1), np.isnan(x).any(axis=1))
    fine = ~np.isnan(found).any(axis=1)
    assert found[fine].tobytes() == Y[fine].tobytes()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**24 + 1, None, 3], pa.int64()),
        pa.array([True, None, False]),
        pa.array([1, None, 3], pa.uint8()).dictionary_encode(),
        pa.array([Decimal(1), None, Decimal(3)], pa.decimal128(5, 2)),
        pa.array(np.array([1, 0, 3], "f2"), mask=np.array([False, True, False])),
        pa.array([None, None, None]),
    ],
)
def test_missing_values_of_every_type(column: Any) -> None:
    net = ln.MLP([ln.Dense(np.ones((1, 1), "f4"))])
    write("x.parquet", pa.table({"a": column}))
    ln.score(net, "x.parquet", "y.npy", missing="nan")
    expected = [np.nan if v is None else np.float32(v) for v in column.to_pylist()]
    assert np.load("y.npy")[:, 0].tolist() == pytest.approx(expected, abs=0, nan_ok=True)


def test_texts_that_stand_for_missing_values() -> None:
    Path("x.csv").write_text('a,b,c,id\n1,NA,3,"x,y"\n"",2,null,z\n4,5,6,w\n')
    ln.score(NET, "x.csv", "y.npy", columns=NAMES, missing="nan")
    assert np.isnan(np.load("y.npy")).any(axis=1).tolist() == [True, True, False]
    for id_, column in ("", 2), ("z,", 3):  # a cell with a comma is one
        Path("x.csv").write_text(f'{id_}a,b,c\n{id_}1,NA,3\n{id_}1,"2,5",3\n')
        with pytest.raises(ln.FormatError, match=f"line 3: column {column}: '2,5' is not a number"):
            ln.score(NET, "x.csv", "y.npy", missing="nan")
