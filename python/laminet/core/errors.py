"""The exceptions of laminet that are not plain ``ValueError`` or ``TypeError``."""

from __future__ import annotations

import re

from laminet.core.public_module import named_in

__all__ = ["FormatError"]

# Longer than any path.
_LONG_WORD = re.compile(r"\S{4097,}")


@named_in("laminet")
class FormatError(ValueError):
    """A file is not what it should be; the message says what is wrong, and where.

    A missing or unreadable file is not a `FormatError`: it stays the `OSError` that the
    operating system gave, for instance `FileNotFoundError`. Names that come from the file stand in
    the message cut short, and with nothing that a terminal would obey.

    Examples
    --------
    >>> import pathlib, tempfile, laminet as ln
    >>> path = pathlib.Path(tempfile.mkdtemp(), "net.safetensors")
    >>> _ = path.write_bytes(b"no network")
    >>> try:
    ...     ln.load(path)
    ... except ln.FormatError as error:
    ...     print(str(error).startswith(str(path)))
    True
    """

    def __init__(self, message: str = "") -> None:
        short = _LONG_WORD.sub(lambda word: f"{word[0][:100]}...", message)
        super().__init__("".join(map(_printable, short)))


def _printable(letter: str) -> str:
    if letter.isprintable() or letter == "\n":
        return letter
    return letter.encode("unicode_escape").decode()
