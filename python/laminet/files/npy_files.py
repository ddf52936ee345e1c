"""Samples from .npy files and results to them."""

from __future__ import annotations

import math
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.files.atomic import errors_about
from laminet.files.samples import (
    TEMPORARY,
    Block,
    SampleError,
    Samples,
    in_type,
    source_name,
    source_of,
)

if TYPE_CHECKING:
    from laminet.files.columns import Request

__all__ = ["NpyWriter", "open_npy", "read_header"]


@contextmanager
def open_npy(path: str, request: Request, rows: int) -> Iterator[Samples]:
    """Open a .npy file; rows are read as they are asked for.

    They are read and not mapped: where another program makes the file shorter meanwhile, a map
    would end the process.
    """
    name = source_name(path)
    if path != "-":
        status = os.stat(path)
        # Before it is opened: opening a named pipe would wait for a writer, perhaps for ever.
        if not stat.S_ISREG(status.st_mode):
            is_directory = stat.S_ISDIR(status.st_mode)
            what = "a directory, not a file" if is_directory else "not a regular file"
            raise SampleError(f"{path}: {what}")
    with source_of(path) as file:
        with errors_about(name):
            shape, in_columns, dtype = read_header(file, name)
        if not shape:
            width = request.net.in_features
            raise SampleError(f"{name}: holds a single value, expected a row of {width}")
        chosen = _columns(name, request, shape, dtype)
        begin = file.tell() if file.seekable() else 0
        if in_columns and not file.seekable():
            raise SampleError(
                f"{name}: an array in Fortran order has no rows to read one after another; save "
                "np.ascontiguousarray of it, or read it from a file"
            )
        if file.seekable():
            there = os.fstat(file.fileno()).st_size - begin
            if there < math.prod(shape) * dtype.itemsize:
                raise SampleError(
                    f"{name}: not an array that can be read: its header promises "
                    f"{math.prod(shape)} numbers of {dtype.itemsize} bytes, and {there} bytes "
                    "follow it"
                )
        one_sample = len(shape) == 1
        table = (1, shape[0]) if one_sample else shape
        read = _read_columns if in_columns and not one_sample else _read_rows
        blocks = _blocks(read(file, name, begin, table, dtype, rows), name, request, chosen)
        yield Samples(blocks, table[0], one_sample)


def read_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether it is in Fortran order, and dtype."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                header = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                header = np.lib.format.read_array_header_2_0(file)
            else:
                header = None
    except OSError:
        raise
    except Exception:  # NumPy promises ValueError; broken headers raise others as well
        raise SampleError(f"{name}: not an array that can be read: no header of .npy") from None
    if header is None:
        # Of this version are arrays whose columns have names beyond Latin letters.
        number = ".".join(map(str, version))
        raise SampleError(f"{name}: not an array that can be read: a header of version {number}")
    shape, in_columns, dtype = header
    if any(n < 0 for n in shape):
        raise SampleError(f"{name}: not an array that can be read: its shape is {shape}")
    if math.prod(max(n, 1) for n in shape) * max(dtype.itemsize, 1) >= 2**63:
        raise SampleError(
            f"{name}: not an array that can be read: no array has the shape {shape}"[:300]
        )
    if dtype.hasobject:
        raise SampleError(
            f"{name}: not an array that can be read: it holds Python objects; save it as numbers"
        )
    return shape, in_columns, dtype


