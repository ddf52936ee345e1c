"""Results in a terminal, with rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from laminet.core.table_data import TableData

__all__ = ["group"]


def group(tables: Sequence[TableData], notes: Sequence[str] = ()) -> Group:
    """Return tables, then notes, as rich prints them."""
    parts: list[Any] = []
    for data in tables:
        heading, *rows = data.rows
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, name in enumerate(heading):
            left = index < data.text_columns
            table.add_column(Text(name), justify="left" if left else "right")
        for row in rows:
            table.add_row(*map(Text, row))
        if parts:
            parts.append(Text())
        if data.title:
            parts.append(Text(data.title, style="bold"))
        parts.append(table)
    for note in notes:
        parts += [Text(), Text(note)]
    return Group(*parts)
