"""Samples from .npy and .csv files in blocks of rows, and results to them, in constant memory."""

from __future__ import annotations

import csv
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.cli.common import CommandError
from laminet.interop.atomic import errors_about

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["CsvWriter", "NpyWriter", "Samples", "open_csv", "open_npy"]

# A line longer than this is no row of numbers, and reading it would take any amount of memory.
_MAX_LINE = 64 * 2**20

# What programs write where a number is missing, and for truth values: data, never a heading.
_VALUES = frozenset(
    [
        "na",
        "n/a",
        "#n/a",
        "#na",
        "<na>",
        "null",
        "none",
        "nil",
        "missing",
        "-",
        "?",
        "true",
        "false",
    ]
)


@dataclass(frozen=True)
class Samples:
    """Samples of a file: blocks of rows, each with how much of `total` has then been read."""

    blocks: Iterator[tuple[NDArray[Any], int]]
    total: int
    one_sample: bool = False


@contextmanager
def open_npy(path: str, net: MLP, rows: int) -> Iterator[Samples]:
    """Map a .npy file into memory; blocks are views of it."""
    status = os.stat(path)
    # Before it is opened: opening a named pipe would wait for a writer, perhaps for ever.
    if not stat.S_ISREG(status.st_mode):
        what = "a directory, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise CommandError(f"{path}: {what}")
    try:
        with errors_about(path):
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
def open_csv(path: str, net: MLP, rows: int) -> Iterator[Samples]:
    """Open a .csv file; blocks are parsed as they are asked for."""
    with open(path, "rb") as file:
        yield Samples(_csv_blocks(file, path, net, rows), os.fstat(file.fileno()).st_size)


def _csv_blocks(
    file: IO[bytes], path: str, net: MLP, rows: int
) -> Iterator[tuple[NDArray[Any], int]]:
    lines: list[tuple[int, str]] = []
    position = 0
    is_first = True
    for number, raw in _raw_lines(file, path):
        position += len(raw)
        try:
            # The mark that some programs write at the beginning of a file.
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise _bad_line(path, number, "not UTF-8 text") from None
        if not line:
            continue
        if line.count('"') % 2:  # at the end of the file loadtxt would not mind
            raise _bad_line(path, number, "a quote is not closed")
        if is_first:
            is_first = False
            if _is_heading(_cells(path, number, line), net.in_features):
                continue
        lines.append((number, line))
        if len(lines) == rows:
            yield _parse(lines, path, net), position
            lines.clear()
    if lines:
        yield _parse(lines, path, net), position
    if is_first:
        raise CommandError(f"{path}: the file is empty")


def _raw_lines(file: IO[bytes], path: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    with errors_about(path):
        while raw := file.readline(_MAX_LINE):
            number += 1
            if len(raw) == _MAX_LINE:
                raise _bad_line(path, number, f"longer than {_MAX_LINE // 2**20} MiB")
            yield number, raw


def _is_heading(cells: list[str], width: int) -> bool:
    """Whether a first line is surely a heading: it is dropped, and no sample may be.

    It has a name for each column: no cell is empty, a number or what stands for a missing one,
    and at least one begins with a letter, as "3 kg" does not.
    """
    return (
        len(cells) == width
        and not any(map(_is_value, cells))
        and any(re.match(r"\W*[^\W\d]", cell) for cell in cells)
    )


def _is_value(cell: str) -> bool:
    text = cell.strip().lower()
    if not text or text in _VALUES:
        return True
    try:
        float(text.replace(",", "."))  # also the decimal comma, and 1_000, which no row may have
    except ValueError:
        return False
    return True


def _parse(lines: list[tuple[int, str]], path: str, net: MLP) -> NDArray[Any]:
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
        if len(cells) != net.in_features:
            columns = f"{len(cells)} column{'s' if len(cells) > 1 else ''}"
            hint = "; is the separator a comma?" if len(cells) == 1 else ""
            raise _bad_line(path, number, f"{columns}, the network takes {net.in_features}{hint}")
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                what = f"{cell[:40]!r} is not a number" if cell.strip() else "the cell is empty"
                raise _bad_line(path, number, f"column {column}: {what}")
    raise _bad_line(path, lines[0][0], f"in the {len(lines)} lines from here: {problem}")


def _cells(path: str, number: int, line: str) -> list[str]:
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


def _bad_line(path: str, number: int, problem: str) -> CommandError:
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
