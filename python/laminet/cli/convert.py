"""``laminet convert SRC DST``: a network from one kind of file to another."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from laminet.cli.common import CommandError
from laminet.cli.missing_values import means_of
from laminet.cli.network_files import add_network_arguments, network_of
from laminet.core.errors import FormatError
from laminet.core.precision import PRECISIONS
from laminet.files.safetensors_files import save
from laminet.interop.files import write_network

if TYPE_CHECKING:
    from laminet.cli.common import Commands
    from laminet.core.mlp import MLP
    from laminet.core.name_types import PrecisionName

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "convert",
        help="convert a network to another kind of file",
        description="Read a network of any kind, and write it as .safetensors or .onnx, complete "
        "or not at all. Of .pt files PyTorch's loader of weights reads state dicts; no code in "
        "them is run.",
    )
    add_network_arguments(parser, "source")
    parser.add_argument("target", metavar="DST", help=".safetensors or .onnx")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="round the weights to it")
    parser.add_argument(
        "--precision",
        choices=[name for name in PRECISIONS if name.startswith("bfloat16")],
        help="round the weights of a float32 network to bfloat16, which halves the file; with "
        "bfloat16 its products are of such numbers, too",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    source, target = arguments.source, arguments.target
    if Path(target).suffix.lower() not in (".safetensors", ".onnx"):
        raise CommandError(f"DST {target or repr('')}: the name must end in .safetensors or .onnx")
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise CommandError(f"DST {target} is SRC: it would be overwritten")
    net = network_of(arguments, "source")
    if arguments.dtype is not None:
        net = net.astype(arguments.dtype)
    if arguments.precision is not None:
        net = _in_precision(net, arguments.precision)
    means = means_of(source)
    try:
        if means is not None and Path(target).suffix.lower() == ".safetensors":
            save(net, target, missing=means)
        else:
            write_network(net, target)
    except ImportError as error:
        raise CommandError(f"{target}: writing it takes: pip install 'laminet[onnx]'") from error
    except FormatError:
        raise
    except ValueError as error:
        raise CommandError(f"{target}: {error}") from error
    print(f"{target}: {net!r}")
    if means is not None and Path(target).suffix.lower() == ".onnx":
        print(f"What stands for missing values is in {source} alone: .onnx has no place for it.")


def _in_precision(net: MLP, precision: PrecisionName) -> MLP:
    if net.dtype != "float32":
        raise CommandError(
            f"--precision {precision} is of networks of float32, and this one is of {net.dtype}: "
            "with --dtype float32 it is rounded to that first"
        )
    try:
        return net.with_precision(precision)
    except ValueError as error:
        raise CommandError(f"--precision {precision}: {error}") from error
