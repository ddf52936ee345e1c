"""The exceptions of laminet that are not plain ``ValueError`` or ``TypeError``."""

from __future__ import annotations

__all__ = ["FormatError"]


class FormatError(ValueError):
    """A file is not what it should be; the message says what is wrong, and where.

    A missing or unreadable file is not a `FormatError`: it stays the `OSError` that the
    operating system gave, for instance `FileNotFoundError`.
    """
