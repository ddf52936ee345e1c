"""`ln.score` on bad input, full disks and interrupts: an error in words, and nothing is lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import refused, run
from scored_tables import IDS, NAMES, NET, X, read, table, write

import laminet as ln
from laminet.cli import main
from laminet.files.arrow_writers import ParquetWriter
from laminet.files.atomic_folders import appearing
from laminet.files.npy_files import NpyWriter
from laminet.scoring import answers, engine

SUFFIXES = [".parquet", ".arrow", ".csv", ".npy"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refuses(
    message: str, source: str = "x.parquet", target: str = "y.parquet", **options: Any
) -> None:
    """Score must fail in these words and leave everything as it was."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    with pytest.raises(ValueError, match=message):
        ln.score(NET, source, target, **options)
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before


@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".csv"])
def test_columns_that_are_missing_or_no_numbers(kind: str) -> None:
    source = f"x{kind}"
    write(source, table().drop_columns(["b"]))
    refuses(f"x{kind}.*: no column 'b', and the network takes it", source)
    write(source, table().set_column(2, "b", pa.array(IDS)))
    refuses("column 'b' holds string, not numbers|column 3: 'row 0' is not a number", source)
    write(source, table())
    refuses("no column 'day', and keep names it", source, keep=["day"])
    refuses("columns names 2 columns, the network takes 3", source, columns=["a", "b"])
    refuses("columns names 1 column, the network takes 3", source, columns=["a"])
    refuses("'b' as column 1 of the network, whose features are", source, columns=["b", "a", "c"])
    write(source, table(probability_no=X[:, 0]))
    refuses("target would have two columns named 'pro", source, keep=["id", "probability_no"])


def test_the_place_of_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_CALL_BYTES", 24)
    monkeypatch.setattr(answers, "_CALL_ROWS", 2)
    b = [1.0] * 50
    b[31] = 1e300
    for kind in (".parquet", ".arrow"):
        write(f"x{kind}", table().set_column(2, "b", pa.array(b)))
        refuses(rf"x{kind}: row 32, column 'b': 1e\+300 is beyond", f"x{kind}", batch_rows=9)
    lists: list[Any] = [[1.0, 2.0, 3.0]] * 4
    for bad, message in (
        ([1.0, None, 3.0], "row 3, column 'v', number 2: the value is missing"),
        (None, "row 3, column 'v': the value is missing"),
        ([1.0, 2.0, -1e300], r"row 3, column 'v', number 3: -1e\+300 is beyond"),
    ):
        lists[2] = bad
        # Some releases of pyarrow write no missing lists to Parquet.
        name = "v.arrow" if bad is None else "v.parquet"
        write(name, pa.table({"v": pa.array(lists, pa.list_(pa.float64(), 3))}))
        refuses(message, name)
    lists[2] = None
    write("v.arrow", pa.table({"v": pa.array(lists, pa.list_(pa.float64(), 3))}))
    ln.score(NET, "v.arrow", "y.npy", missing="nan")
    assert np.isnan(np.load("y.npy")).any(axis=1).tolist() == [False, False, True, False]
    write("v.arrow", pa.table({"v": pa.array(lists, pa.list_(pa.float64(), 3))}).slice(1))
    ln.score(NET, "v.arrow", "y.npy", missing="nan")
    assert np.isnan(np.load("y.npy")).any(axis=1).tolist() == [False, True, False]
    for dtype in (
        "f4",
        "f8",
    ):  # without and with a copy; what lies under a missing list is a number
        flat, mask = (
            pa.array(X[:4].reshape(-1).astype(dtype)),
            pa.array([False, True, False, False]),
        )
        hidden = pa.FixedSizeListArray.from_arrays(flat, 3, mask=mask)
        write("v.arrow", pa.table({"v": hidden}), 4)
        ln.score(NET, "v.arrow", "y.npy", missing="nan")
        assert np.isnan(np.load("y.npy")).any(axis=1).tolist() == [False, True, False, False]
    write("v.parquet", pa.table({"v": pa.array([[1.0, 2.0]] * 4, pa.list_(pa.float64(), 2))}))
    refuses("no column 'a'", "v.parquet")


