"""Reading ahead and writing behind, in threads of their own, by a few blocks and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["Behind", "ahead", "behind"]

T = TypeVar("T")

# Blocks that are read and not yet computed, or computed and not yet written: one would do where all
# took the same time, and a row group that is written takes as long as many blocks.
_AHEAD = 2


@contextmanager
def ahead(items: Iterator[T], *, overlapped: bool) -> Iterator[Iterator[T]]:
    """Give the items of an iterator, which makes the next ones meanwhile in a thread.

    Parameters
    ----------
    items : iterator
        It has no None. It is advanced by one thread at a time, and after the block by none.
    overlapped : bool
        If not, an item is made when it is asked for.
    """
    if not overlapped:
        yield items
        return
    waiting: deque[Future[T | None]] = deque()
    with ThreadPoolExecutor(1, "laminet-read") as pool:
        try:
            yield _taken(items, waiting, pool)
        finally:
            for future in waiting:
                future.cancel()


def _taken(
    items: Iterator[T], waiting: deque[Future[T | None]], pool: ThreadPoolExecutor
) -> Iterator[T]:
    waiting.extend(pool.submit(next, items, None) for _ in range(_AHEAD))
    while (item := waiting.popleft().result()) is not None:
        waiting.append(pool.submit(next, items, None))
        yield item


class Behind:
    """Calls, one after another, in a thread; an error comes up at a later call, or at `wait`."""

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self._pool = pool
        self._waiting: deque[Future[None]] = deque()

    def __call__(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function, now or soon."""
        if self._pool is None:
            function(*arguments)
            return
        while len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(function, *arguments))

    def wait(self) -> None:
        """Return when all is done that was asked for."""
        while self._waiting:
            self._waiting.popleft().result()

    def forget(self) -> None:
        """Leave undone what has not begun, and return when nothing runs."""
        for future in self._waiting:
            future.cancel()
        for future in self._waiting:
            if not future.cancelled():
                future.exception()
        self._waiting.clear()


@contextmanager
def behind(*, overlapped: bool) -> Iterator[Behind]:
    """Give what calls functions behind the caller; if not `overlapped`, at once."""
    if not overlapped:
        yield Behind(None)
        return
    with ThreadPoolExecutor(1, "laminet-write") as pool:
        calls = Behind(pool)
        try:
            yield calls
            calls.wait()
        except BaseException:
            calls.forget()
            raise
