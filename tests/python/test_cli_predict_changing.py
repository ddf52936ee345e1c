"""``laminet predict`` on files that others change meanwhile, and on named pipes."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import predicted, refused, samples

import laminet as ln
from laminet.scoring import engine, job

COMMAND = ("predict", "net.safetensors")


@pytest.fixture(autouse=True)
def _net_in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ln.MLP.init([3, 5, 2], "tanh", seed=7).save("net.safetensors")


@pytest.fixture
def shrinks(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Return what makes a file that short after its first block of 100 rows has been read."""

    def to_shrink(name: str, size: int) -> None:
        call = engine._call

        def shrink(*arguments: Any) -> Any:
            os.truncate(name, size)
            return call(*arguments)

        monkeypatch.setattr(engine, "_call", shrink)

    monkeypatch.setattr(job, "_BLOCK_BYTES", 48 * 100)
    return to_shrink


@pytest.mark.parametrize(("order", "message"), [("C", "ended in row "), ("F", "ended in column ")])
def test_an_npy_that_shrinks(
    capsys: pytest.CaptureFixture[str],
    shrinks: Callable[[str, int], None],
    order: Any,
    message: str,
) -> None:
    # More than Python reads ahead.
    np.save("x.npy", np.asarray(samples(4000), order=order))
    shrinks("x.npy", 128 + 12 * 3)
    assert f"x.npy: the file {message}" in refused(capsys, *COMMAND, "x.npy", "-o", "y.npy")


def test_a_csv_that_shrinks(
    capsys: pytest.CaptureFixture[str], shrinks: Callable[[str, int], None]
) -> None:
    """At the end of a line, too, where what is left is a table as it should be."""
    line = "1,2,3\n"
    Path("x.csv").write_text(line * 90_000)  # more than Python reads ahead
    shrinks("x.csv", len(line) * 2000)
    message = refused(capsys, *COMMAND, "x.csv", "-o", "y.npy")
    assert re.search(r"x\.csv: the file ended after line \d+: it is shorter than when", message)


def test_a_parquet_that_shrinks(
    capsys: pytest.CaptureFixture[str], shrinks: Callable[[str, int], None]
) -> None:
    """Which shows, too, that it is not in memory as a whole when the first rows have been read."""
    columns = np.random.default_rng(0).standard_normal((3, 100_000))
    table = pa.table(dict(zip("abc", columns, strict=True)))
    pq.write_table(table, "x.parquet", row_group_size=10_000)
    shrinks("x.parquet", os.path.getsize("x.parquet") // 2)
    message = refused(capsys, *COMMAND, "x.parquet", "-o", "y.npy")
    assert re.search(r"x\.parquet: damaged: rows from [1-9]\d+ on cannot be read", message)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Fail a test that would wait for ever."""

    def fail(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("name", ["pipe.csv", "pipe.parquet"])
def test_a_named_pipe_to_which_nobody_writes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("laminet.files.samples._PATIENCE", 0.1)
    os.mkfifo(name)
    before = set(threading.enumerate())
    message = f"{name}: a named pipe that no program opened for writing within 0.1 s"
    assert message in refused(capsys, *COMMAND, name, "-o", "y.npy")
    assert set(threading.enumerate()) == before


def test_a_named_pipe_to_which_someone_writes() -> None:
    os.mkfifo("pipe.csv")
    writer = threading.Thread(target=Path("pipe.csv").write_text, args=("1,2,3\n4,5,6\n",))
    writer.start()
    result = predicted("pipe.csv", "y.npy")
    writer.join()
    Path("x.csv").write_text("1,2,3\n4,5,6\n")
    assert result.tobytes() == predicted("x.csv", "y.npy").tobytes()
