"""The examples in the README and in the docstrings run and give what they show."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from public_examples import OF_FRAMEWORKS, PUBLIC, failures_of
from synthetic import Machine, fake_times

import laminet as ln

__all__ = ["fake_times"]  # a fixture

README = Path(__file__).resolve().parents[2] / "README.md"


def readme_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_links_of_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert len(targets) > 10
    assert [target for target in targets if not (README.parent / target).exists()] == []


def test_readme_examples_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import laminet as ln

    examples = readme_examples()
    assert len(examples) >= 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    backend, threads = ln.get_backend(), ln.get_num_threads()
    try:
        for example in examples:
            exec(example, names)
    finally:
        ln.set_backend(backend)
        ln.set_num_threads(threads)
    # "97 % are right", by four of 450 more or less.
    right = names["reader"].predict(names["others"]) == names["expected"]
    assert abs(right.mean() - 0.97) < 0.009
    assert "Layer 3: W(10, 128) @ a(128,) + b(10,) -> z(10,) -> a(10,)" in capsys.readouterr().out


def docstring_examples(name: str) -> list[doctest.DocTest]:
    """Of what the file defines: its public classes say that they are of `laminet`."""
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    parser, finder = doctest.DocTestParser(), doctest.DocTestFinder(exclude_empty=True)
    found = [parser.get_doctest(module.__doc__ or "", dict(vars(module)), name, str(path), 0)]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            defined = getattr(module, node.name)
            found += finder.find(defined, node.name, module=False, globs=dict(vars(module)))
    return found


@pytest.mark.parametrize(
    "name",
    [
        "laminet",
        "laminet.core.activation",
        "laminet.core.layers.dense",
        "laminet.core.layers.dropout",
        "laminet.core.layers.norms",
        "laminet.core.layers.parallel",
        "laminet.core.layers.rescale",
        "laminet.core.layers.residual",
        "laminet.core.layers.select",
        "laminet.core.mlp",
        "laminet.core.outputs",
        "laminet.losses.classification",
        "laminet.losses.names",
        "laminet.losses.regression",
        "laminet.optim.first_order",
        "laminet.optim.full_batch",
        "laminet.optim.muon",
        "laminet.optim.names",
        "laminet.optim.schedules",
        "laminet.reference.gradients",
        "laminet.reference.least_squares",
        "laminet.reference.losses",
        "laminet.reference.optimizers",
        "laminet.reference.training",
        "laminet.analysis.gradient_flow",
        "laminet.analysis.check_jacobian",
        "laminet.scoring.tables",
        "laminet.training.check_gradients",
        "laminet.training.fitting",
        "laminet.training.least_squares",
        "laminet.training.trainer",
    ],
)
def test_docstring_examples(name: str) -> None:
    runner = doctest.DocTestRunner()
    for example in docstring_examples(name):
        runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0


@pytest.mark.parametrize("name", sorted({*PUBLIC} - {*OF_FRAMEWORKS}))
def test_every_public_name_has_an_example_that_runs(
    name: str, fake_times: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    docstring = getattr(ln, name).__doc__
    monkeypatch.setattr(ln, "machine", lambda refresh=False: fake_times)
    assert failures_of(name, docstring) == 0


def test_the_check_of_examples_can_fail() -> None:
    assert failures_of("MLP", ">>> 1 + 1\n3\n") == 1
    with pytest.raises(AssertionError, match=r"laminet\.MLP has no example"):
        failures_of("MLP", ">>> import laminet\n")
