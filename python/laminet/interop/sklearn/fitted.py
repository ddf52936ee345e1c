"""What a fitted transformer of scikit-learn holds, as numbers that can be folded into a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.symbolic.exact import as_wide

__all__ = ["held", "held_scale"]

Array = NDArray[Any]


def held(step: Any, name: str, *shape: int | None) -> Array:
    """Return an array that a transformer has learnt, wide.

    Parameters
    ----------
    step : transformer
    name : str
        Of the attribute.
    shape : int or None
        What its shape must be, None for any length.

    Raises
    ------
    AttributeError
        If there is no such attribute: it is not fitted.
    ValueError
        If it is not of that shape, or holds something else than finite numbers.
    """
    value = getattr(step, name)
    array = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + "," * (len(shape) < 2)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"is damaged: its {name} holds no real numbers")
    fits = array.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits or array.size == 0:
        raise ValueError(f"is damaged: its {name} has shape {array.shape}, not {wanted})")
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        where = ", ".join(map(str, place))
        raise ValueError(f"is damaged: its {name}[{where}] is {array[place]:g}")
    return as_wide(array)


def held_scale(step: Any, name: str, features: int) -> Array:
    """Return numbers that features are divided by, or were multiplied by: none of them is 0.

    Raises
    ------
    AttributeError, ValueError
        As of `held`.
    """
    scale = held(step, name, features)
    if not scale.all():
        raise ValueError(f"is damaged: its {name}[{int(np.argmin(scale != 0))}] is 0")
    return scale
