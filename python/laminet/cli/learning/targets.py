"""What a network is to say of a row: a class, which labels it has, or numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.cli.common import CommandError
from laminet.cli.learning.features import of_both_kinds, refuse_decimal_commas
from laminet.files.cells import is_number
from laminet.files.samples import beyond

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from laminet.files.tables import Column, Table

    Array = NDArray[Any]

__all__ = ["Targets", "targets_of"]

# Whole numbers of at most so many values, each with so many samples, are taken as classes.
_MOST_CLASSES = 20
_SAMPLES_OF_A_CLASS = 5

_LEADING_ZERO = re.compile(r"[+-]?0\d")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Targets:
    """The targets of all rows.

    Attributes
    ----------
    task : {"classes", "labels", "numbers"}
    values : ndarray of shape (rows,) or (rows, targets)
        Which of the classes it is; or 0 and 1, or numbers, in float64.
    classes : ndarray, or None
        None where the task is another.
    missing : ndarray of bool of shape (rows, targets)
    """

    task: str
    values: Array
    classes: Array | None
    missing: NDArray[np.bool_]


def targets_of(
    table: Table, columns: Sequence[Column], task: str | None, dtype: np.dtype[Any]
) -> Targets:
    """Return what the rows of a table are to be learnt as.

    Parameters
    ----------
    table : Table
    columns : sequence of Column
    task : {"classes", "labels", "numbers"} or None
        None for what the values suggest: text, truth values and few whole numbers are classes,
        several columns of 0 and 1 labels.
    dtype : dtype
        Of the network.

    Raises
    ------
    CommandError
        If the values are no such targets.
    """
    for column in columns:
        if not column.is_known:
            raise CommandError(
                f"{table.source}: {column.called} holds {column.kind}, neither numbers nor text"
            )
        if task != "classes":
            refuse_decimal_commas(table, column, "--task classes takes all of them as classes")
        if column.kind == "both" and task is None and len(columns) == 1:
            raise of_both_kinds(table, column, "--task classes takes all of them as classes")
        _refuse_infinities(table, column, dtype)
    kind = task or _suggested(columns)
    if kind != "classes":
        found = _numbers(table, columns, task)
        if kind == "labels":
            _refuse_other_than_labels(table, columns, found)
        return found if kind == "numbers" else replace(found, task="labels")
    if len(columns) > 1:
        raise CommandError(
            "--task classes: classes stand in one column, not in several; --task labels takes a "
            "column of 0 and 1 for each label"
        )
    return _classes(table, columns[0])


def _suggested(columns: Sequence[Column]) -> str:
    values = columns[0].numbers
    if len(columns) > 1:
        return "labels" if all(map(_is_label, columns)) else "numbers"
    if values is None or columns[0].is_bool:
        return "classes"
    values = values[~np.isnan(values)]
    if (values != np.rint(values)).any():
        return "numbers"
    count = len(np.unique(values))
    few = count <= _MOST_CLASSES and len(values) >= count * _SAMPLES_OF_A_CLASS
    return "classes" if count <= 2 or few else "numbers"


def _is_label(column: Column) -> bool:
    return column.numbers is not None and set(
        np.unique(column.numbers[~np.isnan(column.numbers)])
    ) <= {0, 1}


def _refuse_other_than_labels(table: Table, columns: Sequence[Column], found: Targets) -> None:
    wrong = ~found.missing & (found.values != 0) & (found.values != 1)
    if wrong.any():
        row, which = np.argwhere(wrong)[0].tolist()
        raise CommandError(
            f"{table.place(row, columns[which])}: {found.values[row, which]:g} is neither 0 nor 1, "
            "and --task says labels"
        )


def _numbers(table: Table, columns: Sequence[Column], task: str | None) -> Targets:
    numbers = []
    for column in columns:
        if column.numbers is None:
            texts = column.texts(True)
            row = [text is None or is_number(text) for text in texts].index(False)
            why = f"--task says {task}" if task else "several targets are numbers"
            raise CommandError(
                f"{table.place(row, column)}: {(texts[row] or '')[:40]!r} is not a number, and "
                f"{why}"
            )
        numbers.append(column.numbers)
    values = np.column_stack(numbers)
    return Targets("numbers", values, None, np.isnan(values))


def _classes(table: Table, column: Column) -> Targets:
    labels: Array
    if column.numbers is None or _are_names(column):
        texts = column.texts(True)
        missing = np.array([text is None for text in texts], bool)
        labels, values = np.unique([text or "" for text in texts], return_inverse=True)
    else:
        missing = np.isnan(column.numbers)
        labels, values = np.unique(np.where(missing, 0, column.numbers), return_inverse=True)
        if column.is_bool:
            labels = labels.astype(bool)
        elif (labels == np.rint(labels)).all():
            labels = labels.astype(np.int64)
    there = len(np.unique(values[~missing]))
    rows = int((~missing).sum())
    if there > max(2, rows // 2):
        raise CommandError(
            f"{table.source}: {column.called} holds {there} different values in {rows} rows, which "
            "is too many for classes"
        )
    return Targets("classes", values, labels, missing[:, None])


def _are_names(column: Column) -> bool:
    """Whether numbers are names of classes: as numbers "007" is 7, and 2**53 + 1 is 2**53."""
    numbers = column.numbers
    if numbers is None or column.is_bool or (numbers != np.rint(numbers))[~np.isnan(numbers)].any():
        return False
    # Those of .npy have no texts.
    texts = {text for text in column.texts(True) if text is not None}
    return any(_LEADING_ZERO.match(text) for text in texts) or bool(
        texts and np.nanmax(np.abs(numbers)) >= 2**53 and all(map(_WHOLE.fullmatch, texts))
    )


def _refuse_infinities(table: Table, column: Column, dtype: np.dtype[Any]) -> None:
    if column.numbers is None:
        return
    with np.errstate(over="ignore"):
        wrong = np.isinf(column.numbers.astype(dtype))
    if wrong.any():
        row = int(wrong.argmax())
        value = column.numbers[row]
        what = "the target is infinite" if np.isinf(value) else beyond(f"{value:g}", dtype)
        raise CommandError(f"{table.place(row, column)}: {what}")