def test_a_label_of_nan_has_a_place() -> None:
    write("x.parquet", table().set_column(2, "b", pa.array([1.0] * 44 + [None] * 6)))
    message = "x.parquet: row 45: the sample has a NaN among its outputs, and so no label"
    refuses(message, missing="nan", method="predict", batch_rows=10)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_file_that_ends_early(kind: str) -> None:
    write(f"t/1{kind}", table())
    write(f"t/2{kind}", table())
    data = Path(f"t/2{kind}").read_bytes()
    # Not within the last number of a text, which would be another number.
    Path(f"t/2{kind}").write_bytes(data[: len(data) - 12 - 20 * (kind == ".csv")])
    refuses(rf"^t/2{kind}: ", "t", target="y.csv")


def test_a_file_with_less_rows_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.parquet", table())
    batches = pq.ParquetFile.iter_batches

    def some(*arguments: Any, **options: Any) -> Any:
        return itertools.islice(batches(*arguments, **options), 3)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", some)
    refuses("x.parquet: damaged: 30 rows of 50 can be read", batch_rows=10)


def test_a_stream_of_arrow_that_ends_between_two_batches() -> None:
    with pa.ipc.new_stream("x.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=9)
    data = Path("x.arrow").read_bytes()
    Path("x.arrow").write_bytes(data[:-8])
    refuses("x.arrow: a stream of Arrow without its end: it is not all there", "x.arrow")


def test_folders_that_are_no_table() -> None:
    os.mkdir("t")
    refuses("t: a folder without files", "t")
    Path("t/_SUCCESS").touch()
    refuses("t: a folder without files", "t")
    write("t/1.parquet", table())
    Path("t/notes.txt").touch()
    refuses("'notes.txt' ends in no format", "t")
    os.unlink("t/notes.txt")
    write("t/2.arrow", table())
    refuses("'1.parquet' and '2.arrow' are of different formats", "t")
    os.unlink("t/2.arrow")
    write("t/day=1/2.parquet", table())
    refuses("lie in folders that name different columns", "t")
    os.unlink("t/1.parquet")
    write("t/day=2/1.parquet", table().drop_columns(["c"]))
    refuses("t/day=2/1.parquet: no column 'c'", "t")
    refuses("target t/y lies in source", "t", "t/y")


def test_files_of_a_folder_whose_columns_differ() -> None:
    write("t/1.parquet", table().set_column(0, "id", pa.array(range(50), pa.int32())))
    write("t/2.parquet", table().set_column(0, "id", pa.array(range(50), pa.int16())))
    ln.score(NET, "t", "y.parquet", keep=["id"])
    assert read("y.parquet")["id"] == [*range(50)] * 2
    write("t/2.parquet", table())
    refuses("column 'id' holds string, and int32 in the files before", "t", keep=["id"])


@pytest.mark.parametrize("target", ["y.parquet", "y.csv", "y/"])
def test_columns_to_keep_that_are_called_like_a_result(target: str) -> None:
    write("t/year=2024/x.parquet", table(probability_yes=IDS))
    for name in ("probability_yes", "year"):
        net = NET.with_outputs(ln.Classes(["no", "yes"]))
        if name == "year":
            net = NET.with_outputs(ln.Quantities(["month", "year"]))
        message = f"keep names '{name}', as a result is called: target would have two columns"
        with pytest.raises(ln.FormatError, match=message):
            ln.score(net, "t", target, keep=["id", name])
    assert os.listdir() == ["t"]


def test_a_column_that_the_format_does_not_have() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0] * 50, pa.int8()), [pa.array(range(50))])
    write("x.arrow", table(u=union))
    refuses("no columns of such a type: 'u' .sparse_union", "x.arrow", keep=["id", "u"])
    ln.score(NET, "x.arrow", "y.arrow", keep=["u"])
    assert read("y.arrow")["u"] == [*range(50)]


