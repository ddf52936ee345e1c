"""``laminet predict FILE INPUT -o OUTPUT``: run a network over a file of samples."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from laminet.cli.common import STANDARD_OUTPUT, CommandError, column_names, separator
from laminet.cli.missing_values import CHOICES, MissingValues
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.core.outputs import Quantities
from laminet.files.atomic import errors_about, replacing
from laminet.files.columns import Request
from laminet.files.csv_files import open_csv
from laminet.files.npy_files import NpyWriter, open_npy
from laminet.files.parquet_files import ParquetWriter, open_parquet, require_pyarrow
from laminet.files.result_files import CsvWriter, label_type, names_of_outputs
from laminet.files.samples import Block, MissingValueError, Samples, source_name

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from laminet.cli.common import Commands
    from laminet.core.mlp import MLP

__all__ = ["add_parser"]

# Limits of a block: input and output in bytes, and lines of text, which take some 100 bytes each
# beside their numbers. Large enough for the speed of a batch, small enough for any machine.
_BLOCK_BYTES = 16 * 2**20
_BLOCK_ROWS = 2**16

_FORMATS = ("csv", "npy", "parquet")
_STANDARD_OUTPUTS = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")

_EPILOG = """\
examples:
  laminet predict net.safetensors samples.npy -o outputs.npy
  laminet predict clf.safetensors people.csv -o labels.csv --classes --keep id
  zcat samples.csv.gz | laminet predict net.safetensors - -o - --format csv | head

