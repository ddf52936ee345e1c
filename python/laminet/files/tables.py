"""A whole table from a file: every column as numbers or as text, with the place of each cell."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.suggestions import did_you_mean
from laminet.files.arrow_types import is_number as is_number_type
from laminet.files.arrow_types import is_text, texts_of
from laminet.files.atomic import errors_about
from laminet.files.cells import is_missing, is_number, is_truth_value, is_value, truth_value
from laminet.files.columns import is_column_number, listed
from laminet.files.csv_files import read_records
from laminet.files.npy_files import read_header
from laminet.files.parquet_files import read_parquet
from laminet.files.samples import SampleError, source_name, source_of

if TYPE_CHECKING:
    from laminet.files.csv_files import Record

__all__ = ["Column", "Table", "as_option", "read_table"]

# What the module csv is needed for; lines without are split at once. Blanks other than spaces too.
_QUOTED = ('"', "\r", "\n", "\t", "\v", "\f")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Empty where it has none.
    number : int
        From 1.
    kind : str
        "numbers", "text", "both" where some cells are numbers and others are text, or the type of
        what is neither.
    numbers : ndarray of float64, or None
        NaN where a value is missing; None where a cell is no number.
    texts : callable
        Returns every cell as text, and None where a value is missing: where a cell of .csv is empty
        or, with True for an argument, says so ("NA").
    is_bool : bool
        Whether they are truth values: of that type, or in .csv true and false, and nothing else.
    """

    name: str
    number: int
    kind: str
    numbers: NDArray[np.float64] | None
    texts: Callable[[bool], list[str | None]]
    is_bool: bool = False

    @property
    def is_known(self) -> bool:
        """Whether its values are numbers or text."""
        return self.kind in ("numbers", "text", "both")

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"column {self.name!r}" if self.name else f"column {self.number}"

    @property
    def option(self) -> str:
        """What an option of the command calls it."""
        return self.name or str(self.number)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    source : str
        What messages call the file.
    heading : list of str, or None
        The names of the columns.
    columns : list of Column
    rows : int
    where : callable
        Returns the place of a row in the file: "line 7".
    other_separator : str
        What to do where other marks seem to separate the names of .csv.
    """

    source: str
    heading: list[str] | None
    columns: list[Column]
    rows: int
    where: Callable[[int], str]
    other_separator: str = ""

    def place(self, row: int, column: Column) -> str:
        """Return where a cell is, for messages."""
        return f"{self.source}: {self.where(row)}, {column.called}"

    def column(self, name: str, option: str) -> Column:
        """Return the column of a name, or of a number where none has it as its name.

        Raises
        ------
        SampleError
            If there is none, or there are two.
        """
        if self.heading is not None and name in self.heading:
            if self.heading.count(name) > 1:
                raise SampleError(f"{self.source}: two columns are named {name!r}")
            return self.columns[self.heading.index(name)]
        if not is_column_number(name):
            if self.heading is None:
                raise SampleError(
                    f"{self.source}: no heading, so {option} takes the numbers of columns, 1 for "
                    f"the first, and not {name!r}"
                )
            hint = did_you_mean(name, filter(None, self.heading))
            hint = f"{hint} " * bool(hint) + self._in_quotes(name)
            raise SampleError(
                f"{self.source}: no column {name!r}, and {option} names it"
                f"{self.other_separator or f'; {hint}the columns are {listed(self.heading)}'}"
            )
        if int(name) > len(self.columns):
            raise SampleError(
                f"{self.source}: there are {len(self.columns)} columns, and {option} names {name}"
            )
        return self.columns[int(name) - 1]

    def _in_quotes(self, part: str) -> str:
        """Return how to write the name with a comma that a part of it may be meant for."""
        for name in self.heading or ():
            if part in (piece.strip() for piece in name.split(",")):
                return f"names with commas go in quotes: {as_option([name])}; "
        return ""


def as_option(names: Sequence[str]) -> str:
    """Return names of columns as a command line takes them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return shlex.quote(text.getvalue())


def read_table(path: str, format_: str, separator: str = ",", asked: Sequence[str] = ()) -> Table:
    """Read a table as a whole.

    Parameters
    ----------
    path : str
        The file; "-" for standard input.
    format_ : {"csv", "npy", "parquet"}
    separator : str
        Between the cells of .csv.
    asked : sequence of str
        Names that columns should have: a first line of .csv that holds one is a heading.

    Raises
    ------
    SampleError
        If the file is no table.
    OSError
        If it cannot be read.
    """
    if format_ == "npy":
        return _read_npy(path)
    if format_ == "parquet":
        return _read_parquet(path)
    return _read_csv(path, separator, asked)


def _read_csv(path: str, separator: str, asked: Sequence[str]) -> Table:
    name = source_name(path)
    rows: list[list[str]] = []
    numbers: list[int] = []
    with source_of(path) as file:
        for record in read_records(file, name, separator):
            cells = _cells(record, name, separator)
            if rows and len(cells) != len(rows[0]):
                raise SampleError(
                    f"{name}: line {record.number}: {len(cells)} column{'s' * (len(cells) > 1)}, "
                    f"the first line has {len(rows[0])}{_other_separator(rows[0], separator)}"
                )
            rows.append(cells)
            numbers.append(record.number)
    if not rows:
        raise SampleError(f"{name}: the file is empty")
    heading = rows[0] if _is_heading(rows[0], asked) else None
    if heading is not None:
        del rows[0], numbers[0]
    count = len(rows)
    names = heading or [""] * len(rows[0])
    cells_of = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    del rows
    columns = [_column_of_text(names[i], i + 1, cells_of[i]) for i in range(len(names))]
    other = _other_separator(names, separator)
    return Table(name, heading, columns, count, lambda row: f"line {numbers[row]}", other)


