"""``laminet predict``: what it reads and writes, and which inputs it refuses, and how."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import predicted, refused, run, samples
from numpy.testing import assert_allclose, assert_array_equal

import laminet as ln
from laminet.cli import main
from laminet.data import digits_test_set
from laminet.scoring import engine, job


@pytest.fixture
def net(tmp_path: Path) -> ln.MLP:
    net = ln.MLP.init([3, 5, 2], "tanh", seed=7)
    net.save(tmp_path / "net.safetensors")
    return net


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("block_bytes", [1, 300, 10**6])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "int16"])
def test_npy_to_npy(
    net: ln.MLP, dtype: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_BLOCK_BYTES", block_bytes)
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
    monkeypatch.setattr(job, "_BLOCK_BYTES", block_bytes)
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
    Path("finite.csv").write_text("a,b,c\n1,2,3\n4,5,-6\n")
    classes = predicted("finite.csv", "c.csv", "--classes")
    assert_array_equal(classes[:, 0], net.predict(x[:2]))
    Path("x.csv").write_bytes("\ufeff1,2,3\n".encode())
    assert_allclose(predicted("x.csv", "y.npy"), net(x[:1]), rtol=1e-5, atol=1e-6)


def test_digits_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = digits_test_set()
    np.save("x.npy", x)
    file = str(Path(ln.__file__).parent / "data" / "digits.safetensors")
    assert main(["predict", file, "x.npy", "-o", "y.npy", "--classes"]) == 0
    assert int((np.load("y.npy") == y).sum()) == 446
    assert capsys.readouterr() == ("", "")


def block_lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will have the length of each block that the network is given."""
    lengths: list[int] = []
    call = engine._call

    def spy(answer: Any, block: Any) -> Any:
        lengths.append(len(block))
        return call(answer, block)

    monkeypatch.setattr(engine, "_call", spy)
    return lengths


def test_blocks_of_lines(net: ln.MLP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_BLOCK_BYTES", 400)
    lengths = block_lengths(monkeypatch)
    np.savetxt("x.csv", samples(25), delimiter=",")
    assert predicted("x.csv", "y.npy").shape == (25, net.out_features)
    assert lengths == [10, 10, 5]


def test_memory_does_not_grow_with_the_file(net: ln.MLP, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_BLOCK_BYTES", 40_000)
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
        ("1,2,3\n1,2\n", "line 2: 2 columns, the network takes 3\n"),
        ("1,2,3,4\n1,2,3,4\n", "line 1: 4 columns, the network takes 3\n"),
        ("1,2,c\n", "line 1: column 3: 'c' is not a number"),
        ('1,2,3\n1,2,"3\n4,5,6\n', "x.csv: line 2: a quote is not closed"),
        ('1,2,3\n4,5,"6"\n4,5,"6', "x.csv: line 3: a quote is not closed"),
        ('a,b,"c\n1,2,3\n', "x.csv: line 1: a quote is not closed"),
        ("1,2,3\n1,2,3#4\n", "line 2: column 3: '3#4' is not a number"),
        ("1,2,3\n# 1,2,3\n", "line 2: column 1: '# 1' is not a number"),
        ("1,2,3\n" * 1000 + "1,2,3j\n", "line 1001: column 3: '3j' is not a number"),
    ],
)
def test_a_bad_cell(capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("x.csv").write_text(text)
    assert message in refused_input(capsys, "x.csv")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("separator", [";", "\t", " ", "|"])
@pytest.mark.parametrize("row", ["123", "abc"])
def test_another_separator(capsys: pytest.CaptureFixture[str], separator: str, row: str) -> None:
    Path("x.csv").write_text(separator.join(row) + "\n")
    message = "x.csv: line 1: 1 column, the network takes 3; is the separator a comma?\n"
    assert message in refused_input(capsys, "x.csv")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",,", "column 1: the cell is empty"),
        ("a,,c", "column 1: 'a' is not a number"),
        ("NA,NA,NA", "column 1: 'NA' is not a number"),
        ("a,n/a,c", "column 1: 'a' is not a number"),
        ("#N/A,?,-", "column 1: '#N/A' is not a number"),
        ("null,None,missing", "column 1: 'null' is not a number"),
        ("True,False,a", "column 3: 'a' is not a number"),
        ("1_0,2_0,3_0", "column 1: '1_0' is not a number"),
        ('"1,5","2,5","3,5"', "column 1: '1,5' is not a number"),
        ("3 kg,4 kg,5 kg", "column 1: '3 kg' is not a number"),
        ("a,b", "2 columns, the network takes 3"),
        ("a,b,c,d", "4 columns, the network takes 3"),
    ],
)
def test_what_is_no_heading(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    """A line taken for a heading is dropped: only what is surely one may be."""
    for text in (line, f"\n{line}\n1,2,3\n"):
        Path("x.csv").write_text(text)
        assert f"x.csv: line {text.index(line) + 1}: {message}" in refused_input(capsys, "x.csv")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    "heading",
    ["a,b,c", '"a, b",2nd,"3rd"', "x1,x2,x3", "# a,(b),_", "größe,高さ,ø", "nanometre,e,i"],
)
def test_headings(heading: str) -> None:
    Path("x.csv").write_text(f"{heading}\n1,2,3\n")
    assert predicted("x.csv", "y.npy").shape == (1, 2)


