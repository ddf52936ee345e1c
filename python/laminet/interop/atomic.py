"""Files that are complete or absent: written beside the target, then moved over it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path; move it over `path` if the block succeeds, delete it if not.

    The temporary file exists, is empty, and lies in the directory of `path`: a move within one
    file system is atomic. A file that was at `path` stays as it was until the new one is
    complete and on disk. A symbolic link is followed, not replaced.

    Parameters
    ----------
    path : str or path-like
        The file to write.

    Yields
    ------
    pathlib.Path
        The temporary file to write to.

    Raises
    ------
    OSError
        If the directory is missing or not writeable, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)} is a directory, not a file to write")
    # tempfile.mkstemp would make the file private (0600); 0o666 leaves that to the user's umask.
    # The name is cut so that a long name of the target stays within the file system's limit.
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        # The user knows the name asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
