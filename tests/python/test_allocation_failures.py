"""Where there is no memory: MemoryError or the right result, and everything works on.

Each allocation of the core and the binding layer fails, one after the other, in some 3,000 runs;
with one thread each fifth.
Two are left out, for which nothing can be done here: the C library ends the process where it has no
memory for the variables that OpenBLAS and pybind11 keep for a thread that is new to them.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from variants import BACKENDS

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def failing_allocations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that makes allocations fail."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    assert compiler, "this test needs a C compiler: name one in CC"
    library = tmp_path_factory.mktemp("library") / "failing_allocations.so"
    source = FOLDER / "failing_allocations.c"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", library, source], check=True)
    return library


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="stands before the allocations of glibc alone"
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_allocation_may_fail(failing_allocations: Path, backend: str, threads: int) -> None:
    result = subprocess.run(
        [sys.executable, FOLDER / "allocation_failures.py", backend, str(threads)],
        env={**os.environ, "LD_PRELOAD": str(failing_allocations)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert {name: wrong for name, (_, wrong) in report.items() if wrong} == {}, result.stderr
    # The test would be of nothing if it saw none of the allocations.
    assert min(count for count, _ in report.values()) > 10, report
