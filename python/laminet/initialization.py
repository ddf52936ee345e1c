"""Random weights for a new network."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.activation import Activation, as_activation
from laminet.dense import Dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike


def he_normal_layers(
    sizes: Sequence[int],
    activation: str | Activation | Sequence[str | Activation],
    output_activation: str | Activation,
    bias: bool,
    dtype: np.dtype[Any],
    seed: int | np.random.Generator | None,
) -> list[Dense]:
    """Return the layers of `MLP.init`, whose docstring describes the arguments."""
    widths = [_size(n, f"sizes[{i}]") for i, n in enumerate(sizes)]
    if len(widths) < 2:
        raise ValueError(f"sizes must have at least an input and an output size, got {len(widths)}")
    hidden = len(widths) - 2
    if isinstance(activation, (str, Activation)):
        named = [activation] * hidden
    else:
        named = list(activation)
        if len(named) != hidden:
            raise ValueError(
                f"activation names {len(named)} functions, the network has {hidden} hidden layers"
            )
    functions = [as_activation(a) for a in (*named, output_activation)]
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out, function in zip(widths[:-1], widths[1:], functions, strict=True):
        weight = rng.standard_normal((n_out, n_in)) * math.sqrt(2.0 / n_in)
        zeros = np.zeros(n_out, dtype) if bias else None
        layers.append(Dense(weight.astype(dtype), zeros, function))
    return layers


def as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a network, native, or refuse it."""
    if dtype is None:  # NumPy takes it for float64
        raise ValueError("dtype must be float32 or float64, got None")
    asked: np.dtype[Any] = np.dtype(dtype)
    for native in (np.dtype(np.float32), np.dtype(np.float64)):
        if asked.newbyteorder("=") == native:
            return native
    raise ValueError(f"dtype must be float32 or float64, got {asked}")


def _size(value: Any, name: str) -> int:
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return size
