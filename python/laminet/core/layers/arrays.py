"""The arrays of layers: their dtype, read-only views of them, and when two are the same."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array, real_array
from laminet.core.conversion.refusals import NOT_ARRAYS
from laminet.core.scalar_arguments import as_number

__all__ = ["as_vectors", "common_dtype", "number_or_array", "read_only", "same"]

Array = NDArray[Any]


def common_dtype(*arrays: Array) -> np.dtype[Any]:
    """float32 where that holds every value, by NumPy's rules of promotion, else float64."""
    common = np.result_type(np.float32, *(a.dtype for a in arrays))
    return np.dtype(np.float32 if common == np.float32 else np.float64)


def read_only(array: Array) -> Array:
    """Return a view that cannot be written to."""
    view: Array = array.view()
    view.flags.writeable = False
    return view


def number_or_array(value: Any, name: str) -> float | Array:
    """Return what may be one number or several: a float, or an array of one axis or more.

    Raises
    ------
    TypeError
        If it holds something else than real numbers; bool is none.
    ValueError
        If a number is too large for a float, or rows have different lengths.
    """
    if isinstance(value, (Number, np.bool_, *NOT_ARRAYS)):
        return as_number(value, name)
    array = real_array(value, name)
    # Of [True, 2.0] NumPy makes numbers.
    listed = value if isinstance(value, (list, tuple)) else ()
    if array.dtype == bool or any(isinstance(one, (bool, np.bool_)) for one in listed):
        raise TypeError(f"{name} must hold real numbers, got bool")
    return array if array.ndim > 0 else as_number(array[()], name)


def as_vectors(**values: ArrayLike | None) -> dict[str, Array | None]:
    """Return arguments as read-only arrays of one axis, one dtype and one length; None stays.

    Raises
    ------
    ValueError
        If one has another shape than (features,), or another length than those before it.
    TypeError
        If one does not hold real numbers.
    """
    arrays = {name: real_array(v, name) for name, v in values.items() if v is not None}
    first = next(iter(arrays), "")
    for name, array in arrays.items():
        if array.ndim != 1 or array.size == 0:
            raise ValueError(
                f"{name} must have shape (features,), with one or more, got shape {array.shape}"
            )
        if array.shape != arrays[first].shape:
            raise ValueError(
                f"{name} has {array.size} numbers, {first} has {arrays[first].size}: "
                "each must be one for each feature"
            )
    dtype = common_dtype(*arrays.values())
    vectors = {name: read_only(as_real_array(a, dtype, name)) for name, a in arrays.items()}
    return {name: vectors.get(name) for name in values}


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same: arrays by dtype, shape and bits, floats by their bits."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float) and isinstance(b, float):
        return a.hex() == b.hex()  # 0.0 is not -0.0
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    return bool(a == b)
