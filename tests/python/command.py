"""The command ``laminet`` as the tests run it: in this process, or in one of its own."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from laminet.cli import main

COMMAND = [sys.executable, "-m", "laminet.cli"]


def samples(rows: int, dtype: str = "float32", features: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(rows).standard_normal((rows, features)).astype(dtype)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with one line; check that it left nothing."""
    before = sorted(os.listdir())
    assert main(list(arguments)) == 2
    assert sorted(os.listdir()) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"laminet: error: [^\n]+\n", err), err
    return err


def run(
    *arguments: str,
    largest_file: int | None = None,
    stdout: Any = subprocess.PIPE,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which may be unable to write large files."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        preexec_fn=limit,
        text=True,
        timeout=120,
        check=False,
    )


def predicted(source: str, target: str, *options: str) -> Any:
    assert main(["predict", "net.safetensors", source, "-o", target, *options]) == 0
    if target.endswith(".npy"):
        return np.load(target)
    return np.loadtxt(target, delimiter=",", dtype=None, ndmin=2)
