"""Links that ask for no newer C library than a wheel's tag says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "python" / "tools" / "older_glibc.py"
pytestmark = [
    pytest.mark.skipif(not TOOL.exists(), reason="needs the sources, with python/tools"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("cc", "readelf"))) or sys.platform != "linux",
        reason="needs a C compiler and binutils on Linux",
    ),
]

# Each of these has a version of 2.28 or newer in a C library that is newer itself, and one before.
SOURCE = """
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
extern char __libc_single_threaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void say(void) { printf("%g %d\\n", pow(2.0, 10.0), __libc_single_threaded); }
int main(void) { return pthread_once(&once, say) || !dlopen(NULL, RTLD_NOW); }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glibc")
    subprocess.run([sys.executable, TOOL, folder, "2.27"], check=True)
    (folder / "main.c").write_text(SOURCE)
    return folder


def link(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = ["cc", "-fno-builtin", "-o", "program", *files, "-L.", "compat.o", "-lm"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_program_asks_for_old_versions_and_runs_on_the_new_library(folder: Path) -> None:
    done = link(folder, "main.c")
    assert done.returncode == 0, done.stderr
    listing = subprocess.run(
        ["readelf", "--version-info", "--dynamic", "--wide", "program"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    asked = {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", listing)}
    # The start of a program, of the compiler's files, is of 2.34: an extension has none.
    asked.discard((2, 34))
    assert asked
    assert max(asked) <= (2, 27)
    assert {"libdl.so.2", "libpthread.so.0"} <= set(re.findall(r"NEEDED.*\[(.*)\]", listing))
    ran = subprocess.run([folder / "program"], capture_output=True, text=True, check=True)
    assert ran.stdout == "1024 0\n"


def test_what_is_newer_altogether_is_named(folder: Path) -> None:
    (folder / "newer.c").write_text("int gettid(void);\nint main(void) { return gettid() == 0; }\n")
    done = link(folder, "newer.c")  # glibc 2.30
    assert done.returncode != 0
    assert "undefined reference to `gettid'" in done.stderr
