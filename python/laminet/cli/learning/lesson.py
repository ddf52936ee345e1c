"""All that a table has to teach, in parts: to learn from, to stop by, and to test with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.cli.common import CommandError
from laminet.cli.learning.features import (
    chosen_columns,
    encoded,
    leave_out,
    numbers_rows,
    refuse_infinities,
)
from laminet.cli.learning.targets import targets_of
from laminet.core.outputs import Classes, Labels, Quantities
from laminet.files.columns import listed
from laminet.training.held_out import held_out_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from laminet.cli.learning.features import Feature
    from laminet.core.outputs import Outputs
    from laminet.files.tables import Column, Table

    Array = NDArray[Any]

__all__ = ["Choices", "Lesson", "Part", "lesson_of"]

# Of a column's deviation, the rounding of its numbers that a user should hear of.
_LOST = 0.01


@dataclass(frozen=True)
class Choices:
    """What the user says of a table, as options of the command.

    Attributes
    ----------
    targets : list of str
    columns : list of str, or None
        The features; None for all columns that are no targets.
    ignore, categories : list of str
        Columns that are left out, and those whose values are texts whatever they look like.
    task : {"classes", "labels", "numbers"} or None
        None for what the target's values suggest.
    missing : {"refuse", "drop", "mean"}
    """

    targets: Sequence[str]
    columns: Sequence[str] | None = None
    ignore: Sequence[str] = ()
    categories: Sequence[str] = ()
    task: str | None = None
    missing: str = "refuse"


@dataclass(frozen=True)
class Part:
    """Some of the samples: features (rows, features), targets (rows, targets) or which classes."""

    x: NDArray[np.float64]
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Lesson:
    """What there is to learn.

    Attributes
    ----------
    training, validation, test : Part
        The last two may have no rows.
    features : tuple of str, or None
        The names of features; None where columns have numbers alone.
    columns : tuple of str
        What the options of commands call the columns that they are made of.
    targets : tuple of str
        The names of the targets, or what messages call them.
    task : {"classes", "labels", "numbers"}
    classes : ndarray, or None
        None where the task is another.
    dropped : int
        How many rows are left out.
    means : ndarray of shape (features,), or None
        What stands for missing values, where means do.
    remarks : tuple of str
        Sentences on columns that are left out, or might be.
    """

    training: Part
    validation: Part
    test: Part
    features: tuple[str, ...] | None
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    task: str
    classes: Array | None = None
    dropped: int = 0
    means: NDArray[np.float64] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether columns have names."""
        return self.features is not None

    @property
    def outputs(self) -> Outputs:
        """What the outputs of a network for it stand for."""
        if self.classes is not None:
            return Classes(self.classes)
        if self.task == "labels":
            return Labels(self.targets)
        return Quantities(self.targets if self.is_named else None)

    @property
    def out_features(self) -> int:
        """How many outputs a network for it has."""
        return len(self.targets if self.classes is None else self.classes)

    def told(self, part: Part) -> Array:
        """Return the targets of a part as `ln.fit` takes them."""
        return part.y if self.classes is None else self.classes[part.y]


