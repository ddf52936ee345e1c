"""The command ``laminet``: what it prints and refuses, and that nothing is left half-done."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import laminet as ln
from laminet.cli import main, predict
from laminet.data import digits_test_set

COMMAND = [sys.executable, "-m", "laminet.cli"]


@pytest.fixture
def net(tmp_path: Path) -> ln.MLP:
    net = ln.MLP.init([3, 5, 2], "tanh", seed=7)
    net.save(tmp_path / "net.safetensors")
    return net


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def samples(rows: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.random.default_rng(rows).standard_normal((rows, 3)).astype(dtype)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with one line; check that it left nothing."""
    before = sorted(os.listdir())
    assert main(list(arguments)) == 2
    assert sorted(os.listdir()) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"laminet: error: [^\n]+\n", err), err
    return err


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_demo_in_a_log_file() -> None:
    result = run("demo", COLUMNS="80")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    text = result.stdout
    assert "445 of 450 digits" in text
    rows = [line.split() for line in text.splitlines()]
    # 2 * 64 * 64 + 64 + 64 FLOPs
    assert ["1", "(64,", "64)", "(64,)", "relu", "4,160", "8,320"] in rows
    info = ln.build_info()
    assert f"instruction set {info['isa']}" in text
    assert f"threads {ln.get_num_threads()}" in text
    assert (info["blas"]["name"] if info["blas"] else "BLAS none") in text
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("64-64-32-10")] == [
        ["64-64-32-10", "tiled"]
    ]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 50
    assert text.isascii()  # no colour codes, no lines of boxes


def test_demo_where_only_ascii_can_be_printed() -> None:
    assert run("demo", PYTHONIOENCODING="ascii", LC_ALL="C").returncode == 0


def test_demo_says_that_the_difference_is_within_the_bound() -> None:
    text = " ".join(run("demo").stdout.split())
    found = re.search(r"differ by (\S+) at most; rounding could explain (\S+) ", text)
    assert found
    assert 0 < float(found[1]) < float(found[2]) < 0.1


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    leaky = ln.Activation("leaky_relu", alpha=0.25)
    ln.MLP.init([3, 5, 2], leaky, dtype="float64", seed=7).save("some[bold]net")
    assert main(["info", "some[bold]net"]) == 0
    out = capsys.readouterr().out
    assert f"some[bold]net: {os.path.getsize('some[bold]net'):,} bytes" in out
    assert "network 3-5-2, float64, 32 parameters" in out
    assert "leaky_relu(alpha=0.25)" in out
    # 2 * 5 * 3 + 5 + 5 and 2 * 2 * 5 + 2
    assert [line.split()[-1] for line in out.splitlines() if line[:1].isdigit()] == ["40", "22"]


def test_info_of_what_is_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing: No such file or directory" in refused(capsys, "info", "missing")
    Path("text").write_text("a text that is long enough to have a header")
    assert "text: bytes 0 to 7 say" in refused(capsys, "info", "text")


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["nonsense"], ["predict"], ["predict", "a", "b"], ["info"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: laminet" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"laminet {ln.__version__}\n"


def test_a_reader_that_stops() -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*COMMAND, "--version"], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def predicted(source: str, target: str, *options: str) -> Any:
    assert main(["predict", "net.safetensors", source, "-o", target, *options]) == 0
    if target.endswith(".npy"):
        return np.load(target)
    return np.loadtxt(target, delimiter=",", dtype=None, ndmin=2)


