"""Test files that need the machine to themselves; all others bear tests that run beside them.

tests/run.py runs these in one process, after the others in several, by the option ``--alone``.
Plain pytest runs all of them in one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ALONE = {
    "test_cli_signals.py": "a command has to have begun its work when the signal comes",
    "test_fuzz.py": "a case that takes longer than a second counts as one that hangs",
    "test_gil.py": "another thread must get a CPU while a call runs",
    "test_interruption.py": "how soon a signal comes through",
    "test_limits.py": "calls notice within 0.1 s which CPUs there are",
    "test_machine.py": "the probes measure the machine once",
    "test_prepare.py": "a signal comes while the call waits; threads are counted",
    "test_resized.py": "another thread must get a CPU while a call runs",
    "test_runtime.py": "CPU time and threads of a process",
    "test_threadpoolctl.py": "which threads work, by how often each was waited for",
    "test_threads.py": "which threads work, and the CPU time of those that wait",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--alone",
        choices=("only", "left-out"),
        help="of the test files that need the machine to themselves: only these, or all others",
    )


def left_out(name: str, config: pytest.Config) -> bool:
    chosen = config.getoption("--alone")
    return chosen is not None and (name in ALONE) is (chosen == "left-out")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return (collection_path.suffix == ".py" and left_out(collection_path.name, config)) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out also what is in files that the command names, which are never ignored."""
    config.hook.pytest_deselected(items=[i for i in items if left_out(i.path.name, config)])
    items[:] = [i for i in items if not left_out(i.path.name, config)]
