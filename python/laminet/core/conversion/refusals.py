"""What is no array of real numbers: why, and what its owner can do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from laminet.core.conversion.counts import shown

__all__ = [
    "NOT_ARRAYS",
    "NO_MISSING_VALUES",
    "items",
    "masked",
    "not_real",
    "refuse_large",
    "refuse_masked",
    "refuse_object",
    "refuse_unreadable",
]

Array = np.ndarray[Any, np.dtype[Any]]

NO_MISSING_VALUES = "the network has no notion of missing values: fill them first"

#: What NumPy makes an array of that is none of numbers.
NOT_ARRAYS = (str, bytes, dict, set, frozenset, type(None))


def masked(name: str) -> TypeError:
    """Return the error for a masked array."""
    return TypeError(f"{name} is a masked array; {NO_MISSING_VALUES}, as in {name}.filled(0)")


def refuse_masked(value: Array, name: str) -> None:
    """Raise a TypeError for a masked array: without a masked element also."""
    if isinstance(value, np.ma.MaskedArray):
        raise masked(name)


def refuse_object(value: Any, name: str) -> None:
    """Raise a TypeError for what NumPy would make something else of than its owner means.

    Parameters
    ----------
    value : object
        Neither a list, a NumPy array nor a table.
    name : str
        The argument's name.
    """
    kind = type(value).__name__
    if (dense := _dense(value, name)) is not None:  # some are dicts, too
        raise TypeError(f"{name} is sparse ({kind}): give {dense}")
    if isinstance(value, NOT_ARRAYS):
        hint = ""
        if isinstance(value, dict):
            hint = f"; for numbers by name, give a table, as in pandas.DataFrame({name})"
        raise TypeError(f"{name} must be an array of real numbers, got {kind}{hint}")
    if (data := _data(value, name)) is not None:
        raise TypeError(f"{name} is a {kind}, a source of data yet to be read: give {data}")


def refuse_unreadable(value: Any, name: str, error: Exception) -> NoReturn:
    """Raise for an object whose own conversion to an array has failed.

    Raises
    ------
    TypeError, ValueError
        Of the kind of `error`, which is its cause: it is another library's.
    """
    kind = type(value).__name__
    if hasattr(value, "__cuda_array_interface__"):
        take = f"{name}.get()" if hasattr(value, "get") else f"{name}.copy_to_host()"
        raise TypeError(f"{name} ({kind}) is in the memory of a GPU: give {take}") from None
    raised = ValueError if isinstance(error, ValueError) else TypeError
    message = f"{name} is not an array of numbers: a {kind}, whose conversion to one fails"
    raise raised(message) from error


def refuse_large(value: list[Any] | tuple[Any, ...], name: str) -> None:
    """Raise a ValueError for an integer in nested lists that is too large for a float."""
    for place, item in items(value, name):
        if isinstance(item, int) and abs(item) > sys.float_info.max:
            raise ValueError(f"{place} is {shown(item)}, too large for a float")


def not_real(value: Any, array: Array, name: str) -> TypeError:
    """Return the error for an array without real numbers, with a remedy for its dtype.

    Parameters
    ----------
    value : object
        What the user gave.
    array : ndarray
        What NumPy makes of it.
    name : str
        The argument's name.
    """
    dtype = array.dtype
    if dtype.kind == "O" and array.ndim == 0 and not isinstance(value, np.ndarray):
        kind = "a class" if isinstance(value, type) else _a(type(value).__name__)
        text = f"{name} must hold real numbers, got {kind}"
        if isinstance(value, Iterator):
            text += f"; list({name}) is one, of its items"
        elif hasattr(value, "__arrow_c_stream__"):
            text += "; a table of its kind is read by pyarrow, which is not installed"
        return TypeError(text)
    text = f"{name} must hold real numbers, got dtype {_short(str(dtype))}"
    if remedy := _remedy(value, array, name):
        text += f"; {remedy}"
    return TypeError(text)


def _remedy(value: Any, array: Array, name: str) -> str:
    dtype = array.dtype
    # What has no method of its own is made an array first.
    owner = name if hasattr(value, "astype") else f"numpy.array({name})"
    if dtype.kind == "O":
        if isinstance(value, (list, tuple)):
            for place, item in items(value, name):
                if (dense := _dense(item, place)) is not None:
                    return f"{place} is sparse: give {dense}"
                if isinstance(item, (complex, np.complexfloating)):
                    return f"{place} is complex"
                # Decimal and Fraction become floats.
                if not hasattr(item, "__float__") and not hasattr(item, "__index__"):
                    kind = "None" if item is None else _a(type(item).__name__)
                    return f"{place} is {kind}, and no number"
        return f"{owner}.astype(float) makes numbers of objects that are such"
    if dtype.kind in "SUT":
        return f"{owner}.astype(float) reads numbers that are written as text"
    if dtype.kind == "c" or "complex" in dtype.name:
        return f"take its real part or its absolute value: {owner}.real, abs({owner})"
    if dtype.kind == "m":
        return f"count units, as in {owner} / numpy.timedelta64(1, 's')"
    if dtype.kind == "M":
        return f"count units, as in ({owner} - {owner}.min()) / numpy.timedelta64(1, 's')"
    if dtype.names is not None:
        return f"numpy.lib.recfunctions.structured_to_unstructured({name}) makes columns of fields"
    return ""


def items(value: list[Any] | tuple[Any, ...], name: str) -> Iterator[tuple[str, Any]]:
    """Yield what stands in nested lists, but for the lists, with its place: ``x[2][0]``."""
    for index, item in enumerate(value):
        place = f"{name}[{index}]"
        if isinstance(item, (list, tuple)):
            yield from items(item, place)
        else:
            yield place, item


def _dense(value: Any, name: str) -> str | None:
    """Return how to make an array of a sparse one; None for others."""
    module = type(value).__module__.partition(".")[0]
    if module == "tensorflow" and type(value).__name__ == "SparseTensor":
        return f"tensorflow.sparse.to_dense({name})"
    # The number of stored elements: of scipy.sparse and sparse, and of jax.experimental.sparse.
    if not (hasattr(type(value), "nnz") or hasattr(type(value), "nse") or hasattr(value, "nnz")):
        return None
    for method in ("toarray", "todense"):
        if hasattr(value, method):
            return f"{name}.{method}()"
    return None


def _data(value: Any, name: str) -> str | None:
    """Return how to get the data of a query or reader, which gives them once; None for others."""
    polars, pyarrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(value, getattr(polars, "LazyFrame", ())):
        return f"{name}.collect()"
    if pyarrow is not None and isinstance(value, getattr(pyarrow, "RecordBatchReader", ())):
        return f"{name}.read_all()"
    dataset = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(value, (dataset.Dataset, dataset.Scanner)):
        return f"{name}.to_table()"
    return None


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
