"""What the subcommands share: their error, and the look of their tables."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    Commands = _SubParsersAction[ArgumentParser]

__all__ = ["CommandError", "add_batches", "batch_size", "new_console", "new_table"]


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


def batch_size(text: str) -> int:
    """Return a batch size from the command line; 1 or more."""
    try:
        value = int(text)
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers, got {text!r}") from None
    if value < 1:
        raise ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def add_batches(parser: ArgumentParser, default: Sequence[int]) -> None:
    """Add the option ``--batches``."""
    parser.add_argument(
        "--batches",
        type=batch_size,
        nargs="+",
        metavar="N",
        default=list(default),
        help=f"batch sizes (default: {' '.join(map(str, default))})",
    )
