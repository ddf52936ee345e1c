"""The script of all checks: which stages run, and that nothing that fails is lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[2] / ".ci"
pytestmark = pytest.mark.skipif(not CI.exists(), reason="a source distribution has no .ci")

STAGES = {
    "10-tests": "# the tests\necho '== 2 passed in 1s =='\necho '100% tests passed, of 3'\n",
    "20-bad": "# fails in the middle\necho before\nfalse\necho after\n",
    "30-last": "# needs what it names\ntest -e .ci\necho well >build/proof\n",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with other stages."""
    (tmp_path / ".ci" / "stages").mkdir(parents=True)
    shutil.copy(CI / "run", tmp_path / ".ci")
    for name, text in STAGES.items():
        (tmp_path / ".ci" / "stages" / name).write_text(text)
    return tmp_path


def run(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(clone / ".ci" / "run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_all_stages_run_whatever_fails(clone: Path) -> None:
    done = run(clone)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "before" in lines
    assert "after" not in lines
    assert (clone / "build" / "proof").exists()
    assert lines[-2:] == ["== 2 passed in 1s ==", "100% tests passed, of 3"]
    table = [line for line in lines[-7:-3] if not line.startswith("===")]
    outcomes = [re.fullmatch(r"(\w+) +\d+ s +\d+ CPU s  (.*)", line) for line in table]
    assert [match and match.groups() for match in outcomes] == [
        ("tests", "passed"),
        ("bad", "FAILED with status 1"),
        ("last", "passed"),
    ]
    assert (clone / "build" / "ci" / "bad.log").read_text() == "before\n"


def test_chosen_stages_run_alone(clone: Path) -> None:
    done = run(clone, "last")
    assert done.returncode == 0
    assert (clone / "build" / "proof").exists()
    assert not (clone / "build" / "ci" / "tests.log").exists()
    assert "passed in" not in done.stdout
    assert run(clone, "last", "bad").returncode == 1


def test_what_could_not_run_is_said_and_is_no_failure(clone: Path) -> None:
    stage = clone / ".ci" / "stages" / "40-absent"
    stage.write_text("# needs what is not here\necho 'no such tool here'\nexit 77\n")
    done = run(clone, "last", "absent")
    assert done.returncode == 0
    assert re.search(r"^absent +\d+ s +\d+ CPU s  NOT RUN: no such tool here$", done.stdout, re.M)


def test_what_a_stage_leaves_running_is_not_waited_for(clone: Path) -> None:
    stage = clone / ".ci" / "stages" / "40-leaves"
    stage.write_text("# leaves a process that keeps its output\nsetsid sleep 300 &\necho $!\n")
    done = run(clone, "leaves")
    os.kill(int((clone / "build" / "ci" / "leaves.log").read_text()), signal.SIGKILL)
    assert done.returncode == 0


def test_unknown_stages_are_refused_before_any_runs(clone: Path) -> None:
    done = run(clone, "last", "lst")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("there is no stage 'lst'; the stages are\n  tests ")
    assert not (clone / "build" / "proof").exists()


def test_the_list_tells_what_each_stage_does(clone: Path) -> None:
    described = [line.split(maxsplit=1) for line in run(clone, "--list").stdout.splitlines()]
    assert described == [
        ["tests", "the tests"],
        ["bad", "fails in the middle"],
        ["last", "needs what it names"],
    ]


@pytest.mark.parametrize("path", sorted((CI / "stages").glob("*")), ids=lambda p: p.name)
def test_every_stage_describes_itself_and_is_bash(path: Path) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]{1,14}", path.name)
    first, second = path.read_text().splitlines()[:2]
    assert re.fullmatch(r"# \S.{10,110}", first)
    assert second == "source .ci/lib"
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_thread_sanitizer_compiles_what_its_stage_runs() -> None:
    chosen = re.findall(r"ctest .* -R '?([\w|]+)", (CI / "stages" / "50-tsan").read_text())
    assert len(chosen) == 2
    folder = CI.parent / "tests" / "cpp"
    lists = re.findall(r"files((?:\s+\w+_test\.cpp)+)\)", (folder / "CMakeLists.txt").read_text())
    assert len(lists) == 2
    found = set()
    for path in folder.glob("*_test.cpp"):
        tests = re.findall(r"\bT\w*EST(?:_\w)?\((\w+),\s*(\w+)\)", path.read_text())
        assert tests
        if re.search("|".join(chosen), "\n".join(map(".".join, tests))):
            found.add(path.name)
    assert found == set(lists[0].split())
