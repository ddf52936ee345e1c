"""Files that are complete or absent: written beside the target, then moved over it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["errors_about", "replacing", "text_path"]


def text_path(path: str | os.PathLike[str]) -> str:
    """Return a path as a str; refuse bytes and numbers, which `open` would take.

    Parameters
    ----------
    path : str or path-like
        The path; of the type that annotations promise, or not.

    Returns
    -------
    str
        The path.

    Raises
    ------
    TypeError
        If `path` is neither a str nor an object whose path is one.
    ValueError
        If there is a null character in it.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or path-like, got {type(path).__name__}")
    if "\0" in text:
        raise ValueError(f"path {text!r} has a null character, which no file's name has")
    return text


@contextmanager
def errors_about(
    name: str, *, always: bool = False, instead_of: Path | None = None
) -> Iterator[None]:
    """Let errors of the operating system name a file: those of an open file name none.

    Parameters
    ----------
    name : str
        The file that is read or written in the block.
    always : bool
        Whether to name it in place of any other.
    instead_of : pathlib.Path, optional
        A file in whose place to name it.

    Raises
    ------
    OSError
        What the block raised, with the name.
    """
    try:
        yield
    except OSError as error:
        other = error.filename is not None and str(error.filename) != str(instead_of)
        if error.errno is None or (other and not always):
            raise
        raise OSError(error.errno, error.strerror, name) from None


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path; move it over `path` if the block succeeds, delete it if not.

    The temporary file exists, is empty, and lies in the directory of `path`: a move within one
    file system is atomic. A file that was at `path` stays as it was until the new one is
    complete and on disk, which then has its mode and, where that is permitted, its owner. A
    symbolic link is followed, not replaced.

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
    TypeError
        If `path` is something else.
    OSError
        If there is something at `path` that is not a regular file, the directory is missing or not
        writeable, or the disk is full. It names `path`, unless the block's own error names another
        file.
    """
    name = text_path(path)
    target = Path(os.path.realpath(name))
    # The name is cut so that a long name of the target stays within the file system's limit.
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        # The user knows the name asked for, not the temporary one, nor where a link leads.
        with errors_about(name, always=True):
            old = _existing(name)
            # A new file is as readable as the umask says (tempfile.mkstemp would make it private);
            # one that replaces another is private until it has the other's mode.
            mode = 0o666 if old is None else 0o600
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        with errors_about(name, instead_of=temporary):
            yield temporary
        with errors_about(name, always=True):
            with open(temporary, "rb+") as file:
                if old is not None:
                    with suppress(PermissionError):
                        os.fchown(file.fileno(), old.st_uid, old.st_gid)
                    os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        # An interrupt may come when the file is there and its name not yet returned, too.
        with suppress(OSError):
            temporary.unlink()
        raise


def _existing(name: str) -> os.stat_result | None:
    """Return what is known of the file of that name, None if there is none."""
    if not name:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        # Of the name itself: of a link to itself, realpath gives the link.
        status = os.stat(name)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{name} is a directory, not a file to write")
    if not stat.S_ISREG(status.st_mode):
        # A move would put a regular file in the place of a pipe, a terminal or a disk.
        raise OSError(f"{name}: not a regular file")
    return status
