"""Folders of files that are one table: which files, in which order, and what their paths say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from laminet.files.samples import SampleError

__all__ = ["Part", "constants_of", "parts_of"]

# How Hive and all who write as it does name a folder whose rows have no value in a column.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})")


@dataclass(frozen=True)
class Part:
    """A file of a table.

    Attributes
    ----------
    path : str
    name : str
        Its path within the folder.
    keys : dict of str to str or None
        What folders named "year=2024" say of all its rows; None where a value is missing.
    """

    path: str
    name: str
    keys: dict[str, str | None] = field(default_factory=dict)


def parts_of(folder: str) -> list[Part]:
    """Return the files in a folder and those within, in the order of their paths.

    Names that begin with a dot or an underscore are of programs, not of the table.

    Parameters
    ----------
    folder : str

    Raises
    ------
    SampleError
        If there is none, or some lie in folders that name other columns than those of others.
    """
    found = []

    def fail(error: OSError) -> None:
        raise error

    for where, inner, files in os.walk(folder, onerror=fail, followlinks=False):
        inner[:] = sorted(name for name in inner if name[0] not in "._")
        inside = os.path.relpath(where, folder)
        steps = [] if inside == os.curdir else inside.split(os.sep)
        keys = dict(_key(step) for step in steps if "=" in step)
        for name in files:
            if name[0] not in "._":
                found.append(Part(os.path.join(where, name), os.path.join(*steps, name), keys))
    if not found:
        raise SampleError(f"{folder}: a folder without files")
    found.sort(key=lambda part: part.name)
    first = found[0]
    for part in found:
        if part.keys.keys() != first.keys.keys():
            raise SampleError(
                f"{folder}: {first.name!r} and {part.name!r} lie in folders that name different "
                "columns"
            )
    return found


def constants_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return for each file the columns that its path gives, as pyarrow.Scalar.

    A column is of whole numbers (int64) where all values are such, and of text otherwise.
    """
    import pyarrow as pa

    kinds = {}
    for key in parts[0].keys:
        values = [part.keys[key] for part in parts]
        are_numbers = all(v is None or _WHOLE_NUMBER.fullmatch(v) for v in values)
        kinds[key] = pa.int64() if are_numbers and any(values) else pa.string()

    def scalar(text: str | None, kind: Any) -> Any:
        return pa.scalar(int(text) if text is not None and kind == pa.int64() else text, kind)

    return [{k: scalar(v, kinds[k]) for k, v in part.keys.items()} for part in parts]


def _key(step: str) -> tuple[str, str | None]:
    name, _, value = step.partition("=")
    return unquote(name), None if value == _NO_VALUE else unquote(value)
