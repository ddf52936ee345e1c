"""What the C++ core does not read in place: the one slow path from "array-like" to an array."""

from __future__ import annotations

from laminet.core.conversion.arrays import as_real_array, real_array

__all__ = ["as_real_array", "real_array"]
