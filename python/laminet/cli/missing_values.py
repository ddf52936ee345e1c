"""What becomes of samples with missing values where a network runs over them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.cli.common import CommandError
from laminet.files.safetensors_files import stand_ins
from laminet.files.samples import Block, MissingValueError
from laminet.interop.file_kinds import kind_of

if TYPE_CHECKING:
    from laminet.files.samples import Samples

__all__ = ["CHOICES", "MissingValues", "means_of"]

#: As of ``laminet train``.
CHOICES = ("refuse", "drop", "mean")


def means_of(path: str) -> NDArray[np.float64] | None:
    """Return what stands for missing values by the file of a network; None where it says nothing.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    return stand_ins(path) if kind_of(path) == "safetensors" else None


class MissingValues:
    """What is done about missing values, and how often it was.

    Parameters
    ----------
    arguments : Namespace
        Of the command, with ``file``, ``input`` and ``missing``: "refuse", "drop", "mean", "nan",
        or None for what the network was made with.

    Attributes
    ----------
    are_read : bool
        Whether they are NaN in blocks, and not refused where they stand.
    advice : str
        What is to be done where they are refused.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        asks = arguments.missing in (None, "mean")
        means = means_of(arguments.file) if asks else None
        if arguments.missing == "mean" and means is None:
            raise CommandError(
                f"--missing mean: {arguments.file} knows no means of its features; laminet train "
                "--missing mean makes a network that does"
            )
        self._means, self._drops = means, arguments.missing == "drop"
        self._refuses = arguments.missing == "refuse"
        self._file = arguments.file
        self._count = 0
        self._keeps = arguments.missing == "nan"
        self.are_read = self._drops or self._keeps or means is not None
        self.advice = "--missing drop leaves such samples out"

    def settled(self, block: Block, samples: Samples, source: str) -> Block:
        """Return a block without missing values, where something is done about them."""
        if self._keeps or not (self.are_read or self._refuses):
            return block
        gaps = np.isnan(block.x)
        if not gaps.any():
            return block
        if self._refuses:  # a NaN, which is no error of the file
            place = block.where(int(gaps.any(axis=1).argmax()))
            raise MissingValueError(f"{source}: {place}: a value is NaN")
        if self._means is not None:
            self._count += int(gaps.sum())
            filled = np.where(gaps, self._means, block.x).astype(block.x.dtype)
            return Block(filled, block.position, block.where, block.kept)
        if samples.one_sample:
            raise CommandError(f"{source}: its one sample has a missing value")
        left = np.flatnonzero(~gaps.any(axis=1))
        self._count += len(block.x) - len(left)
        kept = [_taken(values, left) for values in block.kept]
        return Block(block.x[left], block.position, lambda row: block.where(int(left[row])), kept)

    def remark(self, source: str) -> str:
        """Return what the user should know at the end, or nothing."""
        if not self._count:
            return ""
        one = self._count == 1
        if self._drops:
            what = "row with missing values is" if one else "rows with missing values are"
            return f"{source}: {self._count:,} {what} left out"
        what = "missing value is" if one else "missing values are"
        return f"{source}: {self._count:,} {what} filled in with the means that {self._file} knows"


def _taken(values: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of a column that is passed on: of a list of text, or of an Arrow array."""
    return [values[row] for row in rows] if isinstance(values, list) else values.take(rows)