def test_files_of_a_folder_of_which_one_has_a_heading() -> None:
    os.mkdir("t")
    Path("t/1.csv").write_text("7,1,2,3\n")
    Path("t/2.csv").write_text("id,a,b,c\n8,4,5,6\n")
    net = ln.MLP(NET.layers)
    with pytest.raises(ln.FormatError, match=r"t/2.csv: its columns to keep have other names than"):
        ln.score(net, "t", "y.csv", keep=["1"])
    os.unlink("t/2.csv")
    ln.score(net, "t", "y.csv", keep=["1"])
    assert read("y.csv")["column_1"] == ["7"]


def test_targets_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.parquet", table())
    refuses("target x.parquet is source: it would be overwritten", target="x.parquet")
    refuses("target no/y.npy: there is no directory no", target="no/y.npy")
    refuses("target y.txt: the name must end in .parquet", target="y.txt")
    refuses("source x: the name must end in .parquet", source="x")
    refuses("keep is for tables whose columns have names", target="y.npy", keep=["id"])
    with pytest.raises(FileNotFoundError, match=r"no\.parquet"):
        ln.score(NET, "no.parquet", "y.npy")
    os.mkdir("full")
    Path("full/file").touch()
    # Before hours of work, not after them.
    monkeypatch.setattr(engine, "open_samples", None)
    with pytest.raises(FileExistsError, match="full/: a folder that is not empty"):
        ln.score(NET, "x.parquet", "full/")
    with pytest.raises(FileExistsError, match=r"x\.parquet/: a file, where a folder is to be"):
        ln.score(NET, "full/../x.parquet", "x.parquet/")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "proba"}, ValueError, "method must be one of 'forward', 'predict_proba', 'pre"),
        ({"missing": "drop"}, ValueError, "missing must be one of 'refuse', 'nan', got 'drop'"),
        ({"batch_rows": 0}, ValueError, "batch_rows must be"),
        ({"keep": "id"}, TypeError, "keep must be a sequence of str, got 'id'"),
        ({"columns": [1, 2, 3]}, TypeError, "columns must be a sequence of str"),
        ({"source": b"x"}, TypeError, "source must be a str, path-like or table of Arrow, got b"),
        ({"target": 3}, TypeError, "target must be a str or path-like, got int"),
        ({"net": "net"}, TypeError, "net must be an ln.MLP, got str"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"net": NET, "source": "x.parquet", "target": "y.parquet", **options}
    with pytest.raises(error, match=message):
        ln.score(**arguments)


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.csv", table())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refuses("x.arrow: reading and writing .arrow takes: pip install 'lam", "x.arrow", "y.csv")
    ln.score(NET, "x.csv", "y.csv")
    assert len(read("y.csv")["probability_no"]) == 50


@pytest.mark.parametrize("target", ["y.parquet", "y.arrow", "out/"])
def test_a_full_disk(target: str) -> None:
    """A limit on the size of files stands for the disk."""
    NET.save("net.safetensors")
    x = np.random.default_rng(0).standard_normal((30_000, 3)).astype("f4")
    pq.write_table(pa.table(dict(zip(NAMES, x.T, strict=True))), "x.parquet")
    before = sorted(os.listdir())
    command = ("predict", "net.safetensors", "x.parquet", "-o", target)
    result = run(*command, largest_file=50_000)
    assert (result.returncode, result.stderr) == (2, f"laminet: error: {target}: File too large\n")
    assert sorted(os.listdir()) == before


