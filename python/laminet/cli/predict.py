"""``laminet predict FILE INPUT -o OUTPUT``: run a network over a file of samples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from laminet.cli.common import CommandError, column_names, separator
from laminet.cli.missing_values import CHOICES, MissingValues
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.core.outputs import Quantities
from laminet.files.columns import Request
from laminet.files.samples import MissingValueError, source_name
from laminet.scoring.answers import answer_of
from laminet.scoring.engine import run
from laminet.scoring.formats import (
    FORMATS,
    format_of,
    format_of_source,
    is_folder_target,
    needs_pyarrow,
)
from laminet.scoring.job import Job, require_place

if TYPE_CHECKING:
    from laminet.cli.common import Commands
    from laminet.core.mlp import MLP
    from laminet.files.samples import Block, Samples
    from laminet.scoring.answers import Answer

__all__ = ["add_parser"]

#: What messages call source and target.
_WORDS = ("INPUT", "OUTPUT")

_STANDARD_OUTPUTS = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")

_EPILOG = """\
examples:
  laminet predict net.safetensors samples.npy -o outputs.npy
  laminet predict clf.safetensors people.csv -o labels.csv --classes --keep id
  laminet predict clf.safetensors events/ -o scores/ --proba --missing nan
  zcat samples.csv.gz | laminet predict net.safetensors - -o - --format csv | head

- is standard input or output. A folder is one table; folders in it that are named year=2024 give
.parquet and .arrow a column year. A .npy INPUT has one sample in each row, or is one sample if it
has one axis. A .csv INPUT has one sample in each line. Its first line is a heading if it holds one
of --columns, --keep or the network's features, or has as many cells as they are, all of them names
and none a number or a mark for a missing value. Where the network knows the names of its features,
columns are found by them, in any order; color=red is 1 where the column color holds red. In columns
of numbers true and false are 1 and 0, of all rows or of none.
"""


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "predict",
        help="run a network over a file of samples",
        description="Run a network over samples, beyond memory too; OUTPUT is whole or absent.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_network_arguments(parser)
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="samples (.parquet, .arrow, .csv, .npy), a folder, or -",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help="a file, FOLDER/ for a file of each of INPUT, or -",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="write probabilities")
    kind.add_argument(
        "--classes",
        action="store_true",
        help="write the label of each sample's class, or 1 for each label that it has, else 0",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}: where no name ends in one",
    )
    parser.add_argument(
        "--output-format",
        choices=FORMATS,
        metavar="FORMAT",
        help="of such an OUTPUT, if it is another",
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
        choices=(*CHOICES, "nan"),
        metavar="HOW",
        help="of missing values: refuse, drop, nan, or mean: what laminet train --missing mean "
        "put there (default then)",
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
    require_place(source, target, {"FILE": arguments.file}, _WORDS)
    for name, format_ in zip((source_name(source), target), formats, strict=True):
        needs_pyarrow(name, format_)
    net = network_of(arguments)
    missing = MissingValues(arguments)
    options = ("--columns", "--keep")
    request = Request(net, arguments.columns, arguments.keep, options, missing.are_read)
    request.check(lists=formats[0] in ("parquet", "arrow"))
    job = Job(
        _answer(net, arguments, formats[1]),
        request,
        source,
        formats[0],
        target,
        formats[1],
        into_folder=is_folder_target(source, target),
        separator=arguments.separator or ",",
        heading=arguments.heading,
        words=_WORDS,
        settled=missing.settled,
        remark=_remark,
        shown=_with_progress,
    )
    try:
        done = run(job)
    except MissingValueError as error:
        raise CommandError(f"{error}; {missing.advice}") from None
    if remark := missing.remark(source_name(source)):
        _remark(remark)
    elif done.rows == 0:
        _remark(f"{source_name(source)}: 0 samples")


def _remark(text: str) -> None:
    if sys.stderr is not None:  # print would take standard output
        print(f"laminet: {text}", file=sys.stderr)


def _formats(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the formats of INPUT and OUTPUT; refuse options that no format has a use for."""
    given = [arguments.format, arguments.output_format or arguments.format]
    formats: list[str] = []
    for name, path, option in zip(
        ("INPUT", "OUTPUT"), (arguments.input, arguments.output), given, strict=True
    ):
        find = format_of_source if name == "INPUT" else format_of
        format_ = (find(path) if path != "-" else None) or option
        if format_ is None and name == "OUTPUT" and is_folder_target(arguments.input, path):
            format_ = formats[0]
        if format_ is None:
            raise CommandError(
                f"{name} {path or repr('')}: the name must end in .parquet, .arrow, .csv or .npy, "
                "or --format say which it is"
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
        raise CommandError(f"--keep: a .npy {what}; .parquet, .arrow and .csv have names and text")
    if formats[1] != "csv" and arguments.output == "-" and sys.stdout.isatty():
        raise CommandError(f"standard output is a terminal, which cannot show .{formats[1]}")
    return formats[0], formats[1]


def _answer(net: MLP, arguments: argparse.Namespace, format_: str) -> Answer:
    """Return what is asked of the network; refuse what it cannot say, before anything is read."""
    method = "forward"
    if arguments.proba:
        method = "predict_proba"
    elif arguments.classes:
        method = "predict"
        if isinstance(net.outputs, Quantities):
            raise CommandError(
                f"--classes: the outputs of {arguments.file} are quantities, and no classes"
            )
    return answer_of(net, method, arguments.file, format_)


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
