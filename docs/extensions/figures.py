"""The directive ``figures NAME``: the tables of a report of bench/, kept in docs/figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_DOCS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_DOCS.parent / "bench"))

import markdown  # noqa: E402 - it lies there


class Figures(SphinxDirective):
    """Show on what machine a report was made, and its tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a paragraph and tables."""
        path = _DOCS / "figures" / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        report = json.loads(path.read_text())
        versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        about = f"{report['machine']['cpu']}, {report['threads']} threads. {versions}"
        found = self.parse_text_to_nodes(f"{about}\n\n{markdown.tables(report)}")
        return [nodes.container("", *found, classes=["figures"])]


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("figures", Figures)
    return {"parallel_read_safe": True}
