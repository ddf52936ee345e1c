"""The command that runs all tests: what it says last, whatever fails."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from alone import ALONE

HERE = Path(__file__).resolve().parent
RUN = HERE.parent / "run.py"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_of_all_tests", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(module, "WORK", tmp_path)
    return module


@pytest.mark.parametrize("failing", ["pytest", "cmake", "--build", "ctest", None])
@pytest.mark.parametrize("has_googletest", [True, False])
def test_both_run_and_both_are_told(
    runner: ModuleType,
    failing: str | None,
    has_googletest: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = []

    def run(*command: object, check: bool = True) -> int:
        names = [Path(str(part)).name for part in command]
        commands.append(names)
        step = next((n for n in ("pytest", "--build", "ctest", "cmake") if n in names), "pip")
        status = 3 if step == failing else 0
        if check and status:
            raise subprocess.CalledProcessError(status, names)
        return status

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(runner, "has_googletest", lambda: has_googletest)
    monkeypatch.setattr(sys, "argv", ["run.py", "-x"])
    status = runner.main()
    python, cpp = capsys.readouterr().out.splitlines()[-2:]
    failed = "FAILED"
    assert sum("pytest" in names for names in commands) == 1
    assert any(names[-2:] == ["pytest", "-x"] for names in commands)
    assert python == f"Python tests: {failed if failing == 'pytest' else 'passed'}"
    if has_googletest:
        cpp_fails = failing not in ("pytest", None)
        assert cpp == f"C++ tests: {failed if cpp_fails else 'passed'}"
        assert status == (0 if failing is None else 3)
        assert any("cmake" in names for names in commands)
    else:
        assert cpp.startswith("C++ tests: NOT RUN, GoogleTest is not installed")
        assert status == (3 if failing == "pytest" else 0)


def test_what_builds_it_is_installed_first(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that pyproject.toml wants for a build, as the build finds nothing else."""
    tomllib = pytest.importorskip("tomllib", reason="in Python from 3.11 on")
    commands = []
    monkeypatch.setattr(runner, "run", lambda *command: commands.append(command))
    runner.install()
    wanted = tomllib.loads((RUN.parents[1] / "pyproject.toml").read_text())["build-system"]
    _, tools, package = commands
    assert {"cmake>=3.22", "ninja", *wanted["requires"]} <= set(tools)
    assert package[-4:] == ("--no-build-isolation", ".", "--group", "test")


def test_in_place_only_what_has_changed_is_built(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def run(*command: object, check: bool = True) -> int:
        commands.append([Path(str(part)).name for part in command])
        return 0

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(runner, "has_googletest", lambda: True)
    monkeypatch.setattr(sys, "argv", ["run.py", "--in-place", "-x"])
    monkeypatch.setenv("PYTHONPATH", "")  # to be as it was, afterwards
    assert runner.main() == 0
    assert any("pip" in names for names in commands)  # nothing was installed yet
    (tmp_path / "venv/lib/python3.10/site-packages/laminet-0.1.dist-info").mkdir(parents=True)
    commands.clear()
    assert runner.main() == 0
    assert not any("pip" in names for names in commands)
    configure, build, install, pytest_, ctest = commands
    assert configure[1:] == ["--preset", "dev", "-DLAMINET_TESTS=ON"]
    assert build[1:] == ["--build", "--preset", "dev"]
    assert install[1:] == ["--install", "dev", "--component", "python", "--prefix", "python"]
    assert pytest_[1:] == ["-m", "pytest", "-x"]
    assert ctest[:3] == ["ctest", "--test-dir", "dev"]
    assert os.environ["PYTHONPATH"] == str(runner.TOP / "python")


SUITE = {
    "pytest.ini": (
        "[pytest]\ntestpaths = tests/python\naddopts = -p no:cacheprovider -p xdist.plugin\n"
    ),
    "tests/python/conftest.py": (
        "import alone\nfrom alone import *\nalone.ALONE = {'test_alone.py': 'why'}\n"
    ),
    "tests/python/test_a.py": (
        "import pytest\ndef test_passes(): pass\ndef test_skips(): pytest.skip()\n"
    ),
    "tests/python/test_beside.py": (
        "import os\ndef test(): assert 'PYTEST_XDIST_WORKER' in os.environ\n"
    ),
    "tests/python/test_alone.py": (
        "import os\ndef test(): assert 'PYTEST_XDIST_WORKER' not in os.environ\n"
    ),
}


@pytest.fixture
def suite(runner: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A clone with the option of this suite and three files, of which one runs alone."""
    folder = tmp_path / "tests" / "python"
    folder.mkdir(parents=True)
    for name, text in SUITE.items():
        (tmp_path / name).write_text(text)
    shutil.copy(HERE / "alone.py", folder)
    monkeypatch.setattr(runner, "TOP", tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of these tests themselves
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take seconds to load
    return folder


def last_line(capfd: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"in \d+\.\d\ds", "in S", capfd.readouterr().out.splitlines()[-1].strip("="))


def test_both_passes_run_and_are_added_up(
    runner: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("test_a.py", "test_alone.py"):
        with open(suite / name, "a") as file:
            file.write("def test_wrong(): assert False\ndef test_error(absent): pass\n")
    assert runner.python_tests([]) == 1
    assert last_line(capfd) == " 2 failed, 3 passed, 1 skipped, 2 errors in S "


@pytest.mark.parametrize(
    ("statuses", "expected"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((2, 1), 2)]
)
def test_both_passes_run_and_either_fails_all(
    runner: ModuleType,
    statuses: tuple[int, int],
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = list(statuses)
    monkeypatch.setattr(runner, "run", lambda *_, check: left.pop(0))
    assert runner.python_tests([]) == expected
    assert left == []


def test_options_are_those_of_one_process(
    runner: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert runner.python_tests(["-k", "test_alone"]) == 0
    assert last_line(capfd) == " 1 passed, 3 deselected in S "
    assert runner.python_tests([str(suite / "test_beside.py")]) == 1
    assert last_line(capfd) == " 1 failed in S "


def test_nothing_is_added_up_where_pytest_does_not_start(
    runner: ModuleType, suite: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (suite.parents[1] / "pytest.ini").write_text("[pytest]\nminversion = 1000\n")
    for name in ("together.xml", "alone.xml"):
        (suite.parents[1] / name).write_text("<testsuite/>")  # of an earlier run
    assert runner.python_tests([]) == 4
    assert "passed" not in capfd.readouterr().out


def test_files_that_run_alone_are_there() -> None:
    assert {HERE / name for name in ALONE} <= set(HERE.glob("test_*.py"))
