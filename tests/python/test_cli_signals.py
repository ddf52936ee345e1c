"""The command ``laminet`` interrupted: nothing is left half-done, at whatever moment it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND

import laminet as ln


@pytest.fixture
def net(tmp_path: Path) -> ln.MLP:
    net = ln.MLP.init([3, 5, 2], "tanh", seed=7)
    net.save(tmp_path / "net.safetensors")
    return net


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_an_interrupt_leaves_nothing(number: int, code: int) -> None:
    # The input is a pipe that stays open: the command waits for more of it when the signal comes.
    os.mkfifo("x.csv")
    before = sorted(os.listdir())
    command = [*COMMAND, "predict", "net.safetensors", "x.csv", "-o", "y.npy"]
    with (
        subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            # Where the tests run in the background it would be ignored, and the command wait.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        ) as process,
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


INTERRUPT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, {handler})
"""


@pytest.mark.parametrize("program", ["laminet", "laminet.cli", "script"])
@pytest.mark.parametrize("module", ["numpy", "laminet._core", "laminet.cli.commands", "rich.table"])
def test_an_interrupt_while_the_command_loads(program: str, module: str) -> None:
    """Python runs sitecustomize first; the signal comes when that module is looked for."""
    Path("sitecustomize.py").write_text(
        INTERRUPT.format(module=module, handler="signal.default_int_handler")
    )
    command = ["-m", program]
    if program == "script":  # as installers write it
        Path("laminet").write_text("from laminet.cli import command\ncommand()\n")
        command = ["laminet"]
    path = os.pathsep.join([".", str(Path(ln.__file__).parents[1])])
    result = subprocess.run(
        [sys.executable, *command, "demo"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("", "laminet: error: interrupted\n")
    assert result.returncode == 130


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "signal.default_int_handler"])
def test_another_program_is_interrupted_as_ever(handler: str) -> None:
    Path("sitecustomize.py").write_text(INTERRUPT.format(module="numpy", handler=handler))
    Path("program").write_text(
        "try:\n    import laminet\nexcept KeyboardInterrupt:\n    print('caught')\n"
        "else:\n    print('imported')\n"
    )
    path = os.pathsep.join([".", str(Path(ln.__file__).parents[1])])
    result = subprocess.run(
        [sys.executable, "program"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == ("imported\n" if handler.endswith("IGN") else "caught\n")


@pytest.mark.usefixtures("net")
def test_nohup() -> None:
    """A signal that is ignored when the command starts stays ignored."""
    os.mkfifo("x.csv")
    command = ["nohup", *COMMAND, "predict", "net.safetensors", "x.csv", "-o", "y.npy"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        open("x.csv", "w") as pipe,
    ):
        pipe.write("1,2,3\n")
        pipe.flush()
        time.sleep(0.2)
        process.send_signal(signal.SIGHUP)
        pipe.close()
        assert process.wait(timeout=60) == 0
    assert np.load("y.npy").shape == (1, 2)
