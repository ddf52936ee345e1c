"""The command ``laminet``: what it prints and refuses, and where its output cannot go."""

from __future__ import annotations

import os
import platform
import pty
import pwd
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import COMMAND, refused, run, samples

import laminet as ln
from laminet.cli import demo, main


@pytest.fixture
def net(tmp_path: Path) -> ln.MLP:
    net = ln.MLP.init([3, 5, 2], "tanh", seed=7)
    net.save(tmp_path / "net.safetensors")
    return net


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_demo_in_a_log_file() -> None:
    result = run("demo", COLUMNS="80")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    text = result.stdout
    assert "446 of 450 digits" in text
    assert text.count("% of those held out are right") == 8
    assert "epoch 60  loss 0." in text
    fused = "generic" not in (info := ln.build_info())["isa"]
    assert ("comes with laminet, to the bit." in " ".join(text.split())) == fused
    rows = [line.split() for line in text.splitlines()]
    # 2 * 64 * 64 + 64 + 64 FLOPs
    assert ["1", "(64,", "64)", "(64,)", "relu", "4,160", "8,320"] in rows
    assert f"instruction set {info['isa']}" in text
    assert f"threads {ln.get_num_threads()}" in text
    assert (info["blas"]["name"] if info["blas"] else "BLAS none") in text
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("64-64-32-10")] == [
        ["64-64-32-10", "tiled"]
    ]
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 65
    assert text.isascii()  # no colour codes, no lines of boxes


def test_demo_on_a_terminal() -> None:
    """The bar stays in its line, and shows how well it reads."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([*COMMAND, "demo"], stdout=follower, env=environment) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                shown += os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
        assert process.wait(timeout=120) == 0
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "60/60" in text
    last = text.rsplit("60/60", 1)[1].splitlines()[0]
    assert re.search(r"99\.1 % of those held out are right", last), last
    assert "loss" not in text.split("60/60")[0]


def test_demo_where_only_ascii_can_be_printed() -> None:
    assert run("demo", PYTHONIOENCODING="ascii", LC_ALL="C").returncode == 0


def test_demo_says_that_the_difference_is_within_the_bound() -> None:
    text = " ".join(run("demo").stdout.split())
    found = re.search(r"differ by (\S+) at most; rounding could explain (\S+) ", text)
    assert found
    assert 0 < float(found[1]) < float(found[2]) < 0.1
    percent = re.search(r"none uses more than (\S+) % of its derived bound", text)
    assert percent
    assert 0 < float(percent[1]) < 1


@pytest.mark.parametrize("threads", [1, 2])
def test_demo_compares_on_one_thread(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gain of a batch is that of level 3 over level 2, not that of more threads."""
    used: list[tuple[int, int]] = []

    def seconds_of_one_call(function: Callable[[], None]) -> float:
        function()
        return 1e-3

    monkeypatch.setattr(demo, "_seconds", seconds_of_one_call)
    call = ln.MLP.__call__

    def spy(net: ln.MLP, x: Any, **options: Any) -> Any:
        used.append((np.ndim(x), ln.get_num_threads()))
        return call(net, x, **options)

    monkeypatch.setattr(ln.MLP, "__call__", spy)
    ln.set_num_threads(threads)
    net = ln.MLP.init([64, 3], seed=0)
    demo._times(net, samples(4, features=64), threads)
    assert used == [(1, 1)] * 4 + [(2, 1)] + [(2, threads)] * (threads > 1)
    assert ln.get_num_threads() == threads


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    leaky = ln.Activation("leaky_relu", alpha=0.25)
    ln.MLP.init([3, 5, 2], leaky, dtype="float64", seed=7).save("some[bold]net")
    assert main(["info", "some[bold]net"]) == 0
    out = capsys.readouterr().out
    assert f"some[bold]net: {os.path.getsize('some[bold]net'):,} bytes" in out
    assert "network 3-5-2, float64, 32 parameters" in out
    assert "leaky_relu(alpha=0.25)" in out
    # 2 * 5 * 3 + 5 + 5 and 2 * 2 * 5 + 2
    lines = [line.split() for line in out.splitlines() if line[:1].isdigit()]
    assert [line[-1] for line in lines[:4]] == ["40", "22", "40", "22"]
    assert str(ln.cost(ln.load("some[bold]net"))) in out


def test_info_of_what_is_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing: No such file or directory" in refused(capsys, "info", "missing")
    Path("text").write_text("a text that is long enough to have a header")
    assert "text: no kind of file that laminet reads" in refused(capsys, "info", "text")


def test_long_lines_are_not_wrapped() -> None:
    layer = ln.Dense(np.eye(2), np.ones(2), ln.Activation("hard_sigmoid", 0.123456, 0.654321))
    net = ln.MLP([layer, layer])
    name = "n" * 120
    net.save(name)
    lines = run("info", name, COLUMNS="80").stdout.splitlines()
    assert lines[0].startswith(f"{name}: ")
    table = str(net.summary()).splitlines()
    assert max(map(len, table)) > 80
    assert lines[3 : 3 + len(table)] == table