def _cells(record: Record, name: str, separator: str) -> list[str]:
    """Return the cells of a line without blanks around them."""
    text = record.text
    if not any(mark in text for mark in _QUOTED) and len(text) < csv.field_size_limit():
        cells = text.split(separator)
        return cells if text.isascii() and " " not in text else [cell.strip() for cell in cells]
    try:
        cells = next(csv.reader([text], strict=True, delimiter=separator))
    except csv.Error:
        raise SampleError(
            f"{name}: line {record.number}: a quote or a line break where none may be, or a cell "
            "of more than 128 KiB"
        ) from None
    return [cell.strip() for cell in cells]


def _other_separator(first: list[str], separator: str) -> str:
    """Return what to do about a first line that other marks seem to separate."""
    for mark, option in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", ",")):
        if mark != separator and len(first) == 1 and mark in first[0]:
            return f": --separator {option} takes what is between its names"
    return ""


def _is_heading(cells: list[str], asked: Sequence[str]) -> bool:
    """Whether a first line has names: one that is asked for, or no number and a letter first."""
    if any(name in cells and not is_value(name) for name in asked):
        return True
    return not any(map(is_value, cells)) and any(re.match(r"\W*[^\W\d]", c) for c in cells)


def _column_of_text(name: str, number: int, cells: Sequence[str]) -> Column:
    def texts(marks: bool) -> list[str | None]:
        shown = {c: None if not c or (marks and is_missing(c)) else c for c in set(cells)}
        return [shown[cell] for cell in cells]

    numbers = _numbers_of(cells)
    if numbers is not None:
        return Column(name, number, "numbers", numbers, texts)
    numbers = _truth_values_of(cells)
    if numbers is not None:
        return Column(name, number, "numbers", numbers, texts, is_bool=True)
    some = any(is_number(cell) and not is_missing(cell) for cell in set(cells))
    return Column(name, number, "both" if some else "text", None, texts)


def _numbers_of(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return cells as numbers, NaN where a value is missing; None if one is neither."""
    with suppress(ValueError):
        if all("_" not in cell and cell.isascii() for cell in cells):  # as `is_number` has it
            return np.array([float(cell or "nan") for cell in cells])
    values = {}
    for cell in set(cells):
        if is_missing(cell):
            values[cell] = np.nan
        elif is_number(cell):
            values[cell] = float(cell)
        else:
            return None
    return np.array([values[cell] for cell in cells])


def _truth_values_of(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return cells as 1 and 0, NaN where a value is missing; None if one is no truth value."""
    values = {cell: truth_value(cell) for cell in set(cells) if is_truth_value(cell)}
    missing = {cell: np.nan for cell in set(cells) - values.keys() if is_missing(cell)}
    if not values or len(values) + len(missing) < len(set(cells)):
        return None
    known = values | missing
    return np.array([known[cell] for cell in cells])


def _read_parquet(path: str) -> Table:
    names, arrays = read_parquet(path)
    columns = [
        _column_of_arrow(name, i + 1, array)
        for i, (name, array) in enumerate(zip(names, arrays, strict=True))
    ]
    rows = len(arrays[0]) if arrays else 0
    return Table(source_name(path), names, columns, rows, lambda row: f"row {row + 1}")


def _column_of_arrow(name: str, number: int, array: Any) -> Column:
    def texts(marks: bool) -> list[str | None]:
        return [text or None for text in texts_of(array)]

    if is_number_type(array.type):
        values = array.cast("float64", safe=False).to_numpy(zero_copy_only=False)
        is_bool = str(array.type) == "bool"
        return Column(name, number, "numbers", np.asarray(values, float), texts, is_bool)
    kind = "text" if is_text(array.type) else str(array.type)
    return Column(name, number, kind, None, texts)


def _read_npy(path: str) -> Table:
    name = source_name(path)
    with source_of(path) as file, errors_about(name):
        shape, in_columns, dtype = read_header(file, name)
        if len(shape) != 2 or dtype.kind not in "biuf":
            raise SampleError(
                f"{name}: a table is an array of numbers of shape (rows, columns), and this one is "
                f"{dtype} of shape {shape}"
            )
        size = shape[0] * shape[1] * dtype.itemsize
        data = file.read(size)
    if len(data) < size:
        raise SampleError(
            f"{name}: not an array that can be read: its header promises {size} bytes, and "
            f"{len(data)} follow it"
        )
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(
        shape, order="F" if in_columns else "C"
    )
    columns = [
        Column("", i + 1, "numbers", values.astype(float), lambda _: [], dtype.kind == "b")
        for i, values in enumerate(array.T)
    ]
    return Table(name, None, columns, len(array), lambda row: f"row {row + 1}")
