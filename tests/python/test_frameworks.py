"""The list of what each test file needs: without a framework the suite must still be collected."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from frameworks import NEEDED, NOT_IMPORTED

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("test_*.py"))

#: Installed wherever the tests run: dependencies of laminet, and the extra "test".
ALWAYS_THERE = {"laminet", "numpy", "platformdirs", "rich", "safetensors"}
ALWAYS_THERE |= {"hypothesis", "matplotlib", "mpmath", "mypy", "pytest", "scipy", "threadpoolctl"}

#: Names of packages that differ from those of their modules, and what comes with another.
MODULES = {"scikit-learn": "sklearn"}
BROUGHT_ALONG = {"joblib", "h5py"}  # by scikit-learn and Keras
OF_ONNX = {"google"}  # google.protobuf


def imports(path: Path) -> set[str]:
    """Packages that a file imports at any place, by itself or by helpers beside it."""
    found: set[str] = set()
    waiting, seen = [path], set()
    while waiting:
        here = waiting.pop()
        seen.add(here)
        for node in ast.walk(ast.parse(here.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                root = name.partition(".")[0]
                helper = here.with_name(f"{root}.py")
                if not helper.exists():
                    found.add(root)
                elif helper not in seen:
                    waiting.append(helper)
    return found


def frameworks(path: Path) -> set[str]:
    found = imports(path)
    if "onnx" in found:
        found -= OF_ONNX
    return found - ALWAYS_THERE - set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_file_imports_is_what_it_needs(path: Path) -> None:
    unseen = set(NOT_IMPORTED.get(path.name, ()))
    needed = set(NEEDED.get(path.name, ()))
    assert unseen <= needed
    assert frameworks(path) == needed - unseen


def test_the_list_names_files_and_packages_that_there_are() -> None:
    assert {*NEEDED, *NOT_IMPORTED} <= {path.name for path in FILES}
    lines = (HERE / "frameworks.txt").read_text().splitlines()
    packages = {re.split("[=<>]", line)[0] for line in lines if not line.startswith("#")}
    listed = {MODULES.get(name, name) for name in packages} | BROUGHT_ALONG
    assert {name for names in NEEDED.values() for name in names} == listed


def test_the_check_sees_imports_of_helpers_and_within_functions(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import second\nfrom os import path\n")
    (tmp_path / "second.py").write_text("import first\ndef f():\n    from third.fourth import g\n")
    assert frameworks(tmp_path / "first.py") == {"third"}
