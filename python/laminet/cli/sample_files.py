"""Samples from .npy and .csv files in blocks of rows, and results to them, in constant memory."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.cli.common import CommandError

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["CsvWriter", "NpyWriter", "Samples", "open_csv", "open_npy"]

# A line longer than this is no row of numbers, and reading it would take any amount of memory.
_MAX_LINE = 64 * 2**20


@dataclass(frozen=True)
class Samples:
    """Samples of a file: blocks of rows, each with how much of `total` has then been read."""

    blocks: Iterator[tuple[NDArray[Any], int]]
    total: int
    one_sample: bool = False


@contextmanager
def open_npy(path: Path, net: MLP, rows: int) -> Iterator[Samples]:
    """Map a .npy file into memory; blocks are views of it."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # NumPy promises ValueError; broken headers raise others as well
        raise CommandError(f"{path}: not an array that can be read: {error}") from error
    if array.ndim == 0:
        raise CommandError(f"{path}: holds a single value, expected a row of {net.in_features}")
    # Other shapes go to the network as they are: its message says what is wrong.
    if array.ndim == 1:
        blocks = iter([(array[np.newaxis], 1)])
    else:
        begins = range(0, max(len(array), 1), rows)
        blocks = ((array[i : i + rows], min(i + rows, len(array))) for i in begins)
    yield Samples(blocks, 1 if array.ndim == 1 else len(array), one_sample=array.ndim == 1)


@contextmanager
def open_csv(path: Path, net: MLP, rows: int) -> Iterator[Samples]:
    """Open a .csv file; blocks are parsed as they are asked for."""
    with open(path, "rb") as file:
        blocks = _csv_blocks(file, path, net, rows)
        yield Samples(blocks, os.fstat(file.fileno()).st_size)


def _csv_blocks(
    file: IO[bytes], path: Path, net: MLP, rows: int
) -> Iterator[tuple[NDArray[Any], int]]:
    lines: list[tuple[int, str]] = []
    number = position = 0
    may_be_heading = True
    while raw := file.readline(_MAX_LINE):
        number += 1
        position += len(raw)
        if len(raw) == _MAX_LINE:
            raise _bad_line(path, number, f"longer than {_MAX_LINE // 2**20} MiB")
        try:
            # The mark that some programs write at the beginning of a file.
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise _bad_line(path, number, "not UTF-8 text") from None
        if not line:
            continue
        if may_be_heading:
            may_be_heading = False
            if not any(map(_is_number, _cells(path, number, line))):
                continue
        lines.append((number, line))
        if len(lines) == rows:
            yield _parse(lines, path, net), position
            lines.clear()
    if lines:
        yield _parse(lines, path, net), position


def _parse(lines: list[tuple[int, str]], path: Path, net: MLP) -> NDArray[Any]:
    try:
        block = np.loadtxt(
            [line for _, line in lines],
            dtype=net.dtype,
            delimiter=",",
            comments=None,
            quotechar='"',
            ndmin=2,
        )
        if block.shape == (len(lines), net.in_features):
            return block
        problem = f"{block.shape[1]} columns"
    except ValueError as error:
        problem = str(error)
    # Something is wrong: find the cell, line by line.
    for number, line in lines:
        cells = _cells(path, number, line)
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                what = f"{cell[:40]!r} is not a number" if cell.strip() else "the cell is empty"
                raise _bad_line(path, number, f"column {column}: {what}")
        if len(cells) != net.in_features:
            raise _bad_line(
                path, number, f"{len(cells)} columns, the network takes {net.in_features}"
            )
    raise _bad_line(path, lines[0][0], f"in the {len(lines)} lines from here: {problem}")


def _cells(path: Path, number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise _bad_line(path, number, str(error)) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000 as a number; no other program does


def _bad_line(path: Path, number: int, problem: str) -> CommandError:
    return CommandError(f"{path}: line {number}: {problem}")


class NpyWriter:
    """Rows to a .npy file whose number of rows is known at the end only.

    Writing, unlike a memory map, reports a full disk as an error. The header has room for any
    number of rows and is written again at the end.
    """

    _HEADER_BYTES = 128

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        self._file, self._dtype, self._row_shape = file, dtype, row_shape
        self._rows = 0
        file.write(b" " * self._HEADER_BYTES)

    def append(self, block: NDArray[Any]) -> None:
        """Write a block of rows."""
        # A file object takes any contiguous buffer; its own copy would be of the block at most.
        self._file.write(np.ascontiguousarray(block, dtype=self._dtype).data)
        self._rows += len(block)

    def finish(self, *, one_sample: bool) -> None:
        """Write the header; of one sample, the result has no axis for samples."""
        shape = self._row_shape if one_sample else (self._rows, *self._row_shape)
        descr = np.lib.format.dtype_to_descr(self._dtype)
        text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
        magic = np.lib.format.magic(1, 0)
        length = self._HEADER_BYTES - len(magic) - 2
        self._file.seek(0)
        self._file.write(magic + length.to_bytes(2, "little"))
        self._file.write(text.ljust(length - 1).encode("latin-1") + b"\n")


class CsvWriter:
    """Rows to a .csv file, with as many digits as it takes to read the same numbers back."""

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        self._file = file
        # Significant digits that tell any two numbers of p bits apart: ceil(1 + p log10 2).
        bits = np.finfo(dtype).nmant + 1 if dtype.kind == "f" else 0
        self._format = f"%.{math.ceil(1 + bits * math.log10(2))}g" if bits else "%d"

    def append(self, block: NDArray[Any]) -> None:
        """Write a block of rows, one on each line."""
        np.savetxt(self._file, block, fmt=self._format, delimiter=",")

    def finish(self, *, one_sample: bool) -> None:
        """Do nothing: a .csv file has rows, of one sample also."""
