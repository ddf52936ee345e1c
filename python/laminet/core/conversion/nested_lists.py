"""Nested lists that are no array of numbers: why."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.core.conversion.refusals import NOT_ARRAYS, items, refuse_object
from laminet.core.conversion.tensors import tensor_array

__all__ = ["refuse_lists"]


def refuse_lists(value: list[Any] | tuple[Any, ...], name: str, error: Exception) -> None:
    """Raise for nested lists that NumPy makes no array of; return where the reason is unknown."""
    for place, item in items(value, name):
        if not isinstance(item, (np.ndarray, np.generic)):
            _refuse_object(item, place)
    if (difference := _different_lengths(value, name)) is not None:
        raise ValueError(
            f"{name} is not an array of numbers: its rows have different lengths{difference}"
        ) from None
    if isinstance(error, TypeError):
        kinds = {type(item).__name__ for _, item in items(value, name)}
        stack = f"; stack them first, as in torch.stack({name})" if kinds == {"Tensor"} else ""
        raise TypeError(
            f"{name} is not an array of numbers: its lists hold {', '.join(sorted(kinds))}{stack}"
        ) from error
    if isinstance(error, ValueError):
        raise ValueError(
            f"{name} is not an array of numbers: its rows have different lengths"
        ) from None


def _refuse_object(item: Any, place: str) -> None:
    """Raise a TypeError for an item of a list that is no number and no array of them."""
    if isinstance(item, NOT_ARRAYS):
        raise TypeError(f"{place} must be a real number, got {type(item).__name__}")
    if hasattr(item, "__array__") or hasattr(item, "__dlpack__"):
        refuse_object(item, place)
        tensor_array(item, place)


def _different_lengths(value: list[Any] | tuple[Any, ...], name: str) -> str | None:
    """Return where two rows of nested lists differ in their lengths."""
    first = _length(value[0]) if value else None
    for index, item in enumerate(value):
        if (length := _length(item)) != first:
            numbers = ["a number" if n is None else f"length {n}" for n in (first, length)]
            return f": {name}[0] has {numbers[0]}, {name}[{index}] has {numbers[1]}".replace(
                "has a number", "is a number"
            )
    for index, item in enumerate(value):
        if isinstance(item, (list, tuple)):
            found = _different_lengths(item, f"{name}[{index}]")
            if found is not None:
                return found
    return None


def _length(item: Any) -> int | None:
    if isinstance(item, (str, bytes)) or not hasattr(item, "__len__"):
        return None
    try:
        return len(item)
    except TypeError:  # an array without axes
        return None
