"""``laminet info FILE``: what a network file holds, and what it costs."""

from __future__ import annotations

import argparse
import functools
import os
from typing import TYPE_CHECKING

from laminet.analysis import cost, summary
from laminet.analysis.cost import OPERATIONS
from laminet.cli.common import CommandError, batch_size
from laminet.cli.network_files import add_network_arguments, network_of, package_missing
from laminet.cli.system import system_report
from laminet.core.errors import FormatError
from laminet.interop.files import read_file
from laminet.interop.state_dicts import Checkpoint, contents
from laminet.show.text import text_table

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
    if arguments.activations is None and arguments.part is None:
        checkpoint = _checkpoint(arguments.file)
        if checkpoint is not None:
            _print_contents(arguments.file, checkpoint)
            return
    net = network_of(arguments)
    # Not by rich, which would break lines that are longer than the terminal is wide.
    sizes = "-".join(map(str, net.sizes))
    print(f"{arguments.file}: {os.path.getsize(arguments.file):,} bytes")
    print(f"network {sizes}, {net.dtype}, {net.num_parameters:,} parameters")
    if net.precision != net.dtype.name:
        print(f"precision {net.precision}: {_ROUNDED[net.precision]} to 8 bits, by 2^-8 at most")
    print()
    print(summary(net))
    print()
    print(cost(net, arguments.batch, arguments.operation))


# What each lesser precision rounds.
_ROUNDED = {
    "bfloat16_weights": "weights are rounded",
    "bfloat16": "weights and what they are multiplied by are rounded",
}


def _checkpoint(path: str) -> Checkpoint | None:
    """Return what a file holds that does not name its activations; None of a whole network."""
    try:
        found = read_file(path)
    except FormatError as error:
        text = str(error)
        raise FormatError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from error
    except ImportError as error:
        raise package_missing(path, error) from error
    except ValueError as error:
        raise CommandError(str(error)) from error
    return found if isinstance(found, Checkpoint) else None


def _print_contents(path: str, checkpoint: Checkpoint) -> None:
    try:
        networks, others = contents(checkpoint)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    print(f"{path}: {os.path.getsize(path):,} bytes, a state dict or checkpoint")
    print()
    if networks:
        print(text_table([("network", "sizes", "layers"), *networks], text_columns=3))
    else:
        print("no network of dense layers")
    if others:
        print()
        print("\n".join(others))
    if networks:
        print()
        print(
            "A state dict does not hold the activations. To see what a network costs, name them: "
            "--activations, and --part where there are several networks."
        )
