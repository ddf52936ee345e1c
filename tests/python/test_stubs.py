"""The stub of the C++ core says what the module has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_stub_matches_the_module(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy, which reads stubs, is not installed")
    # The classes alone, not their methods: a stub cannot name pybind11's metaclass.
    allowed = tmp_path / "allowed.txt"
    kinds = ("Network", "Derivatives", "Trainer")
    names = [f"{name}F{bits}" for name in kinds for bits in (32, 64)]
    names.append("LeastSquares")
    allowed.write_text("".join(f"laminet._core.{name}\n" for name in names))
    check = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "laminet._core", "--allowlist", str(allowed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr
