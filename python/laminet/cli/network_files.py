"""The file of a network as an argument: of every kind, with what a state dict does not say."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from laminet.cli.common import CommandError
from laminet.core.activation import Activation, activation_named
from laminet.core.errors import FormatError
from laminet.core.heads import HEADS
from laminet.interop.files import load
from laminet.interop.state_dicts.normalizers import CHOICES
from laminet.interop.state_dicts.reading import PLACES

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["add_network_arguments", "network_of", "package_missing"]

_ACTIVATION = re.compile(r"(\w+)(?:\(([^()]*)\))?")


def add_network_arguments(
    parser: argparse.ArgumentParser, name: str = "file", *, optional: bool = False
) -> None:
    """Add the file, and the options for a state dict."""
    parser.add_argument(
        name,
        nargs="?" if optional else None,
        metavar="SRC" if name == "source" else "FILE",
        help="a network (.safetensors, .onnx), or a state dict or checkpoint (.safetensors, .pt, "
        ".pth, .ckpt, .zip of Stable-Baselines3)",
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
    parser.add_argument(
        "--part",
        type=_parts,
        metavar="NAME",
        help="of a checkpoint: a prefix, actor or critic; or several, with commas",
    )
    parser.add_argument(
        "--normalizer",
        choices=CHOICES,
        help="of a checkpoint: fold its normaliser into the network, or not",
    )
    parser.add_argument(
        "--batch-norm",
        choices=PLACES,
        help="of a state dict: its side of the activations",
    )


def network_of(arguments: argparse.Namespace, name: str = "file") -> MLP:
    """Return the network that the arguments name."""
    path = getattr(arguments, name)
    try:
        return load(
            path,
            arguments.activations,
            head=arguments.head,
            part=arguments.part,
            normalizer=arguments.normalizer,
            batch_norm=arguments.batch_norm,
        )
    except ImportError as error:
        raise package_missing(path, error) from error
    except FormatError as error:
        raise FormatError(_as_options(str(error))) from error
    except (ValueError, TypeError) as error:
        text = _as_options(str(error))
        raise CommandError(text if path in text else f"{path}: {text}") from error


# What messages tell a program to write, and what the command takes in its place.
_OPTIONS = (
    (re.compile(r"load\(path, activations=\[\.\.\.\]\)"), lambda match: "--activations relu,..."),
    (
        re.compile(r'\b(part|normalizer|batch_norm)="([^"]*)"'),
        lambda match: f"--{match[1].replace('_', '-')} {match[2]}",
    ),
    (
        re.compile(r"\bpart=\[([^]]*)\]"),
        lambda match: "--part " + match[1].replace('"', "").replace(", ", ","),
    ),
)


def _as_options(text: str) -> str:
    for pattern, option in _OPTIONS:
        text = pattern.sub(option, text)
    return text


def package_missing(path: str, error: ImportError) -> CommandError:
    """Return the error that says which package a file takes."""
    package = (error.name or "").partition(".")[0]
    extra = "laminet[onnx]" if package == "onnx" else package
    return CommandError(f"{path}: reading it takes: pip install '{extra}'")


def _parts(text: str) -> str | list[str]:
    parts = text.split(",")
    return parts if len(parts) > 1 else text


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
            result.append(activation_named(match[1], **values))
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(f"{part!r}: {error}") from None
    return result