def _columns(
    name: str, request: Request, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> list[int] | None:
    """Return which columns are the features, None for all; refuse what is no table of numbers."""
    net = request.net
    if dtype.names is not None or dtype.subdtype is not None:
        raise SampleError(
            f"{name}: a structured array; save its fields as the columns of one array of numbers"
        )
    width = shape[-1]
    chosen = None
    if request.columns is not None and len(shape) <= 2:
        features = request.without_heading(name, width).features
        chosen = None if features == list(range(width)) else features
        width = len(features)
    # An array of that shape without memory: the network's own words say what is wrong with it.
    like = np.broadcast_to(np.zeros((), dtype), (*shape[:-1], width))
    if len(shape) > 2 or width != net.in_features or dtype.kind not in "biuf":
        try:
            net(like)
        except (TypeError, ValueError) as error:
            raise SampleError(f"{name}: {error}") from error
    return chosen


def _read_rows(
    file: IO[bytes],
    name: str,
    begin: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    rows: int,
) -> Iterator[NDArray[Any]]:
    count, width = shape
    for first in range(0, max(count, 1), rows):
        block = np.empty((min(rows, count - first), width), dtype)
        with errors_about(name):
            got = _fill(file, block)
        if got < block.nbytes:
            raise _ended(name, first + got // max(1, width * dtype.itemsize), count)
        yield block


def _read_columns(
    file: IO[bytes],
    name: str,
    begin: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    rows: int,
) -> Iterator[NDArray[Any]]:
    count, width = shape
    for first in range(0, max(count, 1), rows):
        columns = np.empty((width, min(rows, count - first)), dtype)
        for index, column in enumerate(columns):
            with errors_about(name):
                file.seek(begin + (index * count + first) * dtype.itemsize)
                got = _fill(file, column)
            if got < column.nbytes:
                raise SampleError(
                    f"{name}: the file ended in column {index + 1} of {width}: it is shorter than "
                    "when it was opened"
                )
        yield columns.T


def _fill(file: IO[bytes], array: NDArray[Any]) -> int:
    """Read into a contiguous array; return how many bytes there were."""
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    filled = 0
    while filled < len(view):
        got: int | None = file.readinto(view[filled:])  # type: ignore[attr-defined]  # IO has none
        if not got:
            break
        filled += got
    return filled


def _ended(name: str, row: int, rows: int) -> SampleError:
    return SampleError(f"{name}: the file ended in row {row + 1} of {rows}")


def _blocks(
    arrays: Iterator[NDArray[Any]],
    name: str,
    request: Request,
    chosen: list[int] | None,
) -> Iterator[Block]:
    first = 0
    for array in arrays:
        x = array if chosen is None else array[:, chosen]
        begin = first

        def where(row: int, begin: int = begin) -> str:
            return f"row {begin + row + 1}"

        def cell(row: int, column: int, begin: int = begin) -> str:
            number = column if chosen is None else chosen[column]
            return f"{name}: row {begin + row + 1}, column {number + 1}"

        first += len(array)
        yield Block(in_type(x, request.net.dtype, cell), first, where)


class NpyWriter:
    """Rows to a .npy file whose number of rows is known at the end only.

    Writing, unlike a memory map, reports a full disk as an error. The header has room for any
    number of rows and is written again at the end. Where there is no going back, as on standard
    output, the rows wait in a temporary file.
    """

    _HEADER_BYTES = 128

    def __init__(self, file: IO[bytes], *, in_order: bool) -> None:
        """Begin a file; `in_order` says that bytes once written cannot be written again."""
        self._target = file
        self._file: IO[bytes] = file
        if in_order:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, closed with the writer
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        self._has_begun = False
        self._row_shape: tuple[int, ...] = ()
        self._rows = 0
        self._file.write(b" " * self._HEADER_BYTES)

    def append(self, block: NDArray[Any], kept: list[Any]) -> None:
        """Write a block of rows; the first one, which may have none, says what all are like."""
        if not self._has_begun:
            self._has_begun = True
            self._dtype, self._row_shape = block.dtype, block.shape[1:]
        # A file object takes any contiguous buffer; its own copy would be of the block at most.
        with self._errors():
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
        if self._file is not self._target:
            self._file.seek(0)
            shutil.copyfileobj(self._file, self._target, 2**20)
            self._file.close()

    def _errors(self) -> AbstractContextManager[None]:
        """Let errors name the temporary file, if there is one."""
        return errors_about(TEMPORARY) if self._file is not self._target else nullcontext()

    def abandon(self) -> None:
        """Leave the file as it is."""
        if self._file is not self._target:
            self._file.close()
