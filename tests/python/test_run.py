"""The command that runs all tests: what it says last, whatever fails."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RUN = Path(__file__).resolve().parents[1] / "run.py"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_of_all_tests", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
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