def lesson_of(
    table: Table,
    choices: Choices,
    dtype: np.dtype[Any],
    test: float,
    validation: float,
    seed: int,
) -> Lesson:
    """Return what a table has to teach a network of a type.

    Parameters
    ----------
    table : Table
    choices : Choices
    dtype : dtype
    test, validation : float
        The shares of all samples that are held out, of each class its own.
    seed : int
        Of which they are.

    Raises
    ------
    CommandError, SampleError
        If a column is not there or has no use, a value is missing or infinite, a target is the same
        in every row, or there are too few rows; it names row and column.
    """
    columns = chosen_columns(table, choices.targets, "--target")
    if table.rows == 0:
        raise CommandError(f"{table.source}: 0 samples")
    features, nameless = encoded(
        table, columns, choices.columns, choices.ignore, choices.categories
    )
    targets = targets_of(table, columns, choices.task, dtype)
    refuse_infinities(table, features, dtype)
    kept = _kept_rows(table, features, columns, targets.missing, choices.missing)
    y, classes = targets.values[kept], targets.classes
    if classes is not None:
        there, y = np.unique(y, return_inverse=True)
        classes = classes[there]
    _refuse_constant(table, columns, y, classes)
    features, remarks = _useful(table, features, kept, choices.columns is not None)
    remarks = [f"{c.called} has no name and is left out" for c in nameless] + remarks
    x = np.column_stack([feature.values for feature in features])[kept]
    parts = _parts(table, x, y, classes is not None, test, validation, seed)
    means = None
    if choices.missing == "mean":
        means = _means(table, features, parts[0].x)
        parts = (_filled(parts[0], means), _filled(parts[1], means), _filled(parts[2], means))
    owners = [feature.column for feature in features for _ in feature.names]
    remarks += _held(table, owners, parts[0].x, dtype)
    if targets.task == "numbers":
        remarks += _held(table, columns, parts[0].y, dtype)
    names = tuple(name for feature in features for name in feature.names)
    return Lesson(
        *parts,
        features=None if table.heading is None else names,
        columns=tuple(feature.column.option for feature in features),
        targets=tuple(column.name or column.called for column in columns),
        task=targets.task,
        classes=classes,
        dropped=table.rows - len(kept),
        means=means,
        remarks=tuple(remarks),
    )


def _useful(
    table: Table, features: Sequence[Feature], kept: NDArray[np.intp], is_chosen: bool
) -> tuple[list[Feature], list[str]]:
    """Return the features without those that tell nothing, and what is to be said of them."""
    left, remarks, same = [], [], []
    for feature in features:
        column, values = feature.column, feature.values[kept]
        # Gaps will hold the mean, which is no other number.
        if (np.nanmin(values, axis=0) == np.nanmax(values, axis=0)).all():
            same.append(column)
        else:
            left.append(feature)
    if same:
        which = f"{len(same)} columns are" if len(same) > 1 else f"{same[0].called} is"
        named = f": {listed([c.option for c in same])}" * (len(same) > 1)
        remarks.append(f"{which} the same in every row and left out{named}")
    if not left:
        raise CommandError(f"{table.source}: nothing is left to learn from: {'; '.join(remarks)}")
    if len(left) > 1 and not is_chosen:
        counting = [f.column for f in left if numbers_rows(f.column)]
        remarks += [f"{c.called} only numbers the rows: {leave_out([c])}" for c in counting]
    return left, remarks


def _kept_rows(
    table: Table,
    features: Sequence[Feature],
    targets: Sequence[Column],
    no_target: NDArray[np.bool_],
    missing: str,
) -> NDArray[np.intp]:
    """Return which rows there is to learn from; refuse missing values that nothing is said of."""
    gaps = np.column_stack([np.isnan(feature.values).any(axis=1) for feature in features])
    drop = "--missing drop leaves such rows out"
    if missing != "drop" and no_target.any():
        row, which = np.argwhere(no_target)[0].tolist()
        raise CommandError(f"{table.place(row, targets[which])}: the target is missing: {drop}")
    if missing == "refuse" and gaps.any():
        row, which = np.argwhere(gaps)[0].tolist()
        count = int(gaps.any(axis=1).sum())
        raise CommandError(
            f"{table.place(row, features[which].column)}: the value is missing, as in {count} of "
            f"{table.rows} rows one or more are: {drop}, --missing mean puts the mean there, "
            f"{leave_out([features[which].column])}"
        )
    for which, feature in enumerate(features):
        if gaps[:, which].all():
            column = feature.column
            raise CommandError(
                f"{table.source}: {column.called} has no values: {leave_out([column])}"
            )
    kept = ~no_target.any(axis=1)
    if missing == "drop":
        kept &= ~gaps.any(axis=1)
    if not kept.any():
        raise CommandError(f"{table.source}: every row has a missing value")
    return np.flatnonzero(kept)