A .npy INPUT has one sample in each row, or is one sample if it has one axis. A .csv INPUT has one
sample in each line. Its first line is a heading if it holds a name of --columns, --keep or the
network's features, or has as many cells as the network has features, all of them names and none a
number or a mark for a missing value. Where the network knows the names of its features, columns are
found by them, in any order, others left out; color=red is 1 where the column color holds red.
"""


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        help="run a network over a file of samples",
        description="Run a network over a file of samples, in blocks, so that files may be\n"
        "larger than memory. OUTPUT is complete or absent.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_network_arguments(parser)
    parser.add_argument(
        "input", metavar="INPUT", help="samples (.npy, .csv, .parquet); - is standard input"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help=".npy, .csv or .parquet, or - for standard output",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="write probabilities")
    kind.add_argument(
        "--classes",
        action="store_true",
        help="write the label of each sample's class, or 1 for each label that it has, else 0",
    )
    parser.add_argument(
        "--format", choices=_FORMATS, help="of - and of names that do not end in a format"
    )
    parser.add_argument(
        "--output-format", choices=_FORMATS, help="of such an OUTPUT, if it is another"
    )
    parser.add_argument(
        "--columns",
        type=column_names,
        metavar="NAMES",
        help="the features in the network's order, with commas: names, or numbers from 1 where "
        "there is no heading",
    )
    parser.add_argument(
        "--keep",
        type=column_names,
        metavar="NAMES",
        help="columns of INPUT to pass on, before the results",
    )
    parser.add_argument(
        "--missing",
        choices=CHOICES,
        metavar="HOW",
        help="of missing values: refuse, drop such samples, or mean: what laminet train --missing "
        "mean put there (then it is the default)",
    )
    parser.add_argument(
        "--separator",
        type=separator,
        metavar="CHAR",
        help="of .csv: a character, or tab (default: comma)",
    )
    parser.add_argument(
        "--heading",
        action="store_true",
        help="begin a .csv OUTPUT with names, as with --keep by name",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.output in _STANDARD_OUTPUTS:
        # A file that it leads to is the shell's: a new one must not take its place.
        arguments.output = "-"
    source, target = arguments.input, arguments.output
    formats = _formats(arguments)
    directory = os.path.dirname(target)
    if directory and not os.path.isdir(directory):
        raise CommandError(f"OUTPUT {target}: there is no directory {directory}")
    if target != "-" and os.path.exists(target):
        for name, path in (("INPUT", source), ("FILE", arguments.file)):
            if os.path.exists(path) and os.path.samefile(path, target):
                raise CommandError(f"OUTPUT {target} is {name}: it would be overwritten")
    for name, format_ in zip((source_name(source), target), formats, strict=True):
        if format_ == "parquet":
            require_pyarrow(name)
    net = network_of(arguments)
    missing = MissingValues(arguments)
    options = ("--columns", "--keep")
    request = Request(net, arguments.columns, arguments.keep, options, missing.are_read)
    request.check()
    function, names, like = _answer(net, arguments, formats[1])

    row_bytes = 8 * net.in_features + max(8, like.itemsize) * len(names)
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
    written = 0
    with (
        _output(target) as file,
        _open(formats[0], source, request, rows, arguments.separator) as samples,
    ):
        if samples.remark:
            _remark(samples.remark)
        writer = _writer(file, formats[1], names, samples, arguments)
        try:
            for given in _with_progress(samples):
                block = missing.settled(given, samples, source_name(source))
                try:
                    result = np.asarray(_call(function, block.x, source))
                except _NoAnswerError as error:
                    raise _without_answer(net, block, source, error) from None
                with errors_about(STANDARD_OUTPUT if target == "-" else target):
                    writer.append(result.astype(like.dtype, copy=False), block.kept)
                written += len(block.x)
            with errors_about(STANDARD_OUTPUT if target == "-" else target):
                writer.finish(one_sample=samples.one_sample)
        except MissingValueError as error:
            writer.abandon()
            raise CommandError(f"{error}; {missing.advice}") from None
        except BaseException:
            writer.abandon()
            raise
    if remark := missing.remark(source_name(source)):
        _remark(remark)
    elif written == 0:
        _remark(f"{source_name(source)}: 0 samples")


def _remark(text: str) -> None:
    if sys.stderr is not None:  # print would take standard output
        print(f"laminet: {text}", file=sys.stderr)


def _formats(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the formats of INPUT and OUTPUT; refuse options that no format has a use for."""
    given = [arguments.format, arguments.output_format or arguments.format]
    formats = []
    for name, path, option in zip(
        ("INPUT", "OUTPUT"), (arguments.input, arguments.output), given, strict=True
    ):
        suffix = Path(path).suffix.lower().lstrip(".")
        format_ = suffix if suffix in _FORMATS and path != "-" else option
        if format_ is None:
            raise CommandError(
                f"{name} {path or repr('')}: the name must end in .npy, .csv or .parquet, or "
                "--format say which it is"
            )
        formats.append(format_)
    for option, format_, ends in (
        ("--format", arguments.format, formats),
        ("--output-format", arguments.output_format, formats[1:]),
    ):
        if format_ is not None and format_ not in ends:
            raise CommandError(f"{option} {format_}: the names of the files say otherwise")
    if arguments.separator is not None and "csv" not in formats:
        raise CommandError("--separator is for .csv, which neither INPUT nor OUTPUT is")
    if arguments.heading and formats[1] != "csv":
        raise CommandError("--heading is for a .csv OUTPUT")
    if arguments.keep is not None and "npy" in formats:
        what = "INPUT has nothing but samples" if formats[0] == "npy" else "OUTPUT has no columns"
        raise CommandError(f"--keep: a .npy {what}; .csv and .parquet have names and text")
    if formats[1] != "csv" and arguments.output == "-" and sys.stdout.isatty():
        raise CommandError(f"standard output is a terminal, which cannot show .{formats[1]}")
    return formats[0], formats[1]


