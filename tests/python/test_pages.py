"""The pages of docs/: their Python runs, their commands run, and their links lead somewhere."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import matplotlib
import onnx  # noqa: F401 - pages and examples read and write files of it
import onnxruntime  # noqa: F401 - a page compares with it
import pyarrow  # noqa: F401 - as they do of Parquet
import pytest
import sklearn  # noqa: F401 - a page trains with its names
import torch  # noqa: F401 - pages and examples read modules of it
from public_examples import OF_FRAMEWORKS, failures_of
from synthetic import Machine, fake_times

import laminet as ln
from laminet.cli import main

__all__ = ["fake_times"]  # a fixture

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
#: Each takes an engine that is not among the frameworks; tests/engines runs their snippets.
ENGINES = {"dask", "ray", "spark", "duckdb", "polars", "pandas", "distributed-training", "scale"}
PAGES = sorted(p for p in DOCS.rglob("*.md") if p.stem not in ENGINES)
#: Blocks that run: Python, and of a shell's lines those of the command.
BLOCK = re.compile(r"^```(python|\{picture\}|sh)\n((?:.*\n)*?)```$", re.MULTILINE)
RUN = [p for p in PAGES if BLOCK.search(p.read_text())]


def blocks(page: str) -> list[tuple[str, str]]:
    """Return what runs, in order: the kind of each block, and its lines."""
    found = [(kind, text) for kind, text in BLOCK.findall(page)]
    return [(kind, re.sub(r"\A(:.*\n)+", "", text)) for kind, text in found]


def commands(shell: str) -> list[list[str]]:
    """Return the arguments of each call of laminet in lines of a shell."""
    lines = shell.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("laminet ")]


def test_blocks_are_found() -> None:
    page = "a\n```python\nx = 1\n```\n```{picture}\n:alt: b\n\nf()\n```\n```text\nno\n```\n"
    assert blocks(page) == [("python", "x = 1\n"), ("{picture}", "\nf()\n")]
    assert commands("pip install .\nlaminet a b \\\n  -c  # d\n") == [["a", "b", "-c"]]
    assert len(RUN) > 15


@pytest.mark.parametrize("path", RUN, ids=lambda p: str(p.relative_to(DOCS)))
def test_what_a_page_shows_runs_in_order(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fake_times: Machine,
) -> None:
    """With a machine of round figures: to measure this one takes seconds, and so it is in CI."""
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    threads, backend = ln.get_num_threads(), ln.get_backend()
    try:
        for kind, text in blocks(path.read_text()):
            if kind != "sh":
                exec(compile(text, str(path), "exec"), names)
                continue
            for arguments in commands(text):
                assert main(arguments) == 0, capsys.readouterr().err
    finally:
        ln.set_backend(backend)
        ln.set_num_threads(threads)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_links_within_the_tree_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", path.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), target


def test_the_tests_that_pages_name_exist() -> None:
    tests = TOP / "tests"
    there = {p.name for p in (*tests.rglob("*.py"), *tests.rglob("*.cpp"))}
    promises = (DOCS / "explanation" / "promises.md").read_text()
    assert len(re.findall(r"`(test_\w+\.py|\w+_test\.cpp)`", promises)) > 15
    for path in PAGES:
        named = re.findall(r"`(test_\w+\.py|\w+_test\.cpp)`", path.read_text())
        assert set(named) <= there, path.name


def test_figures_are_written_without_exponents() -> None:
    # By its path: another package is called so.
    markdown: Any = runpy.run_path(str(TOP / "bench" / "markdown.py"))
    numbers = [0.8275, 52.6, 999.96, 9999.4, 9999.6, 10084.0, 1936000]
    expected = ["0.8275", "52.6", "1,000", "9,999", "10,000", "10,080", "1,936,000"]
    assert [markdown["four_digits"](number) for number in numbers] == expected
    reports = sorted((DOCS / "figures").glob("*.json"))
    assert len(reports) == 4
    for text in [*(markdown["tables"](json.loads(path.read_text())) for path in reports)]:
        assert "|" in text
        assert not re.search(r"\de[+-]\d", text)


# That of from_keras is in test_keras_files.py: to import Keras takes seconds.
@pytest.mark.parametrize("name", sorted({*OF_FRAMEWORKS} - {"from_keras"}))
def test_examples_that_take_a_framework_run(name: str) -> None:
    assert failures_of(name, getattr(ln, name).__doc__) == 0
