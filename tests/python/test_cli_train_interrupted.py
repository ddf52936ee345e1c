"""``laminet train`` that is interrupted, and what it shows on a terminal meanwhile."""

from __future__ import annotations

import dataclasses
import os
import pty
import signal
import subprocess
from typing import Any

import numpy as np
import pytest
from command import COMMAND
from command_train import in_folder

import laminet as ln
from laminet.cli import main, train
from laminet.cli.learning import scores

__all__ = ["in_folder"]  # a fixture

ARGUMENTS = ["train", "t.csv", "--target", "price", "-o", "net.safetensors", "--ignore", "kind"]


def with_interrupts(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let Ctrl-C come as this epoch ends."""

    def fit(*arguments: Any, **options: Any) -> Any:
        def interrupt(epoch: Any) -> None:
            if epoch.number == number:
                os.kill(os.getpid(), signal.SIGINT)

        return ln.fit(*arguments, callbacks=interrupt, **options)

    monkeypatch.setattr(train, "fit", fit)


def test_an_interrupt_keeps_the_best_network_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_interrupts(monkeypatch, 3)
    assert main(ARGUMENTS) == 130
    out, err = capsys.readouterr()
    assert err == "laminet: error: interrupted\n"
    assert "epoch 3 of 3: training was interrupted, this is the best network so far; " in out
    assert "On the 80 samples that it has never seen:" in out
    assert "net.safetensors is written." in out
    assert sorted(os.listdir()) == ["net.safetensors", "t.csv"]
    kept = ln.load("net.safetensors")
    monkeypatch.setattr(train, "fit", ln.fit)
    assert main([*ARGUMENTS, "--epochs", "3"]) == 0
    assert ln.load("net.safetensors") == kept


def test_an_interrupt_before_training_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", fit)
    assert main(ARGUMENTS) == 130
    assert capsys.readouterr().err == "laminet: error: interrupted\n"
    assert os.listdir() == ["t.csv"]


def test_an_interrupt_while_it_is_judged_keeps_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A linear model that is not done would have figures that tell nothing."""

    def fit(*arguments: Any, **options: Any) -> Any:
        return dataclasses.replace(ln.fit(*arguments, **options), stopped="interrupted")

    monkeypatch.setattr(scores, "fit", fit)
    assert main([*ARGUMENTS, "--epochs", "3"]) == 130
    out, err = capsys.readouterr()
    assert err == "laminet: error: interrupted\n"
    assert "least squares" not in out
    assert ln.load("net.safetensors").in_features == 7


def test_a_progress_bar_is_shown_on_a_terminal_only() -> None:
    command = [*COMMAND, *ARGUMENTS, "--epochs", "2"]
    quiet = subprocess.run(command, capture_output=True, check=True)
    assert quiet.stderr == b""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run(command, stderr=follower, stdout=subprocess.PIPE, env=environment, check=True)
    os.close(follower)
    assert b"epoch" in os.read(leader, 65536)
    os.close(leader)


@pytest.mark.parametrize("options", [(), ("--validation", "0")], ids=str)
def test_a_run_that_diverges_late_keeps_the_best_network_so_far(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(net: ln.MLP, x: Any, y: Any, **settings: Any) -> Any:
        def spoil(epoch: ln.training.Epoch) -> None:
            if epoch.number == 3:
                x[:] = np.nan  # read in place, batch by batch

        x = np.array(x, net.dtype)
        return ln.fit(net, x, y, callbacks=spoil, **settings)

    monkeypatch.setattr(train, "fit", fit)
    assert main([*ARGUMENTS, *options]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("laminet: error: the loss is NaN in epoch 4, step ")
    assert err.endswith("; net.safetensors is the best network so far\n")
    assert "epoch 3 of 3, after which training diverged: this is the best network so far; " in out
    assert "net.safetensors is written." in out
    kept = ln.load("net.safetensors")
    monkeypatch.setattr(train, "fit", ln.fit)
    assert main([*ARGUMENTS, *options, "--epochs", "3"]) == 0
    assert ln.load("net.safetensors") == kept
