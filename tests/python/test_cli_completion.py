"""The script of ``laminet --completion``: what a shell offers, asked of the shell itself."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from laminet.cli import main

COMMANDS = ["bench", "convert", "demo", "help", "info", "predict", "roofline", "train"]


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    with pytest.raises(SystemExit) as leave:
        main(["--completion", shell])
    assert leave.value.code == 0
    return capsys.readouterr().out


def offered(text: str, *words: str) -> list[str]:
    """What bash offers for the last word of a line; it knows no word where it completes files."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash, whose words these are, is not installed")
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _laminet; printf "%s\\n" "${COMPREPLY[@]}"'
    command = [bash, "--norc", "-uc", f"{text}\n{ask}", "bash", "laminet", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return sorted(done.stdout.split())


def test_words_of_bash(capsys: pytest.CaptureFixture[str]) -> None:
    text = script(capsys, "bash")
    for words, expected in (
        ([""], COMMANDS),
        (["pr"], ["predict"]),
        (["--v"], ["--version"]),
        (["--completion", ""], ["bash", "zsh"]),
        (["help", "i"], ["info"]),
        (["info", "--o"], ["--operation"]),
        (["info", "--operation", ""], ["forward", "gradients", "jacobian", "vjp"]),
        (["info", "--operation", "=", "j"], ["jacobian"]),
        (["info", "--operation", "="], ["forward", "gradients", "jacobian", "vjp"]),
        (["predict", "n.safetensors", "x.csv", "--missing", "n"], ["nan"]),
        (["train", "--missing", "n"], []),
        (["predict", "net"], []),  # names of files
        (["predict", "-o", ""], []),
        (["info", "net.safetensors", ""], []),
        (["nothing", "x"], []),
    ):
        assert offered(text, *words) == expected, words


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"help"}))
def test_every_option_is_offered(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(capsys, "bash")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    usage = capsys.readouterr().out
    options = set(re.findall(r"^  (-\w)?(?:, )?(?:\w+, )?(--[\w-]+)", usage, re.MULTILINE))
    found = offered(text, command, "-")
    assert {long for _, long in options} | {short for short, _ in options if short} <= {*found}
    assert {"-h", "--help"} <= {*found}


def test_zsh_takes_the_script_of_bash(capsys: pytest.CaptureFixture[str]) -> None:
    text = script(capsys, "bash")
    first, _, rest = script(capsys, "zsh").partition("\n")
    assert first == "autoload -Uz compinit bashcompinit && compinit && bashcompinit"
    assert rest == text
