"""``laminet predict``: standard input and output."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import COMMAND, refused
from command_predict import X, in_folder, saved

__all__ = ["in_folder"]  # a fixture


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


def test_parquet_and_fortran_order_through_pipes() -> None:
    net = saved(None)
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(zip("abc", X.T, strict=True))), buffer)
    result = piped(buffer.getvalue(), "--format", "parquet")
    assert result.stderr == b""
    table = pq.read_table(io.BytesIO(result.stdout))
    assert np.array_equal(np.stack([c.to_numpy() for c in table.columns], 1), net(X))
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(X))
    result = piped(buffer.getvalue(), "--format", "npy")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"standard input: an array in Fortran order" in result.stderr
    result = piped(buffer.getvalue()[:300].replace(b"True", b"False"), "--format", "npy")
    assert b"standard input: the file ended in row 15 of 40" in result.stderr


@pytest.mark.parametrize("format_", ["csv", "npy", "parquet"])
def test_standard_output_that_fails(format_: str) -> None:
    saved(None)
    command = [*COMMAND, "predict", "net.safetensors", "x.npy", "-o", "-", "--format", format_]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 2
    assert result.stderr == b"laminet: error: standard output: No space left on device\n"
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, check=False
    )
    assert closed.returncode == 2
    assert closed.stderr == b"laminet: error: standard output: Bad file descriptor\n"
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_is_appended_to(name: str) -> None:
    net = saved(None)
    Path("out").write_bytes(b"before")
    command = [*COMMAND, "predict", "net.safetensors", "x.npy", "-o", name, "--format", "npy"]
    with open("out", "ab") as out:
        subprocess.run(command, stdout=out, check=True)
    data = Path("out").read_bytes()
    assert data[:6] == b"before"
    assert np.array_equal(np.load(io.BytesIO(data[6:])), net(X))
