"""What every kind of file of samples gives: blocks of rows, in constant memory."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STANDARD_INPUT",
    "TEMPORARY",
    "Block",
    "MissingValueError",
    "SampleError",
    "Samples",
    "beyond",
    "in_type",
    "size_of",
    "source_name",
    "source_of",
]

#: What messages call them.
STANDARD_INPUT = "standard input"
TEMPORARY = "a temporary file"

# Seconds within which a program must open a named pipe to write: by then whoever meant to has.
_PATIENCE = 10.0


class SampleError(Exception):
    """Samples that a file does not give, or a result that it cannot hold: why, in one line."""


class MissingValueError(SampleError):
    """A value that is missing, where none may be."""


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Attributes
    ----------
    x : ndarray of shape (rows, in_features)
        The features, in the network's order and of its type.
    position : int
        How much of the file has now been read, in the unit of `Samples.total`.
    where : callable
        Returns the place of a row in the file, for messages: "line 7".
    kept : list of sequences
        The values of each column that is passed on: text, or Arrow arrays.
    """

    x: NDArray[Any]
    position: int
    where: Callable[[int], str]
    kept: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Samples:
    """The samples of a file.

    Attributes
    ----------
    blocks : iterator of Block
    total : int or None
        Bytes or rows; None where they are not known.
    one_sample : bool
        Whether the file is one sample, and so the result one row without an axis for samples.
    kept_names : list of str
        The names of the columns that are passed on, "" where they have none.
    remark : str
        What the user should know though it is no error, or nothing.
    """

    blocks: Iterator[Block]
    total: int | None
    one_sample: bool = False
    kept_names: list[str] = field(default_factory=list)
    remark: str = ""


@contextmanager
def source_of(path: str) -> Iterator[IO[bytes]]:
    """Open a file, or give standard input for "-"."""
    if path == "-":
        if sys.stdin is None:
            raise SampleError(f"{STANDARD_INPUT} is closed")
        yield sys.stdin.buffer
    else:
        is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)
        with _opened_pipe(path) if is_pipe else open(path, "rb") as file:
            yield file


def _opened_pipe(path: str) -> IO[bytes]:
    """Open a named pipe: what a program writes there, if one does soon."""
    # Another thread waits, as the system tells nobody who opens a pipe at once whether someone
    # writes to it.
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(open, path, "rb")
        try:
            return waiting.result(_PATIENCE)
        except FutureTimeoutError:
            raise SampleError(
                f"{path}: a named pipe that no program opened for writing within {_PATIENCE:g} s"
            ) from None
        finally:
            if not waiting.done():
                waiting.add_done_callback(lambda opened: opened.result().close())
                with suppress(OSError):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # which ends the waiting


def source_name(path: str) -> str:
    """Return what messages call it."""
    return STANDARD_INPUT if path == "-" else path


def size_of(file: IO[bytes]) -> int | None:
    """Return the size of a regular file, or None."""
    return os.fstat(file.fileno()).st_size or None


def in_type(x: NDArray[Any], dtype: np.dtype[Any], cell: Callable[[int, int], str]) -> NDArray[Any]:
    """Return numbers in the network's type; refuse one that is finite and would become infinite.

    Parameters
    ----------
    x : ndarray of two axes
        Real numbers of any type.
    dtype : dtype
        The network's.
    cell : callable
        Returns the place of a number by row and column, for the message.
    """
    if x.dtype == dtype:
        return x
    with np.errstate(all="ignore"):
        converted = x.astype(dtype)
    if not np.isfinite(converted).all():
        rows, columns = np.nonzero(np.isinf(converted) & np.isfinite(x))
        if len(rows):
            row, column = int(rows[0]), int(columns[0])
            raise SampleError(f"{cell(row, column)}: {beyond(str(x[row, column]), dtype)}")
    return converted


def beyond(value: str, dtype: np.dtype[Any]) -> str:
    """Return what is wrong with a number that the type cannot hold."""
    return f"{value} is beyond the largest number of {dtype}, the network's type"
