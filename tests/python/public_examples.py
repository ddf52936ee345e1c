"""The examples in the docstrings of what `laminet` offers."""

from __future__ import annotations

import doctest
from typing import Any

import laminet as ln

#: Functions, classes and errors.
PUBLIC = tuple(name for name in ln.__all__ if callable(getattr(ln, name)))
#: Those whose examples take a framework.
OF_FRAMEWORKS = ("from_keras", "from_onnx", "from_sklearn", "from_torch", "to_onnx", "to_torch")


def failures_of(name: str, docstring: str | None) -> int:
    """Run an example; a docstring without one fails, too."""
    globs: dict[str, Any] = {name: getattr(ln, name)}
    test = doctest.DocTestParser().get_doctest(docstring or "", globs, name, None, 0)
    shown = [e for e in test.examples if not e.source.startswith(("import ", "from "))]
    assert shown, f"the docstring of laminet.{name} has no example"
    runner = doctest.DocTestRunner()
    runner.run(test)
    return runner.failures
