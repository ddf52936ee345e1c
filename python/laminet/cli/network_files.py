"""The file of a network as an argument: of every kind, with what a state dict does not say."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from laminet.activation import Activation
from laminet.cli.common import CommandError
from laminet.errors import FormatError
from laminet.head import HEADS
from laminet.interop.files import read_network

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["add_network_arguments", "network_of"]

_ACTIVATION = re.compile(r"(\w+)(?:\(([^()]*)\))?")


def add_network_arguments(
    parser: argparse.ArgumentParser, name: str = "file", *, optional: bool = False
) -> None:
    """Add the file, and the options for a state dict."""
    parser.add_argument(
        name,
        nargs="?" if optional else None,
        metavar="SRC" if name == "source" else "FILE",
        help="a network (.safetensors, .onnx), or a state dict (.safetensors, .pt, .pth)",
    )
    parser.add_argument(
        "--activations",
        type=_activations,
        metavar="NAMES",
        help="of a state dict, one for each layer: relu,leaky_relu(alpha=0.2),identity",
    )
    parser.add_argument(
        "--head", choices=HEADS, help="of a state dict: what follows the last layer"
    )


def network_of(arguments: argparse.Namespace, name: str = "file") -> MLP:
    """Return the network that the arguments name."""
    path = getattr(arguments, name)
    try:
        return read_network(path, arguments.activations, arguments.head)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        extra = "laminet[onnx]" if package == "onnx" else package
        raise CommandError(f"{path}: reading it takes: pip install '{extra}'") from error
    except FormatError:
        raise
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from error


def _activations(text: str) -> list[Activation]:
    parts = re.split(r",(?![^(]*\))", text.replace(" ", ""))
    result = []
    for part in parts:
        match = _ACTIVATION.fullmatch(part)
        if match is None:
            raise argparse.ArgumentTypeError(f"{part!r} is no activation")
        parameters = [p for p in (match[2] or "").split(",") if p]
        try:
            pairs = dict(p.split("=", 1) for p in parameters)
            values = {key: float(value) for key, value in pairs.items()}
            result.append(Activation(match[1], **values))
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(f"{part!r}: {error}") from None
    return result