def test_a_name_that_cannot_be_printed(net: ln.MLP) -> None:
    for name, shown in (("ü.st", r"\xfc.st: "), ("\udcff.st", r"\udcff.st: ")):
        net.save(name)
        result = run("info", name, PYTHONIOENCODING="ascii")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(shown)
    assert r"\xfc: No such file" in run("info", "ü", PYTHONIOENCODING="ascii").stderr


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["nonsense"], ["predict"], ["predict", "a", "b"], ["info"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: laminet" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == f"laminet {ln.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["predict"], ["convert"], ["info"]])
def test_nothing_given_shows_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) <= 60
    with pytest.raises(SystemExit) as caught:
        main(["help", *arguments])
    assert caught.value.code == 0
    assert capsys.readouterr() == (err, "")


@pytest.mark.parametrize("module", ["laminet", "laminet.cli"])
def test_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "-V"]
    assert subprocess.check_output(command, text=True) == f"laminet {ln.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predcit"], "unknown 'predcit', did you mean 'predict'? expected one of demo, info, "),
        (["Info", "net"], "unknown 'Info', did you mean 'info'?"),
        (["xyz"], "unknown 'xyz', expected one of demo, "),
        (["info", "net", "--operation", "Jacobain"], "did you mean 'jacobian'?"),
        (["convert", "a", "b", "--head", "log-softmax"], "did you mean 'log_softmax'?"),
        (["convert", "a", "b", "--dtype", "Float32"], "did you mean 'float32'?"),
        (["convert", "a", "b", "--activations", "ReLU,swish"], "did you mean 'relu'?"),
        (["convert", "a", "b", "--activations", "relu,swish"], "did you mean 'silu'?"),
        (["predict", "a", "b", "-o", "c", "--clases"], "did you mean '--classes'?"),
        (["predict", "a", "b", "-o", "c", "--xyz"], "unrecognized arguments: --xyz\n"),
        (["info", "a", "b", "c"], "laminet info: error: unrecognized arguments: b c\n"),
        (["info", "a", "\x1b[31m"], r"unrecognized arguments: \x1b[31m"),
    ],
)
def test_what_was_meant(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_info_of_the_system(
    net: ln.MLP, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.setenv("LAMINET_BLAS", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "/somebody/3")
    assert main(["info", "--system"]) == 0
    text = capsys.readouterr().out
    assert "\n\n" not in text  # one block
    found = dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines())
    info = ln.build_info()
    assert found["laminet"].startswith(f"{info['version']}, ")
    assert found["Python"].startswith(platform.python_version())
    assert found["CPU"].startswith(info["cpu"])
    assert found["instruction set"].startswith(info["isa"])
    assert found["BLAS"].startswith(info["blas"]["name"] if info["blas"] else "none")
    assert found["threads"].startswith(f"{info['threads']} ({info['threads_source']}) of ")
    assert "OMP_NUM_THREADS=~/3" in found["variables"]
    assert f"numpy {np.__version__}, " in found["packages"]
    assert "L1 " in found["caches"]
    assert "/somebody" not in text
    assert {"system", "memory", "back end"} <= set(found)
    assert main(["info", "net.safetensors", "--system"]) == 0
    both = capsys.readouterr().out
    assert both.startswith(text.splitlines()[0])
    assert f"network {'-'.join(map(str, net.sizes))}" in both


def test_info_of_the_system_for_a_user_without_a_home(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("no such user")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert main(["info", "--system"]) == 0
    assert "instruction set" in capsys.readouterr().out


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("name", ["ISA", "BACKEND", "NUM_THREADS", "BLAS"])
def test_a_wrong_variable(name: str) -> None:
    for arguments in (["demo"], ["info", "net.safetensors"]):
        result = run(*arguments, **{f"LAMINET_{name}": "nonsense"})
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(rf"laminet: error: LAMINET_{name}[: ][^\n]+\n", result.stderr)


def test_version_and_help_whatever_the_variables() -> None:
    for argument in ("--version", "--help"):
        assert run(argument, LAMINET_ISA="nonsense").returncode == 0


@pytest.mark.parametrize("arguments", [["--version"], ["demo"], ["info", "net.safetensors"]])
@pytest.mark.usefixtures("net")
def test_a_reader_that_stops(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--version"], ["demo"], ["info", "net.safetensors"]])
@pytest.mark.usefixtures("net")
def test_standard_output_on_a_full_disk(arguments: list[str]) -> None:
    with open("out", "w") as out:
        result = run(*arguments, largest_file=10, stdout=out)
    assert result.stderr == "laminet: error: standard output: File too large\n"
    assert result.returncode == 2


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


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("command", [["info", "net.safetensors"], ["demo"]])
def test_no_temporary_directory_is_needed(command: list[str]) -> None:
    """On a full disk, or in a container that can only be read."""
    code = (
        "import tempfile, sys\n"
        "def refuse(): raise FileNotFoundError('No usable temporary directory')\n"
        "tempfile.gettempdir = refuse\n"
        "from laminet.cli import main\n"
        f"sys.exit(main({command!r}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
