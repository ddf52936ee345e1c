"""bfloat16, which NumPy does not have."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

__all__ = ["pickled_by_halves", "upper_halves", "widened"]


def widened(bits: NDArray[np.uint16]) -> NDArray[Any]:
    """Return numbers of bfloat16, given as their bits, as float32: they are its upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def upper_halves(numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bits of numbers of float32 that bfloat16 has: of what `widened` gives."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return (bits >> 16).astype("<u2")


class _ByHalves(np.ndarray[Any, Any]):
    """Numbers of float32 that bfloat16 has: a pickle holds two bytes of each."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return widened, (upper_halves(self),)


def pickled_by_halves(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return a view of numbers that bfloat16 has, of which a pickle holds two bytes each."""
    return numbers.view(_ByHalves)
