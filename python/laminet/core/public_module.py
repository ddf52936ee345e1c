"""By what names classes go: those that users import them by, whatever the file they stand in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["named_in"]

T = TypeVar("T", bound=type)


def named_in(module: str) -> Callable[[T], T]:
    """Return a decorator that lets a class say that it is of this module, which must have it.

    Pickles hold that name, and so do not depend on where the class is written.
    """

    def name(kind: T) -> T:
        kind.__module__ = module
        return kind

    return name
