"""The file that keeps a machine's figures: what it is called, what it holds, who may measure."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from laminet.core import probes, runtime
from laminet.files.atomic import replacing

__all__ = ["file_of", "forget", "keep", "kept", "measuring_alone", "this_machine"]

# To be raised whenever what is measured, or how, or what is kept of it changes: figures of an
# older format are not found, and so measured anew.
_FORMAT = 4

# More than any file of figures has; one that is larger is another's.
_LARGEST = 2**20
# To wait for a process that measures: some five times what it takes beside a neighbour.
_PATIENCE = 30.0


def this_machine() -> dict[str, Any]:
    """Return all that the figures depend on, as JSON gives it back."""
    return {
        "format": _FORMAT,
        "version": runtime.build_info()["version"],
        "cpu": probes.cpu_name(),
        "isa": probes.instruction_set(),
        "isas": probes.instruction_sets(),
        "cores": probes.max_threads(),
        "caches": [list(level) for level in probes.cache_levels()],
    }


def file_of(key: Mapping[str, Any]) -> Path | None:
    """Return the file for the figures of a key; None where there is no folder to keep them in."""
    import platformdirs  # which imports much, for what few calls need

    folder = Path(platformdirs.user_cache_dir("laminet", appauthor=False))
    # Of a user without a home "~" is left as it is, and would be made where the process stands.
    if not folder.is_absolute():
        return None
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return folder / f"machine-{name}.json"


def kept(file: Path | None, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a file keeps; None if there is none, or it holds something else."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        if file is not None and file.is_file():  # a pipe would have no end
            with open(file, "rb") as opened:
                record = json.loads(opened.read(_LARGEST))
            if record["key"] == key:
                return dict(record)
    return None


def keep(file: Path | None, record: Mapping[str, Any]) -> None:
    """Write a file, complete or not at all; where none can be written, do nothing."""
    if file is None:
        return
    with suppress(OSError):
        os.makedirs(file.parent, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(record, indent=1))


def forget(file: Path | None) -> None:
    """Delete a file, if there is one."""
    if file is not None:
        with suppress(OSError):
            file.unlink()


@contextmanager
def measuring_alone(file: Path | None) -> Iterator[None]:
    """Let processes that keep their figures in one folder measure one after another.

    They would be each other's neighbours. After some patience, or where a folder cannot be locked,
    the block runs all the same.
    """
    folder = None
    if file is not None:
        with suppress(OSError):
            os.makedirs(file.parent, exist_ok=True)
            folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        end = time.monotonic() + _PATIENCE
        while folder is not None and time.monotonic() < end:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        yield
    finally:
        if folder is not None:
            os.close(folder)
