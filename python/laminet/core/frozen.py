"""What classes share whose objects are what their constructors' arguments say, and never change."""

from __future__ import annotations

from typing import Any

__all__ = ["Frozen"]


class Frozen:
    """Refuses to be assigned to, by its class's own ``__setattr__``, but for what makes it."""

    __slots__ = ()

    def _set(self, **values: Any) -> None:
        """Set attributes that have been checked, while the object is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
