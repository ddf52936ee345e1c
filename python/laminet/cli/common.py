"""What the subcommands share: their error, and how they write."""

from __future__ import annotations

import csv
import shutil
import sys
import textwrap
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from laminet.core.layers.parallel import Parallel
from laminet.core.probes import available_memory
from laminet.core.wording import size

if TYPE_CHECKING:
    from laminet.core.layers.layer import Layer
    from laminet.core.mlp import MLP

    Commands = _SubParsersAction[ArgumentParser]

__all__ = [
    "STANDARD_OUTPUT",
    "CommandError",
    "add_batches",
    "batch_size",
    "column_names",
    "new_console",
    "one_line",
    "print_sentences",
    "require_memory",
    "separator",
]

#: What an error of standard output names in place of a file.
STANDARD_OUTPUT = "standard output"

# Counts are exact for every number; one that no array can have is a slip of the finger.
_LARGEST_BATCH = sys.maxsize

_SEPARATORS = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "space": " "}


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


def print_sentences(text: str) -> None:
    """Print a paragraph: on a terminal in lines that break between words, elsewhere in one."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    print(text)


def one_line(message: str) -> str:
    """Return a message in one line, and nothing in it that a terminal would obey."""
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def batch_size(text: str) -> int:
    """Return a batch size from the command line; 1 or more."""
    try:
        # Python refuses to read thousands of digits, with advice to its programmers.
        value = int(text) if len(text) < 100 else _LARGEST_BATCH + 1
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers, got {text!r}") from None
    if value < 1:
        raise ArgumentTypeError(f"expected 1 or more, got {value}")
    if value > _LARGEST_BATCH:
        shown = text if len(text) < 40 else f"{text[:40]}..."
        raise ArgumentTypeError(f"expected {_LARGEST_BATCH} or less, got {shown}")
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


def require_memory(net: MLP, batches: Sequence[int]) -> None:
    """Refuse batches whose arrays the machine cannot hold, before any of them is made."""
    largest = max(batches)
    # Samples are drawn in float64; the widest two layers' arrays exist at the same time.
    widest = _widest(net.layers, net.in_features)
    needed = largest * (8 * net.in_features + 3 * net.dtype.itemsize * widest)
    available = available_memory() or sys.maxsize
    if needed > available:
        raise CommandError(
            f"a batch of {largest} takes some {size(needed)}, and {size(available)} are free"
        )


def _widest(layers: Sequence[Layer], features: int) -> int:
    """Return the most features between two layers in series, with those that wait meanwhile."""
    widest = features
    for layer in layers:
        after = layer._gives(features, "", "")
        # A residual block keeps its input, branches that, and what those before them gave.
        waiting = features + (after if isinstance(layer, Parallel) else 0)
        inside = [waiting + _widest(part, features) for _, part in layer._parts()]
        widest, features = max(widest, after, *inside), after
    return widest


def column_names(text: str) -> list[str]:
    """Return the names in an argument: separated by commas, in quotes where they have some."""
    try:
        names = next(csv.reader([text], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise ArgumentTypeError(f"{text!r} is no list of names: {error}") from None
    if not names or not all(names):
        raise ArgumentTypeError(f"{text!r} is no list of names: one is empty")
    return names


def separator(text: str) -> str:
    """Return what stands between the cells of .csv, from a character or its name."""
    character = _SEPARATORS.get(text, text)
    if len(character) != 1 or character.isalnum() or character in '".+-_\r\n\0':
        raise ArgumentTypeError(f"expected a character that no number has, or tab, got {text!r}")
    return character
