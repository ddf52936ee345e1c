"""How results show themselves: as text, in a terminal with rich, in a notebook, as plain data."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from laminet.show.text_table import text_table

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "Report",
    "TableData",
    "figure",
    "html_table",
    "plain",
    "short_name",
    "size",
    "times",
    "us",
]


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


class Report:
    """A result that is a dataclass and shows itself as tables, then notes; both say which."""

    def tables(self) -> list[TableData]:
        """Return the tables that show this result."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Return what to know of the figures, a paragraph each; mostly nothing."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return the result as dicts, lists, numbers and strings, as ``json.dumps`` takes them."""
        result: dict[str, Any] = plain(self)
        return result

    def __str__(self) -> str:
        parts = []
        for table in self.tables():
            text = text_table(table.rows, table.text_columns)
            parts.append(f"{table.title}\n{text}" if table.title else text)
        parts += [textwrap.fill(note, 80, break_long_words=False) for note in self.notes()]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        parts: list[Any] = []
        for data in self.tables():
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
        for note in self.notes():
            parts += [Text(), Text(note)]
        return Group(*parts)

    def _repr_html_(self) -> str:
        notes = (f"<p>{escape(note)}</p>" for note in self.notes())
        return "\n".join([*map(html_table, self.tables()), *notes])


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


def plain(value: Any) -> Any:
    """Return dataclasses as dicts with their properties, mappings as dicts, sequences as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        names += [k for k, v in vars(type(value)).items() if isinstance(v, property)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy
        return value.tolist()
    return value


def figure(value: float) -> str:
    """Return a number with three digits that count, never as a power of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 1
        else f"{value:.3g}"
    )


def size(nbytes: float) -> str:
    """Return a number of bytes in the unit that suits it: 1024 B are 1 KiB."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def us(microseconds: float) -> str:
    """Return a time in the unit that suits it: ns, us, ms or s."""
    if microseconds < 0.9995:
        return f"{figure(microseconds * 1e3)} ns"
    if microseconds < 999.5:
        return f"{figure(microseconds)} us"
    if microseconds < 999.5e3:
        return f"{figure(microseconds / 1e3)} ms"
    return f"{figure(microseconds / 1e6)} s"


def times(ratio: float) -> str:
    """Return a ratio in words: "6.1 times", "24 times"."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def short_name(sizes: Sequence[int]) -> str:
    """Return "784-256-10"; of many layers, the first and the last ones and how many there are."""
    if len(sizes) <= 8:
        return "-".join(map(str, sizes))
    ends = [*map(str, sizes[:3]), "...", *map(str, sizes[-2:])]
    return f"{'-'.join(ends)} ({len(sizes) - 1} layers)"
