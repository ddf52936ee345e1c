"""``laminet info FILE``: what a network file holds, and what it costs."""

from __future__ import annotations

import argparse
import functools
import os
from typing import TYPE_CHECKING

from laminet.analysis import cost, summary
from laminet.analysis.cost import OPERATIONS
from laminet.cli.common import batch_size
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.cli.system import system_report

if TYPE_CHECKING:
    from laminet.cli.common import Commands

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "info",
        help="show what a network file holds and costs",
        description="Show sizes, activations and type of a network; count operations and bytes.",
    )
    add_network_arguments(parser, optional=True)
    parser.add_argument(
        "--system",
        action="store_true",
        help="show the machine and what is installed, to paste into a report",
    )
    parser.add_argument(
        "--batch", type=batch_size, default=1, metavar="N", help="samples to count for (default: 1)"
    )
    parser.add_argument(
        "--operation",
        choices=OPERATIONS,
        default="forward",
        help="what to count (default: forward)",
    )
    parser.set_defaults(run=functools.partial(_run, parser))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.system:
        print(system_report())
        if arguments.file is None:
            return
        print()
    if arguments.file is None:
        parser.error("which FILE?  Or --system, for the machine and what is installed")
    net = network_of(arguments)
    # Not by rich, which would break lines that are longer than the terminal is wide.
    sizes = "-".join(map(str, net.sizes))
    print(f"{arguments.file}: {os.path.getsize(arguments.file):,} bytes")
    print(f"network {sizes}, {net.dtype}, {net.num_parameters:,} parameters")
    print()
    print(summary(net))
    print()
    print(cost(net, arguments.batch, arguments.operation))
