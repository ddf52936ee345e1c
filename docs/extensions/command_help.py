"""The directive ``command-help``: a section with the help of each subcommand of laminet."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import laminet.cli

_COMMANDS = ("demo", "info", "train", "predict", "convert", "bench", "roofline")


class CommandHelp(SphinxDirective):
    """Sections made of what the command itself prints, which cannot differ from what it takes."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [_section("laminet", []), *(_section(f"laminet {n}", [n]) for n in _COMMANDS)]


def _section(name: str, arguments: list[str]) -> nodes.section:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        laminet.cli.main([*arguments, "--help"])
    section = nodes.section(ids=[nodes.make_id(name)])
    section += nodes.title(text=name)
    text = printed.getvalue()
    section += nodes.literal_block(text, text, language="text")
    return section


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    os.environ["COLUMNS"] = "80"  # the width of help texts
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
