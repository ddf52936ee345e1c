"""What holds for a whole model while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from laminet.interop.symbolic.functions import FLOAT32_TOLERANCE

__all__ = ["BranchError", "Reading"]


class BranchError(ValueError):
    """Results of different layers meet, where a chain of layers is asked for."""


@dataclass
class Reading:
    """How a model is read, and what has been read of it.

    Attributes
    ----------
    blocks : bool
        Whether layers may stand side by side, be summed and normalise samples; else all that is not
        a chain of dense layers is refused where it is met.
    tolerance : float
        How far, relatively, constants such as ``1 / sqrt(2)`` may be from the exact ones.
    memo : dict
        What has been made of forms, so that what a model computes twice is one form. To be emptied
        at the end: the forms in it know this.
    """

    blocks: bool = False
    tolerance: float = FLOAT32_TOLERANCE
    memo: dict[tuple[int, Any], tuple[Any, Any]] = field(default_factory=dict, repr=False)
