"""Folders that are complete or absent: filled beside the target, then moved to its name."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from laminet.files.atomic import (
    clear_left_behind,
    errors_about,
    lock,
    temporary_name,
    text_path,
)

__all__ = ["appearing"]


@contextmanager
def appearing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder; move it to `path` if the block succeeds, delete it if not.

    It lies beside `path`, where only an empty folder may be, if anything is: a folder with files
    cannot be replaced in one step. All that is in it is on disk before it gets its name.

    A process that is killed leaves its temporary folder behind, which is then deleted when the next
    file or folder is written beside it.

    Parameters
    ----------
    path : str or path-like
        The folder to make.

    Yields
    ------
    pathlib.Path
        The temporary folder to write into.

    Raises
    ------
    OSError
        If something is at `path` but an empty folder, or it cannot be written. It names `path`,
        unless the block's own error names another file.
    """
    name = text_path(path)
    target = Path(os.path.realpath(name))
    temporary: Path | None = None
    held = -1
    try:
        with errors_about(name, always=True):
            _refuse_what_is_there(name, target)
            clear_left_behind(target.parent)
            while held < 0:
                temporary = target.with_name(temporary_name(target.name, secrets.token_hex(6)))
                temporary.mkdir()
                held = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
                if not (lock(held) and temporary.is_dir()):
                    # Another process took it for left behind in between.
                    os.close(held)
                    held = -1
        assert temporary is not None
        with errors_about(name, instead_of=temporary):
            yield temporary
        with errors_about(name, always=True):
            _to_disk(temporary)
            _refuse_what_is_there(name, target)
            temporary.rename(target)
            _sync(target.parent)
    except BaseException:
        if temporary is not None:
            with suppress(OSError):
                shutil.rmtree(temporary)
        raise
    finally:
        if held >= 0:
            with suppress(OSError):
                os.close(held)


def _refuse_what_is_there(name: str, target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise FileExistsError(f"{name}: a folder that is not empty, which nothing may replace")
    elif target.exists():
        raise FileExistsError(f"{name}: a file, where a folder is to be")


def _to_disk(folder: Path) -> None:
    for where, _, files in os.walk(folder):
        for file in files:
            _sync(Path(where, file))
        _sync(Path(where))


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
