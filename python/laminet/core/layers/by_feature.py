"""What layers share whose arrays have a number for each feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.floating_point import rounded
from laminet.core.layers.layer import ImmutableLayer

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ByFeature"]


class ByFeature(ImmutableLayer):
    """A layer with as many outputs as inputs, and arrays of a number for each of them, or none."""

    __slots__ = ()

    @property
    def in_features(self) -> int | None:
        """Length of an input sample; None where the layer takes any."""
        for array in self._arrays():
            return array.size
        return None

    @property
    def out_features(self) -> int | None:
        """Length of an output sample: that of an input sample."""
        return self.in_features

    def _rounded(self, dtype: np.dtype[Any]) -> Self:
        arrays = {k: v for k in self._fields if isinstance(v := getattr(self, k), np.ndarray)}
        return self._again(**{k: rounded(v, dtype, k).copy() for k, v in arrays.items()})
