"""The exceptions of laminet that are not plain ``ValueError`` or ``TypeError``."""

from __future__ import annotations

__all__ = ["FormatError"]


class FormatError(ValueError):
    """A file is not what it should be; the message says what is wrong, and where.

    A missing or unreadable file is not a `FormatError`: it stays the `OSError` that the
    operating system gave, for instance `FileNotFoundError`. Names that come from the file stand in
    the message with nothing that a terminal would obey.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("".join(map(_printable, message)))


def _printable(letter: str) -> str:
    if letter.isprintable() or letter == "\n":
        return letter
    return letter.encode("unicode_escape").decode()