def interrupted_after(blocks: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    call, left = engine._call, [blocks]

    def last(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise error
        return call(*arguments)

    monkeypatch.setattr(engine, "_call", last)


@pytest.mark.parametrize("target", ["y.parquet", "y.arrow", "y.csv", "y.npy", "out/"])
def test_an_interrupt_says_what_was_done(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write("t/1.parquet", table())
    write("t/2.parquet", table())
    ln.score(NET, "t", "y.csv")
    old = Path("y.csv").read_bytes()
    before = sorted(os.listdir())
    interrupted_after(7, monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as interrupt:
        ln.score(NET, "t", target, batch_rows=10)
    assert str(interrupt.value) == (
        f"t: ended after 70 rows and 1 of 2 files; {target} is as it was before"
    )
    assert sorted(os.listdir()) == before
    assert Path("y.csv").read_bytes() == old


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_the_command_says_what_was_done(
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    NET.save("net.safetensors")
    write("x.parquet", table())
    interrupted_after(0, monkeypatch, error)
    command = ["predict", "net.safetensors", "x.parquet", "-o", "y.npy"]
    if isinstance(error, SystemExit):
        with pytest.raises(SystemExit):
            main(command)
    else:
        assert main(command) == 130
    assert "laminet: x.parquet: ended after 0 rows; y.npy is as it was" in capsys.readouterr().err
    assert not Path("y.npy").exists()


@pytest.mark.parametrize("target", ["y.npy", "out/"])
def test_a_process_that_is_killed(target: str) -> None:
    """Nothing is at the target, and what it leaves behind is gone after the next run."""
    NET.save("net.safetensors")
    write("x.parquet", table())
    code = f"""
import os, signal
import laminet as ln
from laminet.scoring import engine
call = engine._call
def last(*arguments):
    if last.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    last.left -= 1
    return call(*arguments)
last.left = 3
engine._call = last
ln.score(ln.load("net.safetensors"), "x.parquet", {target!r}, batch_rows=10)
"""
    before = set(os.listdir())
    path = str(Path(ln.__file__).parents[1])
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    left = set(os.listdir()) - before
    assert len(left) == 1
    assert left.pop().endswith(".laminet.tmp")
    ln.score(NET, "x.parquet", target)
    assert set(os.listdir()) == before | {target.rstrip("/")}


def test_a_folder_that_another_process_fills() -> None:
    """What another process still fills is not cleared."""
    write("x.parquet", table())
    with appearing("one") as folder:
        (folder / "file").write_text("half")
        ln.score(NET, "x.parquet", "two/")
        assert (folder / "file").exists()
    assert sorted(os.listdir()) == ["one", "two", "x.parquet"]
    with pytest.raises(FileExistsError, match="one: a folder that is not empty"), appearing("one"):
        pass


def test_all_of_a_folder_is_on_disk_before_it_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    write("t/day=1/x.parquet", table())
    synced: set[int] = set()
    fsync, rename = os.fsync, Path.rename

    def note(number: int) -> None:
        synced.add(os.fstat(number).st_ino)
        fsync(number)

    def check(folder: Path, target: Path) -> Path:
        inside = [folder, folder / "day=1", folder / "day=1/x.parquet"]
        assert {p.stat().st_ino for p in inside} == synced
        return rename(folder, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", check)
    ln.score(NET, "t", "out")
    assert Path("out/day=1/x.parquet").exists()


@pytest.mark.parametrize(
    ("writer", "target"),
    [(ParquetWriter, "y.parquet"), (NpyWriter, "y.npy"), (ParquetWriter, "o/")],
)
def test_rows_are_counted(writer: Any, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write("x.parquet", table())
    append = writer.append
    monkeypatch.setattr(writer, "append", lambda s, x, kept: append(s, x[1:], kept))
    with pytest.raises(RuntimeError, match="50 rows were written, and 49 are there"):
        ln.score(NET, "x.parquet", target)
    assert os.listdir() == ["x.parquet"]


def test_the_command_takes_folders_and_missing_values(capsys: pytest.CaptureFixture[str]) -> None:
    NET.save("net.safetensors")
    for day, rows in ((1, (0, 20)), (2, (20, 50))):
        write(f"t/day={day}/x.parquet", table(*rows))
    command = ["predict", "net.safetensors", "t", "--proba"]
    assert main([*command, "-o", "out/", "--keep", "id,day"]) == 0
    assert (read("out")["id"], read("out")["day"]) == (IDS, [1] * 20 + [2] * 30)
    assert main([*command, "-o", "y.arrow", "--keep", "day"]) == 0
    assert read("y.arrow")["probability_yes"] == read("out")["probability_yes"]
    write("t/day=2/x.parquet", table(20).set_column(1, "c", pa.array([None] * 30, pa.float32())))
    message = refused(capsys, *command, "-o", "z.npy")
    assert "t/day=2/x.parquet: row 1, column 'c': the value is missing" in message
    assert main([*command, "-o", "z.npy", "--missing", "nan"]) == 0
    assert np.isnan(np.load("z.npy")).any(axis=1).sum() == 30
