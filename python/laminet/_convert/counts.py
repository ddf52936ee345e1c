"""Integers that users give."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["as_batch", "as_count", "as_integer"]


def as_integer(value: Any, name: str) -> int:
    """Return `value` as an int; bool, which Python counts among the integers, is none.

    Raises
    ------
    TypeError
        If it is not an integer.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None


def as_count(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than 1.
    """
    count = as_integer(value, name)
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count


def as_batch(batch: Any) -> int:
    """Return a number of samples as an int of at least 1.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than 1.
    """
    count = as_integer(batch, "batch")
    if count < 1:
        raise ValueError(f"batch is {count}, expected 1 or more")
    return count


def shown(value: Any) -> str:
    """Return a number or a short text as written, of all else the type."""
    if isinstance(value, (int, float, complex, str, np.generic)) and len(repr(value)) <= 40:
        return repr(value)
    return type(value).__name__
