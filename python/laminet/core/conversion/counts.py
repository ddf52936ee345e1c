"""Integers that users give."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "as_batch",
    "as_count",
    "as_integer",
    "as_step",
    "largest_batch",
    "require_width",
    "shown",
]

# Addresses tell so many numbers of float64 apart.
_WIDEST = sys.maxsize // 8


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
        raise ValueError(f"{name} must be at least 1, got {shown(count)}")
    return count


def as_step(value: Any, name: str, *, least: int = 0) -> int:
    """Return how often something is done as an int of at least `least`.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than `least`, or more than anything is ever done.
    """
    count = as_integer(value, name)
    if not least <= count <= sys.maxsize:
        bounds = f"at least {least}" if count < least else f"at most {sys.maxsize}"
        raise ValueError(f"{name} must be {bounds}, got {shown(count)}")
    return count


def as_batch(batch: Any, most: int, *, least: int = 1) -> int:
    """Return a number of samples as an int of at least `least`.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than `least`, or above `most`.
    """
    count = as_integer(batch, "batch")
    if count < least:
        raise ValueError(f"batch is {shown(count)}, expected {least} or more")
    if count > most:
        raise ValueError(f"batch is {shown(count)}, more than any memory holds: at most {most}")
    return count


def require_width(features: int, what: str) -> None:
    """Raise a ValueError that begins with `what` for more features than a sample can have."""
    if features > _WIDEST:
        raise ValueError(
            f"{what} {shown(features)}, more than any memory holds: at most {_WIDEST} features"
        )


def largest_batch(sizes: Sequence[int]) -> int:
    """Return how many samples of a network an address could tell apart, as float64."""
    return sys.maxsize // (8 * max(sizes))


def shown(value: Any) -> str:
    """Return a number or a short text as written, of all else the type.

    Of an integer of hundreds of digits, which Python may refuse to write, how large it is.
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (int, float, complex, str, np.generic)) and len(repr(value)) <= 40:
        return repr(value)
    return type(value).__name__
