"""Which columns of a table are features, and what numbers they are for a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.cli.common import CommandError
from laminet.files.cells import is_number
from laminet.files.columns import category_name, category_of
from laminet.files.samples import beyond
from laminet.files.tables import as_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from laminet.files.tables import Column, Table

__all__ = [
    "Feature",
    "chosen_columns",
    "encoded",
    "leave_out",
    "numbers_rows",
    "of_both_kinds",
    "refuse_decimal_commas",
    "refuse_infinities",
]

# More texts in one column are rather names or remarks, each with a few samples to learn from; of
# fewer, that is told by most of them being there once.
_MOST_CATEGORIES = 100
_FEW_CATEGORIES = 10


@dataclass(frozen=True, eq=False)
class Feature:
    """A column as a network takes it.

    Attributes
    ----------
    column : Column
    values : ndarray of shape (rows, features)
        Its numbers, or a column of ones and zeros for each category; NaN where it is missing.
    names : tuple of str
        What the network calls them.
    """

    column: Column
    values: NDArray[np.float64]
    names: tuple[str, ...]


def chosen_columns(table: Table, names: Sequence[str], option: str) -> list[Column]:
    """Return the columns that an option names; refuse one that comes twice."""
    columns = [table.column(name, option) for name in names]
    for i, column in enumerate(columns):
        if column in columns[:i]:
            raise CommandError(f"{option} names {column.option!r} twice")
    return columns


def encoded(
    table: Table,
    targets: Sequence[Column],
    columns: Sequence[str] | None,
    ignore: Sequence[str],
    categories: Sequence[str],
) -> tuple[list[Feature], list[Column]]:
    """Return the features of a table, and the columns that are none for want of a name.

    Parameters
    ----------
    table : Table
    targets : sequence of Column
        Those that are none.
    columns : sequence of str, or None
        Those that are; None for all others.
    ignore : sequence of str
        Those that are left out.
    categories : sequence of str
        Those whose values are texts, whatever they look like.

    Raises
    ------
    CommandError, SampleError
        If there is no such column, or it has no use for a network.
    """
    if columns is not None:
        chosen = chosen_columns(table, columns, "--columns")
        _refuse_targets(chosen, targets, "--columns")
        nameless = []
    else:
        ignored = chosen_columns(table, ignore, "--ignore")
        _refuse_targets(ignored, targets, "--ignore")
        chosen = [c for c in table.columns if c not in targets and c not in ignored]
        # As of the numbers or names of rows that pandas and R write beside a table.
        nameless = [c for c in chosen if table.heading is not None and not c.name]
        chosen = [c for c in chosen if c not in nameless]
    if not chosen:
        raise CommandError(f"{table.source}: no column is left to learn from")
    for column in chosen:
        _require_own_name(table, column)
    as_text = chosen_columns(table, categories, "--categories")
    for column in as_text:
        if column not in chosen:
            raise CommandError(f"--categories names {column.option!r}, which is no feature")
    for column in chosen:
        if column not in as_text:
            refuse_decimal_commas(table, column, _as_texts(column))
    _refuse_names(table, [column for column in chosen if column not in as_text])
    features = [_feature(table, column, column in as_text) for column in chosen]
    _refuse_ambiguous(table, [name for feature in features for name in feature.names])
    return features, nameless


def numbers_rows(column: Column) -> bool:
    """Whether a column counts the rows, from 0 or from 1: what it tells is their order."""
    values = column.numbers
    if values is None or len(values) < 2 or values[0] not in (0, 1):
        return False
    return np.array_equal(values, values[0] + np.arange(len(values)))


def leave_out(columns: Sequence[Column]) -> str:
    """Return what leaves columns out, as a command line takes it."""
    them = "it" if len(columns) == 1 else "them"
    return f"--ignore {as_option([column.option for column in columns])} leaves {them} out"


def _as_texts(column: Column) -> str:
    """Return what takes a column as categories, as a command line takes it."""
    return f"--categories {as_option([column.option])} takes all of them as texts"


def refuse_decimal_commas(table: Table, column: Column, remedy: str) -> None:
    """Refuse texts all of which are numbers once a comma is a point, or is left out."""
    if column.kind not in ("text", "both"):
        return
    texts = column.texts(True)
    there = [row for row, text in enumerate(texts) if text is not None]
    commas = [row for row in there if "," in (texts[row] or "")]
    if commas and all(is_number((texts[row] or "").replace(",", "")) for row in there):
        raise CommandError(
            f"{table.place(commas[0], column)}: {texts[commas[0]]!r} has a comma, and numbers are "
            f"read with a decimal point and nothing between their digits: {remedy}"
        )


def refuse_infinities(table: Table, features: Sequence[Feature], dtype: np.dtype[Any]) -> None:
    """Refuse numbers that are infinite, or that the network's type cannot hold."""
    for feature in features:
        with np.errstate(over="ignore"):
            wrong = np.isinf(feature.values.astype(dtype)).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            value = feature.values[row, 0]
            what = "the value is infinite" if np.isinf(value) else beyond(f"{value:g}", dtype)
            raise CommandError(f"{table.place(row, feature.column)}: {what}")


