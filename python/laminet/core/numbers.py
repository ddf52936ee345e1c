"""Real numbers that users give, one at a time."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

__all__ = ["as_number"]


def as_number(value: Any, name: str) -> float:
    """Return `value` as a float; bool, which Python counts among the numbers, is none.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is too large for a float.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None
