"""Results that are dataclasses and print as tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from laminet.core.hooks import hooks
from laminet.core.table_data import TableData

__all__ = ["Report", "TableData", "plain"]


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
        return hooks.text(self.tables(), self.notes())

    def __repr__(self) -> str:
        return str(self)

    def __rich__(self) -> Any:
        return hooks.rich(self.tables(), self.notes())

    def _repr_html_(self) -> str:
        return hooks.html(self.tables(), self.notes())


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