def test_no_samples(net: ln.MLP, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("", "\n \n", "\ufeff"):
        Path("x.csv").write_text(text)
        assert "x.csv: the file is empty" in refused_input(capsys, "x.csv")
    Path("x.csv").write_text("a,b,c\n")
    np.save("x.npy", np.empty((0, 3)))
    for source in ("x.csv", "x.npy"):
        assert predicted(source, "y.npy").shape == (0, net.out_features)
        assert capsys.readouterr() == ("", f"laminet: {source}: 0 samples\n")
        assert main(["predict", "net.safetensors", source, "-o", "y.csv"]) == 0
        assert Path("y.csv").read_text() == ""
        assert capsys.readouterr().err == f"laminet: {source}: 0 samples\n"


@pytest.mark.usefixtures("net")
def test_numbers_too_large_for_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    """They would be infinite in float32; what is infinite in the file is that."""
    np.save("x.npy", np.array([[0, 0, 0], [np.inf, np.nan, -1e39]]))
    message = "x.npy: row 2, column 3: -1e+39 is beyond the largest number of float32"
    assert message in refused_input(capsys, "x.npy")
    for cell in ("1e300", "1e39", "-1e400", " 1e39 "):
        Path("x.csv").write_text(f"a,b,c\n1,2,3\ninf,-Infinity,{cell}\n")
        message = f"x.csv: line 3: column 3: {cell.strip()} is beyond the largest number of float32"
        assert message in refused_input(capsys, "x.csv")
    Path("x.csv").write_text("inf,-Infinity,nan\n+INF, -inf ,3.4e38\n1e-300,1e-400,-0\n")
    assert predicted("x.csv", "y.npy").shape == (3, 2)
    np.save("x.npy", np.array([[np.inf, -np.inf, np.nan], [1e-300, 3.4e38, 0]]))
    assert predicted("x.npy", "y.npy").shape == (2, 2)


def test_numbers_too_large_for_float64(capsys: pytest.CaptureFixture[str]) -> None:
    ln.MLP([ln.Dense(np.eye(3))]).save("net.safetensors")
    Path("x.csv").write_text("1e39,1e308,inf\n1,2,1e400\n")
    assert "line 2: column 3: 1e400 is beyond the largest number of float64" in refused_input(
        capsys, "x.csv"
    )


@pytest.mark.usefixtures("net")
def test_what_is_no_regular_file(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", samples(2))
    for name in ("pipe.npy", "pipe.csv", "pipe"):
        os.mkfifo(name)
    os.symlink("loop.npy", "loop.npy")
    command = ["predict", "net.safetensors"]
    message = "pipe.npy: not a regular file"
    assert message in refused(capsys, *command, "pipe.npy", "-o", "y.npy")
    for name in ("pipe.npy", "pipe.csv"):
        assert f"{name}: not a regular file" in refused(capsys, *command, "x.npy", "-o", name)
    assert "loop.npy: Too many levels" in refused(capsys, *command, "x.npy", "-o", "loop.npy")
    assert "pipe: not a regular file" in refused(capsys, "info", "pipe")


@pytest.mark.usefixtures("net")
def test_names_as_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "net.safetensors"]
    assert "error: INPUT '': the name must end" in refused(capsys, *command, "", "-o", "y.npy")
    assert "error: OUTPUT '': the name must end" in refused(capsys, *command, "x.npy", "-o", "")
    assert "error: '': No such file" in refused(capsys, "info", "")
    assert "error: ./x.npy: No such file" in refused(capsys, *command, "./x.npy", "-o", "y.npy")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("target", ["y.npy", "y.csv"])
def test_a_full_disk(target: str) -> None:
    """A limit on the size of files stands for the disk."""
    np.save("x.npy", samples(50_000))
    before = sorted(os.listdir())
    result = run("predict", "net.safetensors", "x.npy", "-o", target, largest_file=100_000)
    assert result.returncode == 2
    assert result.stderr == f"laminet: error: {target}: File too large\n"
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("net")
def test_a_bad_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.csv").write_bytes(b"1,2,3\n\xff,2,3\n")
    assert "x.csv: line 2: not UTF-8 text" in refused_input(capsys, "x.csv")
    monkeypatch.setattr("laminet.files.csv_files._MAX_LINE", 1000)
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
