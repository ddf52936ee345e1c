"""What a table holds; how it looks, `laminet.show` knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TableData"]


@dataclass(frozen=True)
class TableData:
    """The cells of a table.

    Attributes
    ----------
    rows : sequence of sequences of str
        The heading and the lines, all of one length.
    text_columns : int
        So many columns hold text and are set to the left; the others hold numbers.
    title : str
        A line above the table; may be empty.
    """

    rows: Sequence[Sequence[str]]
    text_columns: int
    title: str = ""
