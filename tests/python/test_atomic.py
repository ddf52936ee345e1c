"""Files that are complete or absent: the order of the steps, and what is told when one fails."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet.files import atomic
from laminet.files.atomic import replacing


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that will have the names of the system's calls, in their order."""
    taken: list[str] = []

    def recorded(name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            taken.append(name)
            return function(*arguments, **options)

        return call

    for name in ("fchown", "fchmod", "fsync", "replace"):
        monkeypatch.setattr(atomic.os, name, recorded(name))
    return taken


def test_what_is_written_is_on_disk_before_it_has_its_name(
    tmp_path: Path, steps: list[str]
) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
        assert steps == []
    assert steps == ["fsync", "replace"]


def test_an_old_file_gives_its_owner_and_its_mode_before_the_name(
    tmp_path: Path, steps: list[str]
) -> None:
    (tmp_path / "file").write_text("old")
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert steps == ["fchown", "fchmod", "fsync", "replace"]


def test_the_file_that_is_synchronised_is_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[os.stat_result] = []
    monkeypatch.setattr(atomic.os, "fsync", lambda number: synchronised.append(os.fstat(number)))
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    (status,) = synchronised
    assert os.path.samestat(status, os.stat(tmp_path / "file"))
    assert status.st_size == 3


def test_a_file_that_cannot_be_given_away_is_still_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    (tmp_path / "file").write_text("old")
    os.chmod(tmp_path / "file", 0o640)
    monkeypatch.setattr(atomic.os, "fchown", refuse)
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
    assert stat.S_IMODE(os.stat(tmp_path / "file").st_mode) == 0o640


@pytest.mark.parametrize("step", ["open", "fchmod", "fsync", "replace"])
def test_every_step_that_fails_names_the_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(atomic.os, step, fail)
    with (
        pytest.raises(OSError, match=r"Input/output error: '.*/file'") as caught,
        replacing(tmp_path / "file") as temporary,
    ):
        temporary.write_text("new")
    assert caught.value.filename == str(tmp_path / "file")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


FULL = (errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (FULL, "file"),
        ((*FULL, "temporary"), "file"),
        ((*FULL, "other"), "other"),
        (("in words",), None),
    ],
)
def test_an_error_of_the_block_names_the_file_unless_it_names_another(
    tmp_path: Path, arguments: tuple[Any, ...], name: str | None
) -> None:
    with (
        pytest.raises(OSError, match=r"No space left|in words") as caught,
        replacing(tmp_path / "file") as temporary,
    ):
        raise OSError(*(str(temporary) if a == "temporary" else a for a in arguments))
    expected = str(tmp_path / "file") if name == "file" else name
    assert caught.value.filename == expected
    assert os.listdir(tmp_path) == []


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file of this process grow beyond 1000 bytes, as on a full disk.

    Not as a fixture: pytest's own output may go to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_with_the_name(tmp_path: Path) -> None:
    net = ln.MLP([ln.Dense(np.ones((50, 50)))])
    with pytest.raises(OSError, match="File too large") as caught, small_files():
        net.save(tmp_path / "net")
    assert caught.value.filename == str(tmp_path / "net")
    assert os.listdir(tmp_path) == []


def test_a_name_with_a_null_character(tmp_path: Path) -> None:
    net = ln.MLP([ln.Dense([[1.0]])])
    for call in (net.save, ln.load):
        with pytest.raises(ValueError, match="has a null character"):
            call(f"{tmp_path}/a\0b")


# --- What a process that is killed leaves behind -------------------------------------------------

KILLED = """
import os, signal, sys
from laminet.files.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_behind(target: Path) -> str:
    """Kill a process while it writes a file; return the name of what it leaves."""
    before = set(os.listdir(target.parent))
    killed = subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert killed.returncode == -signal.SIGKILL
    (name,) = set(os.listdir(target.parent)) - before
    return name


def test_the_next_file_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    left_behind(tmp_path / "net")
    left_behind(tmp_path / ("\N{SNOWMAN}" * 80))
    ln.MLP([ln.Dense([[1.0]])]).save(tmp_path / "other")
    assert os.listdir(tmp_path) == ["other"]


def test_what_others_hold_or_own_is_not_cleared(tmp_path: Path) -> None:
    name = left_behind(tmp_path / "net")
    (tmp_path / name).unlink()
    kept = [
        name.replace(".laminet.tmp", ".tmp"),
        name[1:],
        f"{name}.txt",
        name.replace(atomic._kernel(), "0" * 8),  # another machine may hold it, unseen
    ]
    for other in kept:
        (tmp_path / other).write_text("half")
    (tmp_path / "target").touch()
    pipe, link = (name.replace(name[-24:-12], token * 12) for token in "ab")
    os.mkfifo(tmp_path / pipe)
    (tmp_path / link).symlink_to("target")
    with replacing(tmp_path / "net") as outer:
        outer.write_text("outer")
        with replacing(tmp_path / "net") as inner:
            inner.write_text("inner")
        assert outer.exists()
    assert (tmp_path / "net").read_text() == "outer"
    assert set(os.listdir(tmp_path)) == {*kept, "target", pipe, link, "net"}
    os.utime(tmp_path / kept[-1], (0, 0))
    with replacing(tmp_path / "net") as temporary:
        here = {*kept[:-1], "target", pipe, link, "net", temporary.name}
        assert set(os.listdir(tmp_path)) == here


def test_a_file_that_is_cleared_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, cleared = fcntl.flock, 0

    def late(number: int, operation: int) -> None:
        nonlocal cleared
        (name,) = os.listdir(tmp_path)
        cleared += 1
        if cleared <= 2:
            os.unlink(tmp_path / name)
        if cleared == 1:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        flock(number, operation)

    monkeypatch.setattr(atomic.fcntl, "flock", late)
    with replacing(tmp_path / "net") as temporary:
        temporary.write_text("new")
    assert cleared == 3
    assert os.listdir(tmp_path) == ["net"]
    assert (tmp_path / "net").read_text() == "new"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    name = left_behind(tmp_path / "net")
    monkeypatch.setattr(atomic.fcntl, "flock", none)
    with replacing(tmp_path / "net") as temporary:
        temporary.write_text("new")
    assert set(os.listdir(tmp_path)) == {name, "net"}
