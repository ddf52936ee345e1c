"""NumPy's floating-point errors: what a caller asked of his own arithmetic is not for ours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["rounded", "silent"]

P = ParamSpec("P")
R = TypeVar("R")


def silent(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with `numpy.errstate` ignoring all within it, whatever the caller has.

    What overflows is infinite in its result, and what underflows 0: under
    ``numpy.errstate(all="raise")`` the same result comes, not a FloatingPointError from inside.
    """

    @functools.wraps(function)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quiet


def rounded(array: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Return an array in `dtype`; refuse a finite number that becomes infinity there.

    Raises
    ------
    ValueError
        If a number is too large.
    """
    with np.errstate(all="ignore"):
        result = array.astype(dtype, copy=False)
    if result is not array and (np.isinf(result) & np.isfinite(array)).any():
        largest = float(np.max(np.abs(array[np.isfinite(array)])))
        raise ValueError(f"a {name} of {largest:.3g} is too large for {dtype}")
    return result
