"""Which columns of a file are the features, and which are passed on: by name, or by number.

A feature that is called "color=red", where a table has no column of that name but one that is
called "color", is 1 where that column holds the text "red", and 0 where it holds the text of
another of the network's features, "color=blue". A text that is none of theirs is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laminet.files.cells import is_truth_value
from laminet.files.samples import SampleError

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = [
    "Chosen",
    "Request",
    "category_name",
    "category_of",
    "is_column_number",
    "listed",
]


def category_name(column: str, text: str) -> str:
    """Return the name of the feature that is 1 where a column holds this text."""
    return f"{column}={text}"


@dataclass(frozen=True)
class Chosen:
    """Which columns of a file are read.

    Attributes
    ----------
    features : list of int
        Positions from 0, one for each feature, in the network's order.
    kept : list of int
        Those of the columns that are passed on.
    categories : dict of int to dict of str to int
        Of the columns among `features` that hold categories: which feature is 1 where the column
        holds a text.
    """

    features: list[int]
    kept: list[int]
    categories: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        """Which of the features are numbers as they stand."""
        return [i for i, column in enumerate(self.features) if column not in self.categories]

    def features_of(self, column: int) -> list[int]:
        """Return which features a column of categories makes."""
        return list(self.categories[column].values())

    def feature_of(self, column: int, text: str | None) -> int:
        """Return which feature is 1 where a column of categories holds this text.

        Raises
        ------
        ValueError
            If the network knows no such category; it says which ones it does.
        """
        known = self.categories[column]
        found = -1 if text is None else known.get(text, -1)
        if found < 0 and text is not None and is_truth_value(text):
            # "True" in .csv by pandas, "TRUE" by R, "true" in a column of bool.
            same = [known[name] for name in known if name.lower() == text.lower()]
            found = same[0] if len(same) == 1 else -1
        if found < 0:
            what = f"{text[:40]!r} is none of" if text else "the value is missing;"
            raise ValueError(f"{what} the network's categories {listed(list(known))}")
        return found


@dataclass(frozen=True)
class Request:
    """What is asked for: the network, and the columns that the caller names.

    Attributes
    ----------
    net : MLP
    columns : list of str, or None
        The features, in the network's order; None for those that the network names, or all.
    keep : list of str
        Columns that are passed on.
    options : tuple of two str
        What messages call `columns` and `keep`: as the caller's user gives them.
    gaps : bool
        Whether missing values of features are NaN, and not refused.
    """

    net: MLP
    columns: list[str] | None = None
    keep: list[str] | None = None
    options: tuple[str, str] = ("columns", "keep")
    gaps: bool = False

    @property
    def named(self) -> list[str]:
        """All names that the caller gives."""
        return [*(self.columns or ()), *(self.keep or ())]

    @property
    def known(self) -> list[str]:
        """All names by which the first line of a file may be told to be a heading."""
        features = self.net.feature_names or ()
        return [*self.named, *features, *(column for n in features for column, _ in _splits(n))]

    def check(self, *, lists: bool = False) -> None:
        """Refuse what no file could give.

        Parameters
        ----------
        lists : bool
            Whether one column may hold all features of a row.
        """
        for option, names in zip(self.options, (self.columns, self.keep), strict=True):
            for name in names or ():
                if (names or []).count(name) > 1:
                    raise SampleError(f"{option} names {name!r} twice")
        if self.columns is None or (lists and len(self.columns) == 1):
            return
        self.require_width()
        known = self.net.feature_names or ()
        for position, name in enumerate(self.columns):
            if name in known and known[position] != name:
                raise SampleError(
                    f"{self.options[0]} names {name!r} as column {position + 1} of the network, "
                    f"whose features are {listed(known)}, in this order"
                )

    def require_width(self) -> None:
        """Refuse columns that are not as many as the network's features."""
        if self.columns is not None and len(self.columns) != self.net.in_features:
            raise SampleError(
                f"{self.options[0]} names {_count(len(self.columns))}, the network takes "
                f"{self.net.in_features}"
            )

    def kept_of(self, place: str, heading: Sequence[str]) -> list[int]:
        """Return the positions of the columns that are passed on."""
        reason = f"{self.options[1]} names it"
        return [_position(place, heading, name, reason) for name in self.keep or ()]

    def with_heading(self, place: str, heading: Sequence[str]) -> Chosen:
        """Return the columns of a file whose columns have names.

        Parameters
        ----------
        place : str
            The file, or its line, for messages.
        heading : sequence of str
            The names.
        """
        named = self.named
        if named and not any(n in heading for n in named) and all(map(is_column_number, named)):
            return self.without_heading(place, len(heading))
        columns = self.options[0]
        kept = self.kept_of(place, heading)
        if self.columns is not None:
            reason = f"{columns} names it"
            return Chosen([_position(place, heading, n, reason) for n in self.columns], kept)
        if self.net.feature_names is not None:
            reason = f"the network takes it; {columns} says which columns are the features"
            names = self.net.feature_names
            split = [category_of(place, heading, n) for n in names]
            columns_of = [
                _position(place, heading, n if pair is None else pair[0], reason)
                for n, pair in zip(names, split, strict=True)
            ]
            categories: dict[int, dict[str, int]] = {}
            for i, (column, pair) in enumerate(zip(columns_of, split, strict=True)):
                if pair is not None:
                    categories.setdefault(column, {})[pair[1]] = i
            for column in categories:
                if heading[column] in names:
                    raise SampleError(
                        f"{place}: the network takes column {heading[column]!r} as numbers and as "
                        "categories"
                    )
            return Chosen(columns_of, kept, categories)
        return self._rest(place, len(heading), kept)

    def without_heading(self, place: str, width: int) -> Chosen:
        """Return the columns of a file whose columns have numbers alone, the first one 1."""
        for option, names in zip(self.options, (self.columns, self.keep), strict=True):
            for name in names or ():
                if not is_column_number(name):
                    raise SampleError(
                        f"{place}: no heading, so {option} takes the numbers of columns, 1 for the "
                        f"first, and not {name!r}"
                    )
                if int(name) > width:
                    raise SampleError(f"{place}: {_count(width)}, and {option} names {name}")
        kept = [int(name) - 1 for name in self.keep or ()]
        if self.columns is not None:
            return Chosen([int(name) - 1 for name in self.columns], kept)
        return self._rest(place, width, kept)

    def _rest(self, place: str, width: int, kept: list[int]) -> Chosen:
        features = [i for i in range(width) if i not in kept]
        if len(features) != self.net.in_features:
            beside = f" beside {_count(len(kept))} to keep" if kept else ""
            raise SampleError(
                f"{place}: {_count(len(features))}{beside}, the network takes "
                f"{self.net.in_features}"
            )
        return Chosen(features, kept)


