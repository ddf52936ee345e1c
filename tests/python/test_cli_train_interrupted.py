"""``laminet train`` that is interrupted, and what it shows on a terminal meanwhile."""

from __future__ import annotations

import dataclasses
import os
import pty
import signal
import subprocess
import warnings
from typing import Any

import pytest
from command import COMMAND
from command_train import in_folder

import laminet as ln
from laminet.cli import main, train

__all__ = ["in_folder"]  # a fixture

ARGUMENTS = ["train", "t.csv", "--target", "price", "-o", "net.safetensors", "--ignore", "kind"]


def with_interrupts(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let Ctrl-C come so often as the third epoch ends."""

    def fit(*arguments: Any, callbacks: Any, **options: Any) -> Any:
        def interrupt(epoch: Any) -> None:
            for _ in range(count if epoch.number == 3 else 0):
                os.kill(os.getpid(), signal.SIGINT)

        return ln.fit(*arguments, callbacks=[interrupt, callbacks], **options)

    monkeypatch.setattr(train, "fit", fit)


def test_an_interrupt_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_interrupts(monkeypatch, 1)
    assert main(ARGUMENTS) == 130
    assert capsys.readouterr().err == "laminet: error: interrupted\n"
    assert os.listdir() == ["t.csv"]


def test_an_interrupt_within_an_epoch_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of that, the run itself knows how to end, and warns of it."""

    def fit(*arguments: Any, **options: Any) -> Any:
        warnings.warn("training was interrupted in epoch 2: the network is that", stacklevel=2)
        return dataclasses.replace(ln.fit(*arguments, **options), stopped="interrupted")

    monkeypatch.setattr(train, "fit", fit)
    assert main([*ARGUMENTS, "--epochs", "2"]) == 130
    assert capsys.readouterr().err == "laminet: error: interrupted\n"
    assert os.listdir() == ["t.csv"]


def test_an_interrupt_keeps_the_best_network_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with_interrupts(monkeypatch, 1)
    assert main([*ARGUMENTS, "--save-interrupted"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "epoch 3 of 3: training was interrupted, this is the best network so far; " in out
    assert "On the 80 samples that it has never seen:" in out
    assert signal.getsignal(signal.SIGINT) is handler
    kept = ln.load("net.safetensors")
    monkeypatch.setattr(train, "fit", ln.fit)
    assert main([*ARGUMENTS, "--epochs", "3"]) == 0
    assert ln.load("net.safetensors") == kept


def test_a_second_interrupt_is_as_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with_interrupts(monkeypatch, 2)
    assert main([*ARGUMENTS, "--save-interrupted"]) == 130
    assert capsys.readouterr().err == "laminet: error: interrupted\n"
    assert os.listdir() == ["t.csv"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind nohup."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with_interrupts(monkeypatch, 1)
        assert main([*ARGUMENTS, "--save-interrupted", "--epochs", "5", "--validation", "0"]) == 0
        first = ln.load("net.safetensors")
        monkeypatch.setattr(train, "fit", ln.fit)
        assert main([*ARGUMENTS, "--epochs", "5", "--validation", "0"]) == 0
    finally:
        signal.signal(signal.SIGINT, previous)
    assert ln.load("net.safetensors") == first


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
