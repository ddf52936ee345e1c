"""What holds for a whole model while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from laminet.interop.symbolic.functions import FLOAT32_TOLERANCE

__all__ = ["BranchError", "Reading"]


class BranchError(ValueError):
    """Results of different layers or inputs meet in a way that no layer of laminet has."""


@dataclass
class Reading:
    """How a model is read, and what has been read of it.

    Attributes
    ----------
    tolerance : float
        How far, relatively, constants such as ``1 / sqrt(2)`` may be from the exact ones.
    memo : dict
        What has been made of forms, so that what a model computes twice is one form. To be emptied
        at the end: the forms in it know this.
    """

    tolerance: float = FLOAT32_TOLERANCE
    memo: dict[tuple[int, Any], tuple[Any, Any]] = field(default_factory=dict, repr=False)