def of_both_kinds(table: Table, column: Column, remedy: str) -> CommandError:
    """Return the error of a column some of whose cells are numbers and others are text."""
    texts = column.texts(True)
    there = [row for row, text in enumerate(texts) if text is not None]
    text = next(row for row in there if not is_number(texts[row] or ""))
    number = next(row for row in there if is_number(texts[row] or ""))
    return CommandError(
        f"{table.place(text, column)}: {(texts[text] or '')[:40]!r} is not a number, and "
        f"{table.where(number)} holds {texts[number]}: {remedy}"
    )


def _refuse_targets(columns: Sequence[Column], targets: Sequence[Column], option: str) -> None:
    for column in columns:
        if column in targets:
            raise CommandError(f"{option} names {column.option!r}, and --target does, too")


def _require_own_name(table: Table, column: Column) -> None:
    if table.heading is None:
        return
    if not column.name:
        raise CommandError(
            f"{table.source}: column {column.number} has no name, and a network knows its features "
            "by theirs"
        )
    if table.heading.count(column.name) > 1:
        raise CommandError(f"{table.source}: two columns are named {column.name!r}")


def _feature(table: Table, column: Column, as_text: bool) -> Feature:
    if column.numbers is not None and not as_text:
        return Feature(column, column.numbers[:, None], (column.name,))
    if not column.is_known:
        raise CommandError(
            f"{table.source}: {column.called} holds {column.kind}, neither numbers nor text: "
            f"{leave_out([column])}"
        )
    if column.kind == "both" and not as_text:
        raise of_both_kinds(table, column, _as_texts(column))
    if table.heading is None:
        raise CommandError(
            f"{table.source}: {column.called} holds text, and there is no heading: a network knows "
            f"categories by the name of their column. Give the file a heading; or "
            f"{leave_out([column])}"
        )
    texts = column.texts(not as_text)
    known = sorted({text for text in texts if text is not None})
    if not known:
        raise CommandError(f"{table.source}: {column.called} has no values: {leave_out([column])}")
    place = {text: i for i, text in enumerate(known)}
    values = np.zeros((len(texts), len(known)))
    for row, text in enumerate(texts):
        if text is None:
            values[row] = np.nan
        else:
            values[row, place[text]] = 1
    return Feature(column, values, tuple(category_name(column.name, text) for text in known))


def _refuse_names(table: Table, columns: Sequence[Column]) -> None:
    """Refuse columns of text that tell samples apart rather than what they have in common."""
    named, counts = [], []
    for column in columns:
        if column.kind not in ("text", "both") or table.heading is None:
            continue
        texts = [text for text in column.texts(True) if text is not None]
        if column.kind == "both" and 2 * sum(map(is_number, texts)) > len(texts):
            continue  # rather numbers, with a slip
        count = len(set(texts))
        if count > _MOST_CATEGORIES or (count > _FEW_CATEGORIES and 2 * count > len(texts)):
            named.append(column)
            counts.append(f"{column.called} holds {count} different texts in {len(texts)} rows")
    if named:
        shown = ", ".join(counts[:4]) + ", ..." * (len(counts) > 4)
        raise CommandError(
            f"{table.source}: {shown}, rather names than categories: {leave_out(named)}, "
            f"--categories takes them as they are"
        )


def _refuse_ambiguous(table: Table, names: Sequence[str]) -> None:
    """Refuse names that would tell something else, or more than one thing, when they are read."""
    if table.heading is None:
        return
    seen = set()
    for name in names:
        if name in seen:
            raise CommandError(
                f"{table.source}: a category would have the name of another feature, {name!r}"
            )
        seen.add(name)
        category_of(table.source, table.heading, name)
