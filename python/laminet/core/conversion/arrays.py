"""From "array-like" to an array of real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.core.conversion import refusals, tables
from laminet.core.conversion.names import check_names_of_samples
from laminet.core.conversion.nested_lists import refuse_lists
from laminet.core.conversion.tensors import tensor_array

__all__ = ["as_real_array", "real_array"]

Array = np.ndarray[Any, np.dtype[Any]]

# Kinds of dtype that hold real numbers: bool, signed and unsigned integers, floating point.
_REAL_KINDS = "biuf"

# Real types of the package ml_dtypes (JAX, TensorFlow): bfloat16, float8_e4m3fn, int4, ... Each of
# their values is one of float32. Its complex types have other names.
_SMALL_TYPES = ("bfloat16", "float8_", "float6_", "float4_", "int", "uint")

# Of integers that no type of NumPy holds it makes an array of objects.
_NUMBERS = {int, float, bool}

# Before 1.24 NumPy made an array of objects of lists whose lengths differ, and gave a warning.
_NUMPY_ALLOWS_RAGGED = np.lib.NumpyVersion(np.__version__) < "1.24.0"


def real_array(value: Any, name: str) -> Array:
    """Return `value` as an array of real numbers of any dtype, or refuse it by `name`.

    Parameters
    ----------
    value : array_like
        A NumPy array, nested lists of numbers, a table whose columns are all numbers or bool
        (pandas, polars, Arrow), or anything with ``__array__``.
    name : str
        The argument's name, for messages.

    Returns
    -------
    ndarray
        Of float32 where the dtype is a small one of ml_dtypes (bfloat16, float8, int4), which
        float32 holds exactly; of a table, of the dtype that holds all columns by NumPy's rules of
        promotion.

    Raises
    ------
    TypeError
        For masked and sparse arrays, tensors that require grad or are not in the CPU's memory, and
        for complex, object, text and other dtypes without real numbers, by column in a table.
    ValueError
        For nested lists whose lengths differ, and for missing values in a table.
    """
    with np.errstate(all="ignore"):
        return _real_array(value, name, None, None)


def as_real_array(
    value: Any, dtype: np.dtype[Any], name: str, feature_names: tuple[str, ...] | None = None
) -> Array:
    """Return `real_array(value, name)` as an aligned array of native `dtype`.

    Parameters
    ----------
    value : array_like
        As in `real_array`.
    dtype : numpy.dtype
        float32 or float64.
    name : str
        The argument's name, for messages.
    feature_names : tuple of str, optional
        The names that the columns of a table must have, in this order; those that a pandas Series,
        one sample, must have in its index. Columns whose labels are numbers have no names.

    Returns
    -------
    ndarray
        A number too large for `dtype` becomes infinity and one too small 0, as in NumPy, but
        without its warning or error, whatever `numpy.errstate` says: the caller of a network did
        not ask for the conversion, and sees the infinity.

    Raises
    ------
    TypeError, ValueError
        As `real_array` does; ValueError also if the names differ.
    """
    with np.errstate(all="ignore"):
        array = _real_array(value, name, dtype, feature_names)
        return np.require(array, dtype=dtype, requirements=["ALIGNED"])


def _real_array(
    value: Any, name: str, dtype: np.dtype[Any] | None, feature_names: tuple[str, ...] | None
) -> Array:
    if isinstance(value, (list, tuple)):
        if feature_names is not None:
            check_names_of_samples(value, name, feature_names)
        array = _array_of_lists(value, name)
    elif isinstance(value, np.ndarray):
        refusals.refuse_masked(value, name)
        array = np.asarray(value)
    else:
        refusals.refuse_object(value, name)
        if (table := tables.table_of(value, name)) is not None:
            if feature_names is not None:
                table.check_names(feature_names)
            value = table.array(dtype)
            array = value
        else:
            array = tensor_array(value, name)
    if array.dtype.type.__module__ == "ml_dtypes":  # some are of a kind of NumPy's
        if array.dtype.name.startswith(_SMALL_TYPES):
            return array.astype(np.float32)
    elif array.dtype.kind in _REAL_KINDS:
        return array
    elif array.dtype.kind == "O" and isinstance(value, (list, tuple)):
        refusals.refuse_large(value, name)
        if _types_in(value) <= _NUMBERS:
            return array.astype(np.float64)
    raise refusals.not_real(value, array, name)


def _array_of_lists(value: list[Any] | tuple[Any, ...], name: str) -> Array:
    # NumPy would read the numbers under a mask.
    if any(issubclass(kind, np.ma.MaskedArray) for kind in _types_in(value)):
        raise refusals.masked(name)
    try:
        if _NUMPY_ALLOWS_RAGGED and _is_ragged(value):
            raise ValueError
        return np.asarray(value)
    except Exception as error:
        refuse_lists(value, name, error)
        raise


def _types_in(value: list[Any] | tuple[Any, ...]) -> set[type]:
    """Return the types of all that stands in nested lists, but for the lists."""
    kinds = set(map(type, value))
    nested = [kind for kind in kinds if issubclass(kind, (list, tuple))]
    if nested:
        kinds.difference_update(nested)
        for item in value:
            if isinstance(item, (list, tuple)):
                kinds |= _types_in(item)
    return kinds


def _is_ragged(value: list[Any] | tuple[Any, ...]) -> bool:
    # Of objects NumPy builds the array without a warning. A filter of warnings would do as well,
    # but holds for all threads.
    cells = np.array(value, object).flat
    return any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells)
