"""Rows of results that have one for each layer: of a chain, or of any layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["Row", "are_a_chain", "names_of"]


class Row(Protocol):
    """What a result says of a layer, or of equal layers that run as one."""

    @property
    def index(self) -> int:
        """Number of the row, counted from 1."""

    @property
    def kind(self) -> str:
        """Kind of layer."""

    @property
    def place(self) -> str:
        """Where it stands in the network."""

    @property
    def copies(self) -> int:
        """So many equal layers run as one."""


def are_a_chain(rows: Iterable[Row]) -> bool:
    """Whether all are dense layers, one after the other."""
    return all(row.kind == "dense" and row.place in ("", str(row.index)) for row in rows)


def names_of(row: Row, *, chain: bool) -> tuple[str, ...]:
    """Return the first cells of a row in a table: its number in a chain, else place and kind."""
    if chain:
        return (str(row.index),)
    return row.place, row.kind if row.copies == 1 else f"{row.copies} x {row.kind}"
