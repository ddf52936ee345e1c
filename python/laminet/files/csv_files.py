"""Samples from .csv files."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from laminet.files.atomic import errors_about
from laminet.files.cells import is_missing, is_number, is_truth_value, is_value, truth_value
from laminet.files.samples import (
    Block,
    MissingValueError,
    SampleError,
    Samples,
    beyond,
    size_of,
    source_name,
    source_of,
)

if TYPE_CHECKING:
    from laminet.files.columns import Request

__all__ = ["open_csv", "read_records"]

# A line longer than this is no row of numbers, and reading it would take any amount of memory.
_MAX_LINE = 64 * 2**20
# So many letters of text are enough for a block, however long its lines are.
_BLOCK_TEXT = 16 * 2**20

_INFINITY = re.compile(r"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)


class Record(NamedTuple):
    """A line, or some that a quoted cell joins: its number, its text, where it ends in the file."""

    number: int
    text: str
    end: int


@contextmanager
def open_csv(path: str, request: Request, rows: int, separator: str = ",") -> Iterator[Samples]:
    """Open a .csv file; blocks are parsed as they are asked for."""
    with source_of(path) as file:
        name = source_name(path)
        records = read_records(file, name, separator)
        first = next(records, None)
        if first is None:
            raise SampleError(f"{name}: the file is empty")
        table = _Table(name, request, separator, first)
        samples = records if table.heading else itertools.chain([first], records)
        kept_names = [table.heading[i] if table.heading else "" for i in table.chosen.kept]
        blocks = table.blocks(samples, rows)
        yield Samples(blocks, size_of(file), kept_names=kept_names, remark=table.remark)


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    with errors_about(name):
        while line := file.readline(_MAX_LINE):
            yield line


def read_records(file: IO[bytes], name: str, separator: str) -> Iterator[Record]:
    """Return the lines that are not empty; a quoted cell may reach over several."""
    # Blanks at the ends of a line are nothing, but where they separate cells.
    stripped = "\r\n" if separator.isspace() else None
    number, end, begun, text = 0, 0, 0, ""
    size = size_of(file) or 0
    is_open = False  # a quote
    for raw in _lines(file, name):
        number += 1
        end += len(raw)
        begun = begun or number
        if len(raw) + len(text) >= _MAX_LINE:
            raise _bad_line(name, begun, f"longer than {_MAX_LINE // 2**20} MiB")
        try:
            # The mark that some programs write at the beginning of a file.
            text += raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _bad_line(name, number, "not UTF-8 text") from None
        is_open ^= raw.count(b'"') % 2 == 1
        if is_open:
            continue
        text = text.strip(stripped)
        if text:
            yield Record(begun, text, end)
        begun, text = 0, ""
    if (size_of(file) or 0) < size:
        raise SampleError(
            f"{name}: the file ended after line {number}: it is shorter than when it was opened"
        )
    if is_open:
        raise _bad_line(name, begun, "a quote is not closed")


def _gathered(records: Iterator[Record], rows: int) -> Iterator[list[Record]]:
    """Return lists of lines: so many, or as many as have some text; one list at least."""
    lines: list[Record] = []
    size = 0
    is_first = True
    for record in records:
        if len(lines) == rows or size > _BLOCK_TEXT:
            yield lines
            lines, size, is_first = [], 0, False
        lines.append(record)
        size += len(record.text)
    if lines or is_first:
        yield lines


class _Table:
    """What the first line says of a file, and how the others are read.

    Attributes
    ----------
    heading : list of str, or None
        The names of the columns, if the first line has them.
    chosen : Chosen
        Which columns are read.
    remark : str
        What may be misunderstood of the first line.
    """

    def __init__(self, name: str, request: Request, separator: str, first: Record) -> None:
        self._name, self._request, self._separator = name, request, separator
        self._dtype = request.net.dtype
        cells = self._cells(first)
        self._width = len(cells)
        stripped = [cell.strip() for cell in cells]
        if len(cells) == 1 and request.net.in_features > 1 and stripped[0] not in request.known:
            which = "a comma" if separator == "," else repr(separator)
            takes = f"1 column, the network takes {request.net.in_features}"
            raise self._bad(first, f"{takes}; is the separator {which}?")
        place = f"{name}: line {first.number}"
        self.heading = self._names_in(stripped)
        if self.heading is None:
            self.chosen = request.without_heading(place, len(cells))
        else:
            self.chosen = request.with_heading(place, self.heading)
        # Of the columns of numbers that have had a value, whether they are of truth values: as in a
        # file with types, all of a column or none.
        self._is_truth: dict[int, bool] = {}
        self.remark = ""
        # pandas writes such names for the columns of an array.
        if len(cells) > 2 and cells == list(map(str, range(len(cells)))):
            self.remark = f"{place} numbers the columns from 0, and is taken for a sample"
        self._is_whole = (
            self.chosen.features == list(range(len(cells))) and not self.chosen.categories
        )

    def _names_in(self, cells: list[str]) -> list[str] | None:
        """Return the cells of the first line if it is a heading, None if it is a sample.

        A heading is dropped, and no sample may be. A line is one if it holds a name that is asked
        for, or that the network knows, or if it surely holds no numbers: no cell is empty, a number
        or what stands for a missing one, and at least one begins with a letter, as "3 kg" does not.
        """
        named = self._request.known
        if any(name in cells and not is_value(name) for name in named):
            return cells
        if any(map(is_value, cells)) or not any(re.match(r"\W*[^\W\d]", c) for c in cells):
            return None
        return cells if named or len(cells) == self._request.net.in_features else None

    def blocks(self, records: Iterator[Record], rows: int) -> Iterator[Block]:
        """Return the samples in blocks of so many lines, or less where they are long."""
        last = 0
        for lines in _gathered(records, rows):
            last = lines[-1].end if lines else last
            numbers = [line.number for line in lines]

            def where(row: int, numbers: list[int] = numbers) -> str:
                return f"line {numbers[row]}"

            yield Block(self._numbers(lines), last, where, self._kept(lines))

    def _kept(self, lines: list[Record]) -> list[list[str]]:
        """Return the text of the columns that are passed on."""
        kept = self.chosen.kept
        table = [self._cells_of_row(line) for line in lines] if kept else []
        return [[cells[i] for cells in table] for i in kept]

    def _numbers(self, lines: list[Record]) -> NDArray[Any]:
        if not lines:
            return np.empty((0, self._request.net.in_features), self._dtype)
        if not self._is_whole:
            self._check_widths(lines)
        features = self.chosen.features
        if not self.chosen.categories:
            return self._parsed(lines, features)
        block = np.zeros((len(lines), len(features)), self._dtype)
        numbers = self.chosen.numbers
        if numbers:
            block[:, numbers] = self._parsed(lines, [features[i] for i in numbers])
        for row, line in enumerate(lines):
            cells = self._cells_of_row(line)
            for column, known in self.chosen.categories.items():
                text = cells[column].strip()
                missing = text not in known and is_missing(text)
                if missing and self._request.gaps:
                    block[row, self.chosen.features_of(column)] = np.nan
                    continue
                try:
                    block[row, self.chosen.feature_of(column, text)] = 1
                except ValueError as error:
                    raise self._bad(line, f"column {column + 1}: {error}", missing) from None
        return block

    def _parsed(self, lines: list[Record], columns: list[int]) -> NDArray[Any]:
        """Return columns of numbers, and of truth values as 1 and 0."""
        block = self._loaded(lines, columns)
        if block is None and self._finds_truth_values(lines, columns):
            block = self._loaded(lines, columns)
        if block is None and self._request.gaps:
            block = self._with_gaps(lines, columns)
        if block is None or block.shape != (len(lines), len(columns)):
            raise self._what_is_wrong(lines, columns)
        if np.isinf(block).any():
            self._refuse_overflow(lines, block, columns)
        return block

    def _loaded(self, lines: list[Record], columns: list[int]) -> NDArray[Any] | None:
        """Return columns without missing values; None if a cell is not of its column's kind."""
        readers: dict[int | str, Callable[[str], float]]
        readers = {c: truth_value for c in columns if self._is_truth.get(c, False)}
        try:
            block = np.loadtxt(
                [line.text for line in lines],
                dtype=self._dtype,
                delimiter=self._separator,
                comments=None,
                quotechar='"',
                converters=readers or None,
                encoding=None,  # which is of str, and not of bytes, for the converters
                usecols=None if self._is_whole else columns,
                ndmin=2,
            )
        except ValueError:
            return None
        for column in columns:
            self._is_truth.setdefault(column, False)
        return block

    def _finds_truth_values(self, lines: list[Record], columns: list[int]) -> bool:
        """Look whether columns that have had no value so far begin with a truth value."""
        found = False
        for column in columns:
            if column not in self._is_truth:
                cells = (self._cells_of_row(line)[column] for line in lines)
                first = next((cell for cell in cells if not is_missing(cell)), None)
                if first is not None:
                    self._is_truth[column] = is_truth_value(first)
                    found |= self._is_truth[column]
        return found

    def _with_gaps(self, lines: list[Record], columns: list[int]) -> NDArray[Any] | None:
        """Return columns of numbers, NaN where one may be missing and is; None of all others."""
        block = np.full((len(lines), len(columns)), np.nan, self._dtype)
        with np.errstate(over="ignore"):  # which is refused with its place
            for row, line in enumerate(lines):
                cells = self._cells_of_row(line)
                for index, column in enumerate(columns):
                    value = self._value(cells, column)
                    if value is not None:
                        block[row, index] = value
                    elif not is_missing(cells[column]):
                        return None
        return block

    def _value(self, cells: list[str], column: int) -> float | None:
        """Return the value of a cell; None if it has none of its column's kind."""
        cell = cells[column]
        if self._is_truth.get(column, False):
            return truth_value(cell) if is_truth_value(cell) else None
        return float(cell) if is_number(cell) else None

    def _check_widths(self, lines: list[Record]) -> None:
        """Refuse rows of other widths: of those, columns that are not read are not seen."""
        for line in lines:
            if '"' in line.text or line.text.count(self._separator) != self._width - 1:
                self._cells_of_row(line)

    def _refuse_overflow(
        self, lines: list[Record], block: NDArray[Any], columns: list[int]
    ) -> None:
        """Refuse an infinity that the file has not as one."""
        for row, index in np.argwhere(np.isinf(block)).tolist():
            column = columns[index]
            cell = self._cells(lines[row])[column].strip()
            if not _INFINITY.fullmatch(cell):
                raise self._bad(lines[row], f"column {column + 1}: {beyond(cell, self._dtype)}")

    def _what_is_wrong(self, lines: list[Record], columns: list[int]) -> SampleError:
        """Find the cell, line by line."""
        for line in lines:
            cells = self._cells_of_row(line)
            for column in columns:
                cell = cells[column]
                missing = is_missing(cell)
                if self._value(cells, column) is None and not (missing and self._request.gaps):
                    kind = "a number"
                    if self._is_truth.get(column, False):
                        kind = "true or false, as the column is before"
                    what = f"{cell[:40]!r} is not {kind}" if cell.strip() else "the cell is empty"
                    return self._bad(line, f"column {column + 1}: {what}", missing)
        return self._bad(lines[0], f"a number among the {len(lines)} lines from here is not one")

    def _cells_of_row(self, line: Record) -> list[str]:
        cells = self._cells(line)
        if len(cells) != self._width:
            columns = f"{len(cells)} column{'s' if len(cells) > 1 else ''}"
            other = f"the network takes {self._width}"
            if not self._is_whole:
                other = f"the first line has {self._width}"
            raise self._bad(line, f"{columns}, {other}")
        return cells

    def _cells(self, line: Record) -> list[str]:
        try:
            return next(csv.reader([line.text], strict=True, delimiter=self._separator))
        except csv.Error:
            problem = "a quote or a line break where none may be, or a cell of more than 128 KiB"
            raise self._bad(line, problem) from None

    def _bad(self, line: Record, problem: str, missing: bool = False) -> SampleError:
        kind = MissingValueError if missing else SampleError
        return kind(f"{self._name}: line {line.number}: {problem}")


def _bad_line(name: str, number: int, problem: str) -> SampleError:
    return SampleError(f"{name}: line {number}: {problem}")
