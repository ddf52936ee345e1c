"""What is to be done: which network over which table, into what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from laminet.files.samples import SampleError

if TYPE_CHECKING:
    from laminet.files.columns import Request
    from laminet.files.samples import Block, Samples
    from laminet.scoring.answers import Answer

__all__ = ["Job", "require_place"]

# Limits of a block: input and output in bytes, and lines of text, which take some 100 bytes each
# beside their numbers. Large enough for the speed of a batch, small enough for any machine.
_BLOCK_BYTES = 16 * 2**20
_BLOCK_ROWS = 2**16


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be done.

    Attributes
    ----------
    answer : Answer
    request : Request
    source, target : str
        Files or folders; "-" for standard input and output.
    stream : object, optional
        What gives batches of Arrow instead of a file; `source` is what messages call it.
    source_format, target_format : str
    into_folder : bool
        Whether the target is a folder, which gets a file for each one of the source.
    separator : str
        Between the cells of .csv.
    heading : bool
        Whether .csv begins with the names of its columns, as it does where named ones are kept.
    batch_rows : int or None
        Rows of a block; None for as many as fit into a few megabytes.
    words : tuple of two str
        What messages call source and target: as the caller's user gives them.
    settled : callable
        Gives a block in whose place: what becomes of missing values. It takes the block, its
        `Samples` and the name of the file.
    remark : callable
        Is told what a user should know though it is no error.
    shown : callable
        Gives the blocks of samples, and shows how far they are.
    """

    answer: Answer
    request: Request
    source: str
    source_format: str
    target: str
    target_format: str
    into_folder: bool = False
    stream: Any = None
    separator: str = ","
    heading: bool = False
    batch_rows: int | None = None
    words: tuple[str, str] = ("source", "target")
    settled: Callable[[Block, Samples, str], Block] = field(default=lambda block, *_: block)
    remark: Callable[[str], None] = field(default=lambda text: None)
    shown: Callable[[Samples], Iterator[Block]] = field(default=lambda samples: samples.blocks)

    @property
    def rows(self) -> int:
        """How many rows a block has."""
        if self.batch_rows is not None:
            return self.batch_rows
        row_bytes = 8 * self.request.net.in_features
        row_bytes += max(8, self.answer.like.itemsize) * len(self.answer.names)
        return max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes))


def require_place(source: str, target: str, others: dict[str, str], words: tuple[str, str]) -> None:
    """Refuse a target that has no folder to lie in, or lies where the source is.

    Parameters
    ----------
    source, target : str
    others : dict of str to str
        Files that are read besides, by what messages call them.
    words : tuple of two str
        What messages call source and target.
    """
    what = f"{words[1]} {target}"
    folder = os.path.dirname(target.rstrip(os.sep))
    if folder and not os.path.isdir(folder):
        raise SampleError(f"{what}: there is no directory {folder}")
    if target == "-":
        return
    for name, path in ({words[0]: source} | others).items():
        if os.path.exists(target) and os.path.exists(path) and os.path.samefile(path, target):
            raise SampleError(f"{what} is {name}: it would be overwritten")
    inside = os.path.realpath(source)
    if os.path.isdir(source) and os.path.realpath(target).startswith(os.path.join(inside, "")):
        raise SampleError(f"{what} lies in {words[0]}: it would be taken for a part of it")
