"""The seed of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.core.conversion.counts import as_integer, shown

__all__ = ["as_seed"]


def as_seed(seed: Any) -> int:
    """Return a seed of 64 bits, a random one for None."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(0, 2**63))
    value = as_integer(seed, "seed")
    if not 0 <= value < 2**64:
        raise ValueError(f"seed must be at least 0 and below 2**64, got {shown(value)}")
    return value
