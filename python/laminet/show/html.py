"""Results in HTML: for notebooks and pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from laminet.core.table_data import TableData

__all__ = ["html", "html_table"]


def html(tables: Sequence[TableData], notes: Sequence[str] = ()) -> str:
    """Return tables, and a paragraph for each note after them."""
    paragraphs = (f"<p>{escape(note)}</p>" for note in notes)
    return "\n".join([*map(html_table, tables), *paragraphs])


def html_table(data: TableData) -> str:
    """Return a table in HTML, without a style of its own but the sides of its columns."""

    def line(row: Sequence[str], tag: str) -> str:
        cells = []
        for index, cell in enumerate(row):
            side = "left" if index < data.text_columns else "right"
            cells.append(f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>')
        return f"<tr>{''.join(cells)}</tr>"

    heading, *rows = data.rows
    caption = f"<caption>{escape(data.title)}</caption>" if data.title else ""
    body = "\n".join(line(row, "td") for row in rows)
    return (
        f"<table>{caption}<thead>{line(heading, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table>"
    )
