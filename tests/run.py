"""Set up and run all tests: pytest, and the C++ tests where GoogleTest is installed.

Usage, from the top of a clone: python3 tests/run.py [--in-place] [PYTEST OPTIONS]

pytest runs in several processes, then the files of tests/python/alone.py in one; with options of
its own it runs as they say, in one unless they say otherwise (``-n 2``).

Everything happens in build/tests: a virtual environment with laminet and what its tests need, and
the build of the C++ tests. With ``--in-place``, for work on laminet, the preset ``dev`` is built,
of which only what has changed is compiled: the extension, which goes beside the sources, and the
C++ tests. The sources are then what is tested; a change of theirs needs no installation.

Needs Python 3.10 or newer and a C++20 compiler, no root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import xml.etree.ElementTree as ET
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
WORK = TOP / "build" / "tests"
#: Of the preset `dev`.
IN_PLACE = TOP / "build" / "dev"
PYTHON = WORK / "venv" / "bin" / "python"

#: Each process imports the frameworks, which takes a gigabyte.
MOST_PROCESSES = 4


def run(*command: str | Path, check: bool = True) -> int:
    """Show the command, run it at the top of the clone; raise CalledProcessError if it fails."""
    print("$", *command, flush=True)
    return subprocess.run([str(part) for part in command], cwd=TOP, check=check).returncode


def install() -> None:
    """Install laminet and what its tests need.

    What builds it stays installed, too: in an environment of the build's own, another folder each
    time, everything would be compiled anew.
    """
    if not PYTHON.exists():
        venv.create(WORK / "venv", with_pip=True)
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "pip>=25.1")  # the first that knows groups
    run(*pip, "cmake>=3.22", "ninja", *build_requirements())
    run(*pip, "--no-build-isolation", ".", "--group", "test")


def build_in_place() -> None:
    """Build what has changed of the preset `dev`, and put the extension beside the sources."""
    cmake = PYTHON.with_name("cmake")
    run(cmake, "--preset", "dev", f"-DLAMINET_TESTS={'ON' if has_googletest() else 'OFF'}")
    run(cmake, "--build", "--preset", "dev")
    run(cmake, "--install", IN_PLACE, "--component", "python", "--prefix", TOP / "python")
    os.environ["PYTHONPATH"] = str(TOP / "python")


def is_installed() -> bool:
    """Whether laminet is installed where its tests run: what says its version, and its command."""
    return any(WORK.glob("venv/lib/python*/site-packages/laminet-*.dist-info"))


def python_tests(options: list[str]) -> int:
    """Run pytest: with options as they say, else all tests in two passes, whose sum comes last."""
    if options:
        return run(PYTHON, "-m", "pytest", *options, check=False)
    # Each keeps laminet's own number of threads, which tests ask for: threads that wait sleep soon.
    processes = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    # In the order of their names: those of most tests first, the longest file would come last.
    shared_out = ("-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder")
    passes = {
        "together": ("--alone=left-out", *shared_out),
        "alone": ("--alone=only",),
    }
    statuses, reports = [], []
    for name, chosen in passes.items():
        report = WORK / f"{name}.xml"
        report.unlink(missing_ok=True)
        command = (PYTHON, "-m", "pytest", *chosen, f"--junitxml={report}")
        statuses.append(run(*command, check=False))
        reports.append(report)
    if all(report.exists() for report in reports):  # none is written where pytest could not start
        print(closing_line(reports))
    return next(filter(None, statuses), 0)


def closing_line(reports: list[Path]) -> str:
    """Add up what each JUnit report counts, and say it as pytest does."""
    suites = [suite for report in reports for suite in ET.parse(report).iter("testsuite")]

    def count(name: str) -> int:
        return sum(int(suite.attrib[name]) for suite in suites)

    failed, errors, skipped = count("failures"), count("errors"), count("skipped")
    counts = {
        "failed": failed,
        "passed": count("tests") - failed - errors - skipped,
        "skipped": skipped,
        "error" if errors == 1 else "errors": errors,
    }
    told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    seconds = sum(float(suite.attrib["time"]) for suite in suites)
    return f" {told or 'no tests ran'} in {seconds:.2f}s ".center(80, "=")


def has_googletest() -> bool:
    """Whether the C++ compiler finds GoogleTest's header."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text("#include <gtest/gtest.h>\n")
        probe = subprocess.run([compiler, "-E", str(source)], capture_output=True, check=False)
    return probe.returncode == 0


def cpp_tests(build: Path | None = None) -> int | None:
    """Run the C++ tests of a build, or build them before; None where they cannot be built."""
    if not has_googletest():
        return None
    # Those that are installed: the system may have no CMake, an old one, or nothing it builds with.
    cmake, ctest, ninja = (PYTHON.with_name(name) for name in ("cmake", "ctest", "ninja"))
    if build is not None:
        return run(ctest, "--test-dir", build, "--output-on-failure", check=False)
    build = WORK / "cpp"
    run(
        *(cmake, "-S", TOP, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"),
        *("-DLAMINET_TESTS=ON", f"-DPython_EXECUTABLE={PYTHON}"),
    )
    run(cmake, "--build", build)
    return run(ctest, "--test-dir", build, "--output-on-failure", check=False)


def build_requirements() -> list[str]:
    """Return what pyproject.toml wants for a build; Python 3.10 has no reader of such files."""
    text = (TOP / "pyproject.toml").read_text()
    found = re.search(r"^requires = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    lines = found[1].splitlines() if found else []
    return [match[1] for line in lines if (match := re.match(r' +"([^"]+)"', line))]


def main() -> int:
    """Run everything, whatever fails before; the first failure's status, or 0."""
    options = sys.argv[1:]
    in_place = "--in-place" in options
    options = [option for option in options if option != "--in-place"]
    if not (in_place and is_installed()):
        install()
    if in_place:
        build_in_place()
    python_status = python_tests(options)
    try:
        cpp_status = cpp_tests(IN_PLACE if in_place else None)
    except subprocess.CalledProcessError as error:  # they were not built
        cpp_status = error.returncode
    outcome = {None: "NOT RUN, GoogleTest is not installed (Debian: apt install libgtest-dev)"}
    print(f"Python tests: {'passed' if python_status == 0 else 'FAILED'}")
    print(f"C++ tests: {outcome.get(cpp_status, 'FAILED' if cpp_status else 'passed')}", flush=True)
    return python_status or cpp_status or 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