def _refuse_constant(
    table: Table, columns: Sequence[Column], y: Array, classes: Array | None
) -> None:
    for i, column in enumerate(columns):
        values = y if classes is not None else y[:, i]
        if (values == values[0]).all():
            shown = f"{values[0]:g}" if classes is None else repr(classes[0].item())
            every = "in every row" if len(y) > 1 else "in the only row"
            raise CommandError(
                f"{table.source}: {column.called} is {shown} {every}: there is nothing to learn"
            )


def _parts(
    table: Table,
    x: NDArray[np.float64],
    y: Array,
    is_classes: bool,
    test: float,
    validation: float,
    seed: int,
) -> tuple[Part, Part, Part]:
    counts = {"--test": round(test * len(x)), "--validation": round(validation * len(x))}
    for (option, count), share in zip(counts.items(), (test, validation), strict=True):
        if share > 0 and count == 0:
            raise CommandError(
                f"{table.source}: {option} {share:g} of {len(x)} samples is none: {option} 0 holds "
                "out nothing"
            )
    if sum(counts.values()) >= len(x):
        raise CommandError(
            f"{table.source}: --test {test:g} and --validation {validation:g} of {len(x)} samples "
            "leave none to learn from"
        )

    def divided(rows: NDArray[np.intp], count: int, seed: int) -> tuple[Any, Any]:
        if count == 0:
            return rows, rows[:0]
        classes = y[rows] if is_classes else None
        out = held_out_rows(count / len(rows), len(rows), classes, seed)
        return np.delete(rows, out), rows[out]

    rest, tested = divided(np.arange(len(x)), counts["--test"], seed)
    # With the same seed, rows that are left would come in an order that is not independent.
    learnt, held_out = divided(rest, counts["--validation"], seed + 1)
    return Part(x[learnt], y[learnt]), Part(x[held_out], y[held_out]), Part(x[tested], y[tested])


def _held(
    table: Table, columns: Sequence[Column], values: Array, dtype: np.dtype[Any]
) -> list[str]:
    """Return remarks on columns of which a type loses much; refuse those it cannot standardise."""
    with np.errstate(over="ignore"):
        deviation = values.std(axis=0)
        # What rounding leaves of a column that is the same in all these rows.
        deviation = np.where(deviation > 1e-12 * np.abs(values.mean(axis=0)), deviation, 0)
        lost = np.sqrt(np.mean((values - values.astype(dtype)) ** 2, axis=0))
    largest = float(np.finfo(dtype).max)
    remarks = []
    for column, spread, error in zip(columns, deviation.tolist(), lost.tolist(), strict=True):
        if not np.isfinite(spread) or 0 < spread * largest < 1:
            raise CommandError(
                f"{table.source}: {column.called} has a standard deviation of {spread:.3g}, which "
                f"{dtype} cannot scale to 1: give its numbers in other units"
            )
        if spread and error > _LOST * spread:
            remarks.append(
                f"{column.called} has values so near to each other that {dtype} blurs them: take "
                "off what they have in common, or --dtype float64"
            )
    return remarks


def _means(
    table: Table, features: Sequence[Feature], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the means of the rows to learn from; of categories they are their shares."""
    there = ~np.isnan(x)
    counts = there.sum(axis=0)
    owners = [feature.column for feature in features for _ in feature.names]
    if not counts.all():
        column = owners[int(counts.argmin())]
        raise CommandError(
            f"{table.source}: {column.called} has no values among the {len(x)} rows to learn from: "
            f"{leave_out([column])}"
        )
    means: NDArray[np.float64] = np.where(there, x, 0).sum(axis=0) / counts
    return means


def _filled(part: Part, means: NDArray[np.float64]) -> Part:
    return Part(np.where(np.isnan(part.x), means, part.x), part.y)
