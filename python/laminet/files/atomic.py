"""Files that are complete or absent: written beside the target, then moved over it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

__all__ = [
    "clear_left_behind",
    "errors_about",
    "lock",
    "replacing",
    "temporary_name",
    "text_path",
    "write_by_parts",
]

# Bytes that are written at once, within which no interrupt comes through: some 10 ms.
_PART = 16 * 2**20

# What a temporary file is called: the target's name, cut so that with four bytes a letter it is
# within every file system's limit; the kernel that wrote it; a random number.
_NAME = ".{target:.50}.{kernel}.{token}.laminet.tmp"
_TEMPORARY = re.compile(r"\..{1,50}\.([0-9a-f]{8})\.[0-9a-f]{12}\.laminet\.tmp", re.DOTALL)
# Locks of another kernel cannot be seen in every folder that two machines share.
_OLD = 24 * 3600.0


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

    A process that is killed leaves its temporary file behind, which is then deleted when the next
    file is written into that directory.

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
    temporary: Path | None = None
    held = -1
    try:
        # The user knows the name asked for, not the temporary one, nor where a link leads.
        with errors_about(name, always=True):
            old = _existing(name)
            clear_left_behind(target.parent)
            # A new file is as readable as the umask says (tempfile.mkstemp would make it private);
            # one that replaces another is private until it has the other's mode.
            mode = 0o666 if old is None else 0o600
            while held < 0:
                temporary = target.with_name(temporary_name(target.name, secrets.token_hex(6)))
                held = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
                if not lock(held):
                    # Another process took it for left behind in between.
                    os.close(held)
                    held = -1
        assert temporary is not None
        with errors_about(name, instead_of=temporary):
            yield temporary
        with errors_about(name, always=True):
            if old is not None:
                with suppress(PermissionError):
                    os.fchown(held, old.st_uid, old.st_gid)
                os.fchmod(held, stat.S_IMODE(old.st_mode))
            os.fsync(held)
            os.replace(temporary, target)
    except BaseException:
        # An interrupt may come when the file is there and its name not yet returned, too.
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise
    finally:
        if held >= 0:
            with suppress(OSError):  # all is on disk, or told
                os.close(held)


def temporary_name(target: str, token: str) -> str:
    """Return what the temporary file or folder of a target is called."""
    return _NAME.format(target=target, kernel=_kernel(), token=token)


def lock(number: int) -> bool:
    """Hold a new file or folder while it is open; return False if it has been deleted, or will be.

    Where the file system has no locks, nothing is held, and nothing deleted either.
    """
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(number).st_nlink > 0


def clear_left_behind(folder: Path) -> None:
    """Delete what processes that were killed have left in a folder: what nobody holds.

    Files, and folders with all that is in them.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
                # Where it may not be written to, it is another user's; a named pipe would wait.
                how = os.O_DIRECTORY if is_folder else os.O_RDWR
                number = os.open(entry.path, how | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    status = os.fstat(number)
                    is_ours = match.group(1) == _kernel() or time.time() - status.st_mtime > _OLD
                    if is_folder and is_ours and os.access(entry.path, os.W_OK):
                        shutil.rmtree(entry.path)
                    elif stat.S_ISREG(status.st_mode) and is_ours:
                        os.unlink(entry.path)
                finally:
                    os.close(number)


@cache
def _kernel() -> str:
    """Return what tells this run of this machine's kernel from others: they share all locks."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        text = os.uname().nodename
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def write_by_parts(file: IO[bytes], data: bytes | memoryview) -> None:
    """Write bytes to an open file so that Ctrl-C comes through in between.

    Parameters
    ----------
    file : file object
        Open for writing bytes.
    data : bytes or memoryview of bytes
        All that is to be written.
    """
    view = memoryview(data)
    for first in range(0, len(view), _PART):
        file.write(view[first : first + _PART])


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
