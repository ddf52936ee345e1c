"""The options of ``laminet train``: of the table, and of the network and how it learns."""

from __future__ import annotations

import argparse

import numpy as np

from laminet.cli.common import batch_size, column_names, separator
from laminet.core.activation import Activation, activation_named

__all__ = [
    "EPOCHS",
    "EPOCHS_ALONE",
    "FORMATS",
    "LEARNING_RATE",
    "PATIENCE",
    "add_table_options",
    "add_training_options",
]

#: Of tables.
FORMATS = ("csv", "npy", "parquet")
#: Where nothing is said. The validation part ends training long before so many epochs.
LEARNING_RATE = 1e-3
EPOCHS = 1000
#: Without one.
EPOCHS_ALONE = 100
PATIENCE = 20

_OPTIMIZERS = ("sgd", "adam", "adamw", "muon", "lbfgs", "levenberg_marquardt")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a table is read, and which part of it is held out."""
    table = parser.add_argument_group("the table")
    table.add_argument(
        "--target",
        type=column_names,
        action="extend",
        metavar="NAMES",
        required=True,
        help="what to predict: the name of a column, or several with commas; or its number, 1 for "
        "the first",
    )
    which = table.add_mutually_exclusive_group()
    which.add_argument(
        "--columns", type=column_names, action="extend", metavar="NAMES", help="the features"
    )
    which.add_argument(
        "--ignore",
        type=column_names,
        action="extend",
        metavar="NAMES",
        default=[],
        help="columns that are none",
    )
    table.add_argument(
        "--categories",
        type=column_names,
        action="extend",
        metavar="NAMES",
        default=[],
        help="features whose values are names, though they look like numbers",
    )
    table.add_argument(
        "--task",
        choices=("classes", "labels", "numbers"),
        help="what the target is (default: what its values look like)",
    )
    table.add_argument(
        "--missing",
        choices=("refuse", "drop", "mean"),
        default="refuse",
        help="of missing values: refuse the table, leave such rows out, or put the mean of the "
        "rows to learn from there (default: refuse)",
    )
    table.add_argument("--format", choices=FORMATS, help="of - and of names that do not say it")
    table.add_argument(
        "--separator",
        type=separator,
        metavar="CHAR",
        help="between the cells of .csv: a character, or tab (default: comma)",
    )
    table.add_argument(
        "--test", type=_share, metavar="SHARE", default=0.2, help="held out (default: 0.2)"
    )
    table.add_argument(
        "--validation", type=_share, metavar="SHARE", default=0.2, help="held out (default: 0.2)"
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which network is made, and how."""
    network = parser.add_argument_group("the network, and how it learns")
    network.add_argument(
        "--hidden",
        type=_widths,
        metavar="WIDTHS",
        default=[64, 64],
        help="of hidden layers: 128,64 (default: 64,64); 0 for none",
    )
    network.add_argument(
        "--activation", type=_activation, metavar="NAME", default="relu", help="(default: relu)"
    )
    network.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    network.add_argument(
        "--epochs",
        type=batch_size,
        metavar="N",
        help=f"at most (default: {EPOCHS}, or {EPOCHS_ALONE} without a validation part)",
    )
    network.add_argument(
        "--patience",
        type=batch_size,
        metavar="N",
        help=f"stop after so many epochs without a smaller validation loss (default: {PATIENCE})",
    )
    network.add_argument("--batch-size", type=batch_size, metavar="N", help="(default: 32 to 256)")
    network.add_argument(
        "--optimizer",
        choices=_OPTIMIZERS,
        default="adamw",
        help="(default: adamw; muon takes learning rates of its size)",
    )
    network.add_argument(
        "--learning-rate", type=_rate, metavar="RATE", help=f"(default: {LEARNING_RATE:g})"
    )
    network.add_argument("--seed", type=_seed, metavar="N", default=0, help="(default: 0)")
    network.add_argument("--threads", type=batch_size, metavar="N", help="(default: all there are)")
    parser.add_argument("--plot", metavar="FILE", help="draw the learning curve: .png, .svg, .pdf")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, got {text!r}")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _widths(text: str) -> list[int]:
    return [] if text == "0" else [batch_size(part) for part in text.split(",")]


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text[:40]!r}")
    return int(text)


def _activation(text: str) -> Activation:
    try:
        return activation_named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
