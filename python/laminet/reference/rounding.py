"""What a network of a lesser precision rounds: numbers of bfloat16, in NumPy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array
from laminet.core.precision import precision_named

__all__ = ["EXACT", "Rounding", "rounding_of", "to_bfloat16"]

Array = NDArray[np.float64]

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_LEAST_NORMAL = 2.0**-126
_BEYOND = 2.0**128


def to_bfloat16(numbers: ArrayLike) -> Array:
    """Round numbers of float32 to bfloat16: to the nearest, and of two as near to the even one.

    bfloat16 has the exponents of float32 and 8 bits of precision, the first of which is not stored.
    Its largest number is ``(2 - 2**-7) * 2**127``; from halfway to ``2**128`` on it is infinity.
    Subnormal numbers, below ``2**-126``, are multiples of ``2**-133``. NaN and infinities stay, and
    so does the sign of zero.

    Parameters
    ----------
    numbers : array_like of any shape
        The numbers; those of other types are rounded to float32 first.

    Returns
    -------
    ndarray of the same shape, float64
        A new array.

    Raises
    ------
    TypeError
        If `numbers` does not hold real numbers.

    Examples
    --------
    257 lies between 256 and 258, and 256 is the even one: it is 128 times 2, and 258 is 129 times.

    >>> from laminet import reference
    >>> reference.to_bfloat16([1.001, 257.0, 259.0])
    array([  1., 256., 260.])
    """
    with np.errstate(all="ignore"):
        wide = _as_float32(as_real_array(numbers, _FLOAT64, "numbers"))
        _, exponents = np.frexp(np.where(np.isfinite(wide), wide, 1.0))
        unit = np.exp2(np.maximum(exponents - 8, -133.0))  # of the last of 8 bits
        near = np.rint(wide / unit) * unit
        near = np.where(np.abs(near) < _BEYOND, near, np.copysign(np.inf, wide))
        return np.where(np.isfinite(wide), near, wide)


class Rounding(NamedTuple):
    """What dense layers round in a precision."""

    of_weights: bool = False
    of_factors: bool = False

    def weight(self, weight: Array) -> Array:
        """Return a weight matrix as it is stored."""
        if self.of_factors:
            return _flushed(weight)
        return to_bfloat16(weight) if self.of_weights else weight

    def read(self, a: Array) -> Array:
        """Return what comes to a layer, as its product takes it."""
        return _flushed(a) if self.of_factors else a


EXACT = Rounding()


def rounding_of(precision: object) -> Rounding:
    """Return what is rounded in a precision; None is one in which nothing is.

    Raises
    ------
    ValueError
        If there is no such precision.
    TypeError
        If it is no str.
    """
    if precision is None:
        return EXACT
    name = precision_named(precision)
    return Rounding(name in ("bfloat16_weights", "bfloat16"), name == "bfloat16")


def _as_float32(numbers: NDArray[Any]) -> Array:
    return numbers.astype(_FLOAT32).astype(_FLOAT64)


def _flushed(numbers: Array) -> Array:
    """Return numbers in bfloat16, where those that are subnormal in float32 are zero."""
    with np.errstate(all="ignore"):
        subnormal = np.abs(_as_float32(numbers)) < _LEAST_NORMAL
    return np.where(subnormal, np.copysign(0.0, numbers), to_bfloat16(numbers))
