"""Random weights for a new network."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation, as_activation
from laminet.core.conversion.counts import as_count, shown
from laminet.core.layers.dense import Dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

# Bytes have addresses; a weight is drawn in 8 of them.
_LARGEST = sys.maxsize // 8


def he_normal_layers(
    sizes: Sequence[int],
    activation: str | Activation | Sequence[str | Activation],
    output_activation: str | Activation,
    bias: bool,
    dtype: np.dtype[Any],
    seed: int | np.random.Generator | None,
) -> list[Dense]:
    """Return the layers of `MLP.init`, whose docstring describes the arguments."""
    if isinstance(sizes, (str, bytes, Mapping, Set)) or not isinstance(sizes, Iterable):
        raise TypeError(f"sizes must be a sequence of integers, got {shown(sizes)}")
    widths = [as_count(n, f"sizes[{i}]") for i, n in enumerate(sizes)]
    if len(widths) < 2:
        raise ValueError(f"sizes must have at least an input and an output size, got {len(widths)}")
    if (parameters := sum(math.prod(pair) for pair in pairwise(widths))) > _LARGEST:
        raise ValueError(f"sizes ask for more weights than memory can hold: {shown(parameters)}")
    if not isinstance(bias, (bool, np.bool_)):
        raise TypeError(f"bias must be a bool, got {shown(bias)}")
    functions = [*_hidden(activation, len(widths) - 2), as_activation(output_activation)]
    rng = _generator(seed)
    layers = []
    for n_in, n_out, function in zip(widths[:-1], widths[1:], functions, strict=True):
        try:
            weight = (rng.standard_normal((n_out, n_in)) * math.sqrt(2.0 / n_in)).astype(dtype)
            zeros = np.zeros(n_out, dtype) if bias else None
        except MemoryError:
            raise MemoryError(
                f"there is no memory for a layer of {n_in} inputs and {n_out} outputs"
            ) from None
        layers.append(Dense(weight, zeros, function))
    return layers


def as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a network, native, or refuse it."""
    if dtype is None:  # NumPy takes it for float64
        raise ValueError("dtype must be float32 or float64, got None")
    try:
        asked: np.dtype[Any] = np.dtype(dtype)
    except Exception:  # of many kinds, by what it is that is no dtype
        raise TypeError(f"dtype must be float32 or float64, got {shown(dtype)}") from None
    for native in (np.dtype(np.float32), np.dtype(np.float64)):
        if asked.newbyteorder("=") == native:
            return native
    raise ValueError(f"dtype must be float32 or float64, got {asked}")


def _hidden(
    activation: str | Activation | Sequence[str | Activation], hidden: int
) -> list[Activation]:
    """Return the functions of the hidden layers; what is asked for none of them is checked too."""
    if isinstance(activation, (str, Activation)):
        return [as_activation(activation)] * hidden
    if isinstance(activation, (bytes, Mapping, Set)) or not isinstance(activation, Iterable):
        raise TypeError(
            "activation must be a str, an Activation or a sequence of them, "
            f"got {shown(activation)}"
        )
    named = [as_activation(a) for a in activation]
    if len(named) != hidden:
        raise ValueError(
            f"activation names {len(named)} functions, the network has {hidden} hidden layers"
        )
    return named


def _generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    if not isinstance(seed, (bool, np.bool_)):
        with suppress(TypeError, ValueError):
            return np.random.default_rng(seed)
    negative = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    raise (ValueError if negative else TypeError)(
        f"seed must be an integer of at least 0 or a numpy.random.Generator, got {shown(seed)}"
    )
