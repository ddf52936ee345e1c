"""``laminet info FILE``: what a network file holds."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from laminet.analysis import summary
from laminet.interop import load

if TYPE_CHECKING:
    from laminet.cli.common import Commands

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "info",
        help="show what a network file holds",
        description="Show sizes, activations, type and cost of a network.",
    )
    parser.add_argument("file", metavar="FILE", help="a network (.safetensors)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    net = load(arguments.file)
    # Not by rich, which would break lines that are longer than the terminal is wide.
    sizes = "-".join(map(str, net.sizes))
    print(f"{arguments.file}: {os.path.getsize(arguments.file):,} bytes")
    print(f"network {sizes}, {net.dtype}, {net.num_parameters:,} parameters")
    print()
    print(summary(net))
    print("\nFLOPs are for one sample.")
