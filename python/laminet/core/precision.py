"""How exactly a network computes its products: its precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from laminet.core.name_types import PrecisionName
from laminet.core.suggestions import unknown_name

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PRECISIONS", "as_precision", "precision_named"]

#: The precisions that a network may have.
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)

_MEANINGS = {"bf16": "bfloat16", "full": None}
_MEANINGS |= {"float16": None, "half": None, "int8": None}


def precision_named(value: object) -> PrecisionName:
    """Return the name of a precision.

    Raises
    ------
    ValueError
        If there is no such precision.
    TypeError
        If it is no str.
    """
    if not isinstance(value, str):
        raise TypeError(f"precision must be a str, got {type(value).__name__}")
    for name in PRECISIONS:
        if value == name:
            return name
    raise ValueError(unknown_name("precision", value, PRECISIONS, _MEANINGS))


def as_precision(value: object, dtype: np.dtype[Any]) -> PrecisionName:
    """Return the name of a precision that networks of a dtype may have; None is that of the dtype.

    Raises
    ------
    ValueError
        If there is no such precision, or not of networks of that dtype.
    TypeError
        If it is no str.
    """
    name = precision_named(dtype.name if value is None else value)
    if (name == "float64") != (dtype == "float64"):
        needed = "float64" if name == "float64" else "float32"
        raise ValueError(
            f"precision {name!r} is of networks of {needed}, and this one is of {dtype}; "
            f"net.astype({needed!r}) makes one"
        )
    return name
