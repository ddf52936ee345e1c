"""NumPy's floating-point errors: what a caller asked of his own arithmetic is not for ours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

__all__ = ["silent"]

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
