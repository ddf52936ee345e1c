"""``laminet predict FILE INPUT -o OUTPUT``: run a network over a file of samples."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from laminet.cli.common import CommandError
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.cli.sample_files import CsvWriter, NpyWriter, Samples, open_csv, open_npy
from laminet.interop.atomic import errors_about, replacing

if TYPE_CHECKING:
    from laminet.cli.common import Commands

__all__ = ["add_parser"]

# Limits of a block: input and output in bytes, and lines of text, which take some 100 bytes each
# beside their numbers. Large enough for the speed of a batch, small enough for any machine.
_BLOCK_BYTES = 16 * 2**20
_BLOCK_ROWS = 2**16


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        help="run a network over a file of samples",
        description="Run a network over a file of samples, in blocks, so that files may be "
        "larger than memory. OUTPUT is complete or absent.",
        epilog="A .npy INPUT has one sample in each row, or is one sample if it has one axis. A "
        ".csv INPUT has one sample in each line; a first line of as many cells, all of them "
        "names and none a number or a mark for a missing value, is a heading.",
    )
    add_network_arguments(parser)
    parser.add_argument("input", metavar="INPUT", help="samples (.npy or .csv)")
    parser.add_argument("-o", "--output", metavar="OUTPUT", required=True, help=".npy or .csv")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="write probabilities (softmax)")
    kind.add_argument("--classes", action="store_true", help="write the index of the largest")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    source, target = arguments.input, arguments.output
    for name, path in (("INPUT", source), ("OUTPUT", target)):
        if _suffix(path) not in (".npy", ".csv"):
            raise CommandError(f"{name} {path or repr('')}: the name must end in .npy or .csv")
    directory = os.path.dirname(target)
    if directory and not os.path.isdir(directory):
        raise CommandError(f"OUTPUT {target}: there is no directory {directory}")
    if os.path.exists(target):
        for name, path in (("INPUT", source), ("FILE", arguments.file)):
            if os.path.exists(path) and os.path.samefile(path, target):
                raise CommandError(f"OUTPUT {target} is {name}: it would be overwritten")
    net = network_of(arguments)
    function: Callable[[Any], Any] = net
    if arguments.proba:
        function = net.predict_proba
    elif arguments.classes:
        function = net.predict

    width = 1 if arguments.classes else net.out_features
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (8 * (net.in_features + width))))
    open_samples = open_npy if _suffix(source) == ".npy" else open_csv
    written = 0
    with (
        _termination_as_exception(),
        replacing(target) as temporary,
        errors_about(target),
        open(temporary, "wb") as file,
        open_samples(source, net, rows) as samples,
    ):
        dtype = np.dtype(np.int64) if arguments.classes else net.dtype
        writer_type = NpyWriter if _suffix(target) == ".npy" else CsvWriter
        writer = writer_type(file, dtype, () if arguments.classes else (net.out_features,))
        for block in _with_progress(samples):
            writer.append(_call(function, block, source))
            written += len(block)
        writer.finish(one_sample=samples.one_sample)
    if written == 0:
        print(f"laminet: {source}: 0 samples", file=sys.stderr)


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _call(function: Callable[[Any], Any], block: NDArray[Any], source: str) -> NDArray[Any]:
    try:
        return np.asarray(function(block))
    except (TypeError, ValueError) as error:
        raise CommandError(f"{source}: {error}") from error


def _with_progress(samples: Samples) -> Iterator[NDArray[Any]]:
    """Pass the blocks on, under a progress bar if there is somebody to look at it."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("predict", total=samples.total)
        for block, position in samples.blocks:
            yield block
            progress.update(task, completed=position)


@contextmanager
def _termination_as_exception() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions, so that the temporary file goes, as on Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            # nohup has it ignored; and a handler that is not of Python could not be put back.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                # Only in the main thread: a program that calls main() elsewhere keeps its own.
                with suppress(ValueError):
                    previous[number] = signal.signal(number, leave)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
