"""``laminet roofline FILE``: how fast a network is here, how fast it could be, and why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from laminet.analysis import roofline
from laminet.cli.common import CommandError, add_batches, print_sentences, require_memory
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.show.matplotlib_extra import PICTURES, require_matplotlib

if TYPE_CHECKING:
    from laminet.cli.common import Commands

__all__ = ["add_parser"]

_SUFFIXES = (".html", *PICTURES)


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "roofline",
        help="measure a network against what this machine allows",
        description="Measure a network at some batch sizes, hold it against the arithmetic and the "
        "memory of this machine, and say what bounds it and which batch size to choose. The "
        "first run on a machine measures that too, for some seconds, and keeps the figures "
        "unless another program disturbed them.",
    )
    add_network_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="write a page (.html) or the picture (.png, .svg, .pdf) too; needs matplotlib",
    )
    add_batches(parser, (1, 8, 64, 512))
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="measure the machine again, whatever is known of it",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    if output is not None:
        # Before a measurement is made for nothing.
        if Path(output).suffix.lower() not in _SUFFIXES:
            raise CommandError(f"{output}: expected a name in {', '.join(_SUFFIXES)}")
        try:
            require_matplotlib()
        except ImportError as error:
            raise CommandError(str(error)) from error
    net = network_of(arguments)
    require_memory(net, arguments.batches)
    try:
        result = roofline(net, arguments.batches, refresh=arguments.refresh)
    except RuntimeError as error:
        raise CommandError(str(error)) from error
    # Not by rich, which would break lines that are longer than the terminal is wide.
    print(result)
    print()
    for sentence in result.advice():
        print_sentences(sentence)
    if output is not None:
        if Path(output).suffix.lower() == ".html":
            result.to_html(output)
        else:
            result.plot(output)
