"""What may follow the last layer of a network: softmax or log-softmax of each sample's outputs."""

from __future__ import annotations

from typing import get_args

from laminet.core.name_types import HeadName
from laminet.core.suggestions import unknown_name

#: The heads that a network may have beside None.
HEADS: tuple[HeadName, ...] = get_args(HeadName)

# None for what only looks like one of them.
_MEANINGS = {"logits": None, "argmax": None, "softmin": None, "sparsemax": None}


def as_head(value: object) -> HeadName | None:
    """Return the name of a head, or None for no head; refuse all else."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"head must be a str or None, got {type(value).__name__}")
    for head in HEADS:
        if value == head:
            return head
    expected = f"None or one of {', '.join(HEADS)}"
    raise ValueError(unknown_name("head", value, HEADS, _MEANINGS, expected))