@pytest.mark.parametrize("block_bytes", [1, 300, 10**6])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "int16"])
def test_npy_to_npy(
    net: ln.MLP, dtype: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_BLOCK_BYTES", block_bytes)
    x = (10 * samples(37)).astype(dtype)
    np.save("x.npy", x)
    y = predicted("x.npy", "y.npy")
    assert y.dtype == np.float32
    assert_allclose(y, net(x), rtol=1e-5, atol=1e-6)
    assert_allclose(predicted("x.npy", "p.npy", "--proba"), net.predict_proba(x), atol=1e-6)
    classes = predicted("x.npy", "c.npy", "--classes")
    assert classes.dtype == np.int64
    assert_array_equal(classes, net.predict(x))
    assert sorted(os.listdir()) == ["c.npy", "net.safetensors", "p.npy", "x.npy", "y.npy"]


def test_output_is_what_numpy_would_save(net: ln.MLP) -> None:
    x = samples(20)
    np.save("x.npy", x)
    predicted("x.npy", "y.npy")
    np.save("expected.npy", net(x))
    assert Path("y.npy").read_bytes() == Path("expected.npy").read_bytes()


def test_fortran_order_and_one_sample_and_none(net: ln.MLP) -> None:
    np.save("x.npy", np.asfortranarray(samples(9)))
    assert_allclose(predicted("x.npy", "y.npy"), net(samples(9)), rtol=1e-5, atol=1e-6)
    np.save("one.npy", samples(1)[0])
    one = predicted("one.npy", "y.npy")
    assert one.shape == (2,)
    assert_allclose(one, net(samples(1)[0]), rtol=1e-5, atol=1e-6)
    assert predicted("one.npy", "c.npy", "--classes").shape == ()
    assert predicted("one.npy", "y.csv").shape == (1, 2)
    np.save("none.npy", np.empty((0, 3), np.float32))
    assert predicted("none.npy", "y.npy").shape == (0, 2)
    assert predicted("none.npy", "c.npy", "--classes").shape == (0,)


@pytest.mark.parametrize("block_bytes", [1, 10**6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_csv_to_csv_keeps_every_bit(
    dtype: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_BLOCK_BYTES", block_bytes)
    # Identity: what comes out is what was read.
    ln.MLP([ln.Dense(np.eye(3, dtype=dtype))]).save("net.safetensors")
    x = samples(11, dtype) * np.logspace(-30, 30, 3).astype(dtype)
    np.savetxt("x.csv", x, fmt="%.17g", delimiter=",", header="a,b,c", comments="")
    predicted("x.csv", "y.csv")
    result = np.loadtxt("y.csv", delimiter=",", dtype=dtype)
    assert_array_equal(result, x)
    assert_array_equal(predicted("x.csv", "y.npy"), x)


def test_csv_forms(net: ln.MLP) -> None:
    text = '\ufeff"first name",b,"c,d"\r\n1,2,3\r\n\r\n "4" , 5e0,-6\r\n+.5,nan,inf\r\n7,8,9'
    Path("x.CSV").write_bytes(text.encode())
    x = np.array([[1, 2, 3], [4, 5, -6], [0.5, np.nan, np.inf], [7, 8, 9]], np.float32)
    y = predicted("x.CSV", "y.npy")
    assert_allclose(y, net(x), rtol=1e-5, atol=1e-6)
    classes = predicted("x.CSV", "c.csv", "--classes")
    assert_array_equal(classes[:, 0], net.predict(x))
    Path("x.csv").write_bytes("\ufeff1,2,3\n".encode())
    assert_allclose(predicted("x.csv", "y.npy"), net(x[:1]), rtol=1e-5, atol=1e-6)
    Path("x.csv").write_text("a,b,c\n")
    assert predicted("x.csv", "y.npy").shape == (0, 2)
    Path("x.csv").write_text("")
    assert predicted("x.csv", "y.npy").shape == (0, 2)


def test_digits_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = digits_test_set()
    np.save("x.npy", x)
    file = str(Path(ln.__file__).parent / "data" / "digits.safetensors")
    assert main(["predict", file, "x.npy", "-o", "y.npy", "--classes"]) == 0
    assert int((np.load("y.npy") == y).sum()) == 445
    assert capsys.readouterr() == ("", "")


def block_lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will have the length of each block that the network is given."""
    lengths: list[int] = []
    call = predict._call

    def spy(function: Any, block: Any, source: Path) -> Any:
        lengths.append(len(block))
        return call(function, block, source)

    monkeypatch.setattr(predict, "_call", spy)
    return lengths


def test_blocks_of_lines(net: ln.MLP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_BLOCK_BYTES", 400)
    lengths = block_lengths(monkeypatch)
    np.savetxt("x.csv", samples(25), delimiter=",")
    assert predicted("x.csv", "y.npy").shape == (25, net.out_features)
    assert lengths == [10, 10, 5]


def test_memory_does_not_grow_with_the_file(net: ln.MLP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_BLOCK_BYTES", 40_000)
    lengths = block_lengths(monkeypatch)
    x = np.lib.format.open_memmap("x.npy", mode="w+", dtype=np.float32, shape=(2_000_000, 3))
    del x  # 24 MB, a sparse file
    tracemalloc.start()
    try:
        assert main(["predict", "net.safetensors", "x.npy", "-o", "y.npy"]) == 0
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    # 3 inputs and 2 outputs, reckoned at 8 bytes each.
    assert set(lengths) == {1000}
    assert np.load("y.npy", mmap_mode="r").shape == (2_000_000, 2)


def refused_input(capsys: pytest.CaptureFixture[str], source: str) -> str:
    return refused(capsys, "predict", "net.safetensors", source, "-o", "y.npy")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n1,x,3\n", "x.csv: line 2: column 2: 'x' is not a number"),
        ("a,b,c\n\n1,2,3\n1,2,oops\n", "line 4: column 3: 'oops' is not a number"),
        ("1,2,3\n1,,3\n", "line 2: column 2: the cell is empty"),
        ("1,2,3\n1,2,1_0\n", "line 2: column 3: '1_0' is not a number"),
        ("1,2,3\n1,2\n", "line 2: 2 columns, the network takes 3"),
        ("1,2,3,4\n1,2,3,4\n", "line 1: 4 columns, the network takes 3"),
        ("1;2;3\n", ""),
        ("1,2,c\n", "line 1: column 3: 'c' is not a number"),
        ('1,2,3\n1,2,"3\n4,5,6\n', "x.csv: line 2: unexpected end of data"),
        ("1,2,3\n1,2,3#4\n", "line 2: column 3: '3#4' is not a number"),
        ("1,2,3\n# 1,2,3\n", "line 2: column 1: '# 1' is not a number"),
        ("1,2,3\n" * 1000 + "1,2,3j\n", "line 1001: column 3: '3j' is not a number"),
    ],
)
def test_a_bad_cell(capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("x.csv").write_text(text)
    if not message:  # one cell, not a number: a heading, with no rows below it
        Path("x.csv").write_text("a;b;c\n" + text)
        message = "line 2: column 1: '1;2;3' is not a number"
    assert message in refused_input(capsys, "x.csv")


@pytest.mark.usefixtures("net")
def test_a_bad_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.csv").write_bytes(b"1,2,3\n\xff,2,3\n")
    assert "x.csv: line 2: not UTF-8 text" in refused_input(capsys, "x.csv")
    monkeypatch.setattr("laminet.cli.sample_files._MAX_LINE", 1000)
    Path("x.csv").write_text("1,2,3\n" + "1" * 1000)
    assert "x.csv: line 2: longer than" in refused_input(capsys, "x.csv")


@pytest.mark.usefixtures("net")
def test_a_bad_array(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.ones((4, 5)))
    assert "x has 5 features, the network takes 3" in refused_input(capsys, "x.npy")
    np.save("x.npy", np.ones(5))
    assert "5 features" in refused_input(capsys, "x.npy")
    np.save("x.npy", np.ones((2, 2, 3)))
    assert "x.npy: x " in refused_input(capsys, "x.npy")
    np.save("x.npy", np.float32(1))
    assert "x.npy: holds a single value" in refused_input(capsys, "x.npy")
    for bad in (np.ones((2, 3), complex), np.array([["a", "b", "c"]])):
        np.save("x.npy", bad)
        assert "x.npy: x " in refused_input(capsys, "x.npy")
    np.save("x.npy", np.array([[1, 2, None]]), allow_pickle=True)
    assert "x.npy: not an array that can be read" in refused_input(capsys, "x.npy")
    np.savez("x.npz", np.ones((2, 3)))
    os.rename("x.npz", "x.npy")
    assert "x.npy: not an array that can be read" in refused_input(capsys, "x.npy")
    np.save("x.npy", np.ones((100, 3)))
    complete = Path("x.npy").read_bytes()
    for length in (0, 5, 9, 60, 127, 500):
        Path("x.npy").write_bytes(complete[:length])
        assert "x.npy: not an array that can be read" in refused_input(capsys, "x.npy")
    Path("x.npy").write_bytes(complete.replace(b"(100, 3)", b"(-10, 3)"))
    assert "x.npy: " in refused_input(capsys, "x.npy")


@pytest.mark.usefixtures("net")
def test_bad_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.save("x.npy", samples(2))
    command = ["predict", "net.safetensors"]
    assert "x.npy: it would" not in refused(capsys, *command, "no.npy", "-o", "y.npy")
    assert "INPUT x.txt: the name must end in" in refused(capsys, *command, "x.txt", "-o", "y.npy")
    assert "OUTPUT y.txt: the name must end" in refused(capsys, *command, "x.npy", "-o", "y.txt")
    assert "OUTPUT x.npy is INPUT" in refused(capsys, *command, "x.npy", "-o", "x.npy")
    assert "is INPUT" in refused(capsys, *command, "x.npy", "-o", str(tmp_path / "x.npy"))
    os.symlink("x.npy", "link.npy")
    assert "is INPUT" in refused(capsys, *command, "x.npy", "-o", "link.npy")
    assert "there is no directory no" in refused(capsys, *command, "x.npy", "-o", "no/y.npy")
    os.mkdir("directory.npy")
    assert "is a directory" in refused(capsys, *command, "x.npy", "-o", "directory.npy")
    assert "directory" in refused(capsys, *command, "directory.npy", "-o", "y.npy")
    os.rename("net.safetensors", "net.npy")
    assert "is FILE" in refused(capsys, "predict", "net.npy", "x.npy", "-o", "net.npy")
    assert "no.safetensors: No such file" in refused(
        capsys, "predict", "no.safetensors", "x.npy", "-o", "y.npy"
    )


@pytest.mark.usefixtures("net")
def test_an_old_output_stays_until_the_new_one_is_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("y.npy").write_text("old")
    Path("x.csv").write_text("1,2,3\n" * 10 + "1,2,x\n")
    refused_input(capsys, "x.csv")
    assert Path("y.npy").read_text() == "old"


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_an_interrupt_leaves_nothing(number: int, code: int) -> None:
    # The input is a pipe that stays open: the command waits for more of it when the signal comes.
    os.mkfifo("x.csv")
    before = sorted(os.listdir())
    command = [*COMMAND, "predict", "net.safetensors", "x.csv", "-o", "y.npy"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        open("x.csv", "w") as pipe,
    ):
        pipe.write("1,2,3\n")
        pipe.flush()
        time.sleep(0.2)  # until it waits; if it does not yet, the test sees less, but holds
        assert len(os.listdir()) == len(before) + 1
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("net")
def test_a_progress_bar_is_shown_on_a_terminal_only() -> None:
    np.save("x.npy", samples(5))
    command = [*COMMAND, "predict", "net.safetensors", "x.npy", "-o", "y.npy"]
    quiet = subprocess.run(command, capture_output=True, check=True)
    assert quiet.stdout == quiet.stderr == b""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run(command, stderr=follower, env=environment, check=True)
    os.close(follower)
    assert b"predict" in os.read(leader, 65536)
    os.close(leader)
