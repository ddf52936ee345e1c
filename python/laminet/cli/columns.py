"""Which columns of a file are the features, and which are passed on: by name, or by number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.cli.common import CommandError

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["Chosen", "Request", "listed", "names_of"]


@dataclass(frozen=True)
class Chosen:
    """Positions of columns, from 0: of the features, in the network's order, and of those kept."""

    features: list[int]
    kept: list[int]


@dataclass(frozen=True)
class Request:
    """What is asked for: the network, and the columns that the command line names.

    Attributes
    ----------
    net : MLP
    columns : list of str, or None
        The features, in the network's order; None for those that the network names, or all.
    keep : list of str
        Columns that are passed on.
    """

    net: MLP
    columns: list[str] | None = None
    keep: list[str] | None = None

    @property
    def named(self) -> list[str]:
        """All names that the command line has."""
        return [*(self.columns or ()), *(self.keep or ())]

    def check(self) -> None:
        """Refuse what no file could give."""
        for option, names in (("--columns", self.columns), ("--keep", self.keep)):
            for name in names or ():
                if (names or []).count(name) > 1:
                    raise CommandError(f"{option} names {name!r} twice")
        if self.columns is None:
            return
        if len(self.columns) != self.net.in_features:
            raise CommandError(
                f"--columns names {_count(len(self.columns))}, the network takes "
                f"{self.net.in_features}"
            )
        known = self.net.feature_names or ()
        for position, name in enumerate(self.columns):
            if name in known and known[position] != name:
                raise CommandError(
                    f"--columns names {name!r} as column {position + 1} of the network, whose "
                    f"features are {listed(known)}, in this order"
                )

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
        if named and not any(n in heading for n in named) and all(map(_is_number, named)):
            return self.without_heading(place, len(heading))
        kept = [_position(place, heading, name, "--keep names it") for name in self.keep or ()]
        if self.columns is not None:
            reason = "--columns names it"
            return Chosen([_position(place, heading, n, reason) for n in self.columns], kept)
        if self.net.feature_names is not None:
            reason = "the network takes it; --columns says which columns are the features"
            names = self.net.feature_names
            return Chosen([_position(place, heading, n, reason) for n in names], kept)
        return self._rest(place, len(heading), kept)

    def without_heading(self, place: str, width: int) -> Chosen:
        """Return the columns of a file whose columns have numbers alone, the first one 1."""
        for option, names in (("--columns", self.columns), ("--keep", self.keep)):
            for name in names or ():
                if not _is_number(name):
                    raise CommandError(
                        f"{place}: no heading, so {option} takes the numbers of columns, 1 for the "
                        f"first, and not {name!r}"
                    )
                if int(name) > width:
                    raise CommandError(f"{place}: {_count(width)}, and {option} names {name}")
        kept = [int(name) - 1 for name in self.keep or ()]
        if self.columns is not None:
            return Chosen([int(name) - 1 for name in self.columns], kept)
        return self._rest(place, width, kept)

    def _rest(self, place: str, width: int, kept: list[int]) -> Chosen:
        features = [i for i in range(width) if i not in kept]
        if len(features) != self.net.in_features:
            beside = f" beside {_count(len(kept))} to keep" if kept else ""
            raise CommandError(
                f"{place}: {_count(len(features))}{beside}, the network takes "
                f"{self.net.in_features}"
            )
        return Chosen(features, kept)


def names_of(text: str) -> list[str]:
    """Return the names in an argument: separated by commas, in quotes where they have some."""
    try:
        names = next(csv.reader([text], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise ValueError(f"{text!r} is no list of names: {error}") from None
    if not names or not all(names):
        raise ValueError(f"{text!r} is no list of names: one is empty")
    return names


def listed(names: Sequence[str]) -> str:
    """Return names for a message: the first ones, and how many there are."""
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 10 else shown


def _position(place: str, heading: Sequence[str], name: str, reason: str) -> int:
    if name not in heading:
        raise CommandError(
            f"{place}: no column {name!r}, and {reason}; the columns are {listed(heading)}"
        )
    if list(heading).count(name) > 1:
        raise CommandError(f"{place}: two columns are named {name!r}")
    return list(heading).index(name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and 0 < int(name) < 10**9


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"
