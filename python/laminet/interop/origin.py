"""What library an object is of, without importing it."""

from __future__ import annotations

__all__ = ["is_of"]


def is_of(value: object, *packages: str) -> bool:
    """Whether the class of an object, or one that it is derived from, is of one of these packages.

    Of another one it is no model of theirs, and they need not be there to say so.
    """
    return any(kind.__module__.partition(".")[0] in packages for kind in type(value).__mro__)
