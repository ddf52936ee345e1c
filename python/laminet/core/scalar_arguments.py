"""Arguments that are one real number or a flag: converted, or refused in words."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["as_flag", "as_number", "as_number_within"]


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


def as_number_within(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return `value` as a finite float within bounds: `above` and `below` are out of them.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is out of the bounds, infinite or NaN.
    """
    number = as_number(value, name)
    fine = math.isfinite(number)
    words = []
    if above is not None:
        fine &= number > above
        words.append(f"above {above:g}")
    if least is not None:
        fine &= number >= least
        words.append(f"at least {least:g}")
    if below is not None:
        fine &= number < below
        words.append(f"below {below:g}")
    if most is not None:
        fine &= number <= most
        words.append(f"at most {most:g}")
    if not fine:
        bounds = " and ".join(words) if math.isfinite(number) else "finite"
        raise ValueError(f"{name} must be {bounds}, got {number:g}")
    return number


def as_flag(value: Any, name: str) -> bool:
    """Return `value` as a bool; nothing else is taken for one.

    Raises
    ------
    TypeError
        If it is not a bool.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
    return bool(value)
