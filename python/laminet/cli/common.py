"""What the subcommands share: their error, and the look of their tables."""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    Commands = _SubParsersAction[ArgumentParser]

__all__ = ["CommandError", "new_console", "new_table"]


class CommandError(Exception):
    """A mistake of the user's; its text is the one line that is shown."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to `main` to end the command, as for ``print``; rich would exit with 1."""
        raise  # the BrokenPipeError that is being handled


def new_console() -> Console:
    """Return standard output; without colours, and 80 columns wide, when it is not a terminal."""
    # Highlighting colours every number; markup would swallow brackets in file names.
    return _Console(highlight=False, markup=False)


def new_table(*columns: str, text_columns: int = 1) -> Table:
    """Return a table without lines; all but the first `text_columns` are set to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text_columns else "right")
    return table
