"""What may follow the last layer of a network: softmax or log-softmax of each sample's outputs."""

from __future__ import annotations

#: The heads that a network may have beside None.
HEADS = ("softmax", "log_softmax")


def as_head(value: object) -> str | None:
    """Return the name of a head, or None for no head; refuse all else."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"head must be a str or None, got {type(value).__name__}")
    if value not in HEADS:
        raise ValueError(f"unknown head {value!r}, expected None or one of {', '.join(HEADS)}")
    return value