def listed(names: Sequence[str]) -> str:
    """Return names for a message: the first ones, and how many there are."""
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 10 else shown


def _splits(name: str) -> list[tuple[str, str]]:
    """Return all columns and categories that the name of a feature may be made of."""
    places = [i for i in range(1, len(name) - 1) if name[i] == "="]
    return [(name[:i], name[i + 1 :]) for i in places]


def category_of(place: str, heading: Sequence[str], name: str) -> tuple[str, str] | None:
    """Return column and category of a feature that is no column itself; None of all others."""
    if name in heading:
        return None
    pairs = [(column, text) for column, text in _splits(name) if column in heading]
    if len(pairs) > 1:
        raise SampleError(
            f"{place}: feature {name!r} may be a category of the column "
            + " or of ".join(repr(column) for column, _ in pairs)
        )
    return pairs[0] if pairs else None


def _position(place: str, heading: Sequence[str], name: str, reason: str) -> int:
    if name not in heading:
        raise SampleError(
            f"{place}: no column {name!r}, and {reason}; the columns are {listed(heading)}"
        )
    if list(heading).count(name) > 1:
        raise SampleError(f"{place}: two columns are named {name!r}")
    return list(heading).index(name)


def is_column_number(name: str) -> bool:
    """Whether a name can be the number of a column, from 1."""
    return name.isascii() and name.isdigit() and 0 < int(name) < 10**9


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"
