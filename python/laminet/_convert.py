"""What the C++ core does not read in place: the one slow path from "array-like" to an array."""

from __future__ import annotations

from typing import Any

import numpy as np

# Kinds of dtype that hold real numbers: bool, signed and unsigned integers, floating point.
_REAL_KINDS = "biuf"


def real_array(value: Any, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Return `value` as an array of real numbers of any dtype, or refuse it by `name`.

    Parameters
    ----------
    value : array_like
        A NumPy array, nested lists of numbers, or anything with ``__array__``.
    name : str
        The argument's name, for messages.

    Raises
    ------
    TypeError
        For masked arrays and for complex, object, string and other dtypes without real numbers.
    ValueError
        For nested lists whose lengths differ.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; the network has no notion of missing values: "
            f"fill them first, as in {name}.filled(0)"
        )
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise TypeError(f"{name} must be an array of real numbers, got {type(value).__name__}")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name} is not an array of numbers: {error}") from None
    if array.dtype.kind not in _REAL_KINDS:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def as_real_array(value: Any, dtype: np.dtype[Any], name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Return `real_array(value, name)` as an aligned array of native `dtype`."""
    return np.require(real_array(value, name), dtype=dtype, requirements=["ALIGNED"])
