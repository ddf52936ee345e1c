"""``laminet info FILE``: what a network file holds, and what it costs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from laminet.analysis import cost, summary
from laminet.analysis.cost import OPERATIONS
from laminet.cli.common import batch_size
from laminet.cli.network_files import add_network_arguments, network_of

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
    add_network_arguments(parser)
    parser.add_argument(
        "--batch", type=batch_size, default=1, metavar="N", help="samples to count for (default: 1)"
    )
    parser.add_argument(
        "--operation",
        choices=OPERATIONS,
        default="forward",
        help="what to count (default: forward)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    net = network_of(arguments)
    # Not by rich, which would break lines that are longer than the terminal is wide.
    sizes = "-".join(map(str, net.sizes))
    print(f"{arguments.file}: {os.path.getsize(arguments.file):,} bytes")
    print(f"network {sizes}, {net.dtype}, {net.num_parameters:,} parameters")
    print()
    print(summary(net))
    print()
    print(cost(net, arguments.batch, arguments.operation))
