"""Results in plain text, for ``print()`` and log files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from laminet.core.table_data import TableData

__all__ = ["text", "text_table"]


def text(tables: Sequence[TableData], notes: Sequence[str] = ()) -> str:
    """Return tables, each under its title, and after them notes in lines of 80 characters."""
    parts = []
    for table in tables:
        cells = text_table(table.rows, table.text_columns)
        parts.append(f"{table.title}\n{cells}" if table.title else cells)
    parts += [textwrap.fill(note, 80, break_long_words=False) for note in notes]
    return "\n\n".join(parts)


def text_table(rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """Return rows of cells as lines of equal width, with two spaces between columns.

    Parameters
    ----------
    rows : sequence of sequences of str
        The cells; all rows have the same number of them.
    text_columns : int
        So many columns are set to the left; the others hold numbers and are set to the right.

    Returns
    -------
    str
        The lines, without a line break at the end.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index < text_columns else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
