"""What the C++ core does not read in place: the one slow path from "array-like" to an array."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

# Kinds of dtype that hold real numbers: bool, signed and unsigned integers, floating point.
_REAL_KINDS = "biuf"

# Before 1.24 NumPy made an array of objects of lists whose lengths differ, and gave a warning.
_NUMPY_ALLOWS_RAGGED = np.lib.NumpyVersion(np.__version__) < "1.24.0"


def as_batch(batch: Any) -> int:
    """Return a number of samples as an int of at least 1.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is less than 1.
    """
    count = operator.index(batch)
    if count < 1:
        raise ValueError(f"batch is {count}, expected 1 or more")
    return count


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
        if _NUMPY_ALLOWS_RAGGED and isinstance(value, (list, tuple)):
            _refuse_ragged(value)
        array = np.asarray(value)
    # Not type(error): an exception of the value's own __array__ may take other arguments.
    except ValueError as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from None
    except TypeError as error:
        raise TypeError(f"{name} is not an array of numbers: {error}") from None
    if array.dtype.kind not in _REAL_KINDS:
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def as_real_array(
    value: Any, dtype: np.dtype[Any], name: str, feature_names: tuple[str, ...] | None = None
) -> np.ndarray[Any, np.dtype[Any]]:
    """Return `real_array(value, name)` as an aligned array of native `dtype`.

    The columns of a table must have the `feature_names`, where these are known.

    A number too large for `dtype` becomes infinity, as in NumPy, but without its warning: the
    caller of a network did not ask for the conversion, and sees the infinity.
    """
    array = real_array(value, name)
    with np.errstate(over="ignore"):
        return np.require(array, dtype=dtype, requirements=["ALIGNED"])


def _refuse_ragged(value: list[Any] | tuple[Any, ...]) -> None:
    # Of objects NumPy builds the array without a warning. A filter of warnings would do as well,
    # but holds for all threads.
    if any(isinstance(cell, (list, tuple, np.ndarray)) for cell in np.array(value, object).flat):
        raise ValueError("its rows have different lengths")
