"""The parser of the command line: its messages say what was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from laminet.cli.common import one_line
from laminet.core.suggestions import did_you_mean

__all__ = ["Parser"]

_INVALID_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser that shows its whole help where nothing was given, and suggests names that exist.

    Attributes
    ----------
    is_bare : bool
        Whether the command line gives it no arguments.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_bare = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on standard error, and leave with 2."""
        if self.is_bare:
            self.print_help(sys.stderr)
            self.exit(2)
        match = _INVALID_CHOICE.search(message)
        if match is not None:
            names = [name.strip("'") for name in match[2].split(", ")]
            hint = did_you_mean(match[1], names)
            message = f"{message[: match.start()]}unknown {match[1]!r}, {hint}{' ' * bool(hint)}"
            message += f"expected one of {', '.join(names)}"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {one_line(message)}\n")

    def unknown(self, arguments: list[str]) -> NoReturn:
        """Refuse arguments that are none of this parser's."""
        options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", self.format_help())
        first = arguments[0].partition("=")[0]
        hint = did_you_mean(first, options) if first.startswith("-") else ""
        self.error(f"unrecognized arguments: {' '.join(arguments)}{', ' * bool(hint)}{hint}")