def _answer(
    net: MLP, arguments: argparse.Namespace, format_: str
) -> tuple[Callable[[Any], Any], list[str], NDArray[Any]]:
    """Return what is asked of the network, the names of its columns, and an array of no rows of it.

    What the network cannot say is refused, before anything is read.
    """
    kind = "outputs"
    function: Callable[[Any], Any] = net
    if arguments.proba:
        kind, function = "proba", net.predict_proba
    elif arguments.classes:
        kind, function = "classes", net.predict
        if isinstance(net.outputs, Quantities):
            raise CommandError(
                f"--classes: the outputs of {arguments.file} are quantities, and no classes"
            )
    try:
        like = np.asarray(function(np.empty((0, net.in_features), net.dtype)))
    except (TypeError, ValueError) as error:
        raise CommandError(f"{arguments.file}: {error}") from error
    if like.dtype.kind == "O" and format_ != "csv":
        dtype = label_type(net)
        if dtype is None:
            raise CommandError(
                f"{arguments.file}: its labels are of several kinds, which a column of .{format_} "
                "cannot be; .csv holds their text"
            )
        like = like.astype(dtype)
    names = names_of_outputs(net, kind, like.shape[1] if like.ndim > 1 else None)
    labels = getattr(net.outputs, "labels", np.array([])).tolist()
    for text in [*names, *(label for label in labels if isinstance(label, str))]:
        try:
            text.encode()
        except UnicodeEncodeError:
            if format_ != "npy":
                raise CommandError(f"{arguments.file}: {text!r} is no text of UTF-8") from None
    return function, names, like


@contextmanager
def _output(target: str) -> Iterator[IO[bytes]]:
    if target == "-":
        yield sys.stdout.buffer
        return
    with (
        replacing(target) as temporary,
        open(temporary, "wb") as file,
    ):
        yield file


def _open(
    format_: str, source: str, request: Request, rows: int, separator: str | None
) -> AbstractContextManager[Samples]:
    if format_ == "npy":
        return open_npy(source, request, rows)
    if format_ == "parquet":
        return open_parquet(source, request, rows)
    return open_csv(source, request, rows, separator or ",")


def _writer(
    file: IO[bytes],
    format_: str,
    names: list[str],
    samples: Samples,
    arguments: argparse.Namespace,
) -> NpyWriter | CsvWriter | ParquetWriter:
    if format_ == "npy":
        return NpyWriter(file, in_order=arguments.output == "-")
    kept = samples.kept_names
    heading = arguments.heading or format_ == "parquet" or (bool(kept) and all(kept))
    everything = [
        *(
            name or f"column_{number}"
            for name, number in zip(kept, arguments.keep or (), strict=True)
        ),
        *names,
    ]
    if heading:
        for name in everything:
            if everything.count(name) > 1:
                raise CommandError(f"OUTPUT would have two columns named {name!r}")
    if format_ == "parquet":
        return ParquetWriter(file, everything)
    return CsvWriter(file, everything if heading else None, arguments.separator or ",")


class _NoAnswerError(Exception):
    """The network has no answer for a block of samples; its text says why."""


def _call(function: Callable[[Any], Any], block: NDArray[Any], source: str) -> Any:
    try:
        return function(block)
    except (TypeError, ValueError) as error:
        raise _NoAnswerError(str(error)) from error


def _without_answer(net: MLP, block: Block, source: str, error: Exception) -> CommandError:
    """Return the error with the place in the file: the network knows its block alone."""
    name = source_name(source)
    nan = np.flatnonzero(np.isnan(net(block.x)).any(axis=-1))
    if not len(nan):
        return CommandError(f"{name}: {error}")
    place = block.where(int(nan[0]))
    return CommandError(f"{name}: {place}: the sample has a NaN among its outputs, and so no label")


def _with_progress(samples: Samples) -> Iterator[Block]:
    """Pass the blocks on, under a progress bar if there is somebody to look at it."""
    if sys.stderr is None or not sys.stderr.isatty():
        # Some releases of rich end a bar that is not shown with an empty line.
        yield from samples.blocks
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("predict", total=samples.total)
        for block in samples.blocks:
            yield block
            progress.update(task, completed=block.position)
