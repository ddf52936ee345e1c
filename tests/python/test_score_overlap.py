"""Reading ahead and writing behind: in order, by a few blocks at most, and with their errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from laminet.scoring import overlap
from laminet.scoring.overlap import ahead, behind

PATIENCE = 30  # seconds, after which a test fails that would wait for ever


class Counted:
    """Numbers up to an end, and how many have been asked for."""

    def __init__(self, end: int) -> None:
        self.end, self.made = end, 0
        self.changed = threading.Condition()
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self.changed:
            if self.made == self.end:
                raise StopIteration
            self.made += 1
            self.threads.add(threading.current_thread().name)
            self.changed.notify_all()
            return self.made

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.made >= count, PATIENCE)


def test_two_items_are_made_while_one_is_worked_on() -> None:
    items = Counted(9)
    with ahead(items, overlapped=True) as taken:
        assert next(taken) == 1
        items.wait_for(3)
        assert next(taken) == 2
        items.wait_for(4)
        assert list(taken) == [3, 4, 5, 6, 7, 8, 9]
    assert threading.current_thread().name not in items.threads


def test_after_the_block_nothing_is_made() -> None:
    items = Counted(1000)
    with ahead(items, overlapped=True) as taken:
        next(taken)
    made = items.made
    assert made <= 3
    assert not [t for t in threading.enumerate() if t.name.startswith("laminet-read")]
    assert items.made == made


def test_what_has_not_begun_by_then_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    over, begun = threading.Event(), threading.Event()
    made: list[int] = []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *arguments: bool, **options: bool) -> None:
            over.set()
            super().shutdown(*arguments, **options)

    def items() -> Iterator[int]:
        for i in range(9):
            made.append(i)
            if i == 1:
                begun.set()
                assert over.wait(PATIENCE)
            yield i

    monkeypatch.setattr(overlap, "ThreadPoolExecutor", Pool)
    with ahead(items(), overlapped=True) as taken:
        next(taken)
        assert begun.wait(PATIENCE)
    assert made == [0, 1]


def test_an_error_comes_up_where_the_item_is_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with ahead(items(), overlapped=True) as taken:
        assert next(taken) == 1
        with pytest.raises(OSError, match="no more"):
            next(taken)


@pytest.mark.parametrize("overlapped", [False, True])
def test_calls_are_made_in_order(overlapped: bool) -> None:
    done: list[int] = []
    with behind(overlapped=overlapped) as later:
        for i in range(20):
            later(done.append, i)
        later.wait()
        assert done == list(range(20))
        later(done.append, 20)
    assert done[-1] == 20


def test_no_more_than_two_calls_wait() -> None:
    go, begun = threading.Event(), threading.Event()
    asked: list[int] = []

    def work() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    def ask() -> None:
        with behind(overlapped=True) as later:
            for i in range(5):
                later(work)
                asked.append(i)

    caller = threading.Thread(target=ask)
    caller.start()
    assert begun.wait(PATIENCE)
    caller.join(0.05)
    assert len(asked) <= 2
    go.set()
    caller.join(PATIENCE)
    assert asked == [0, 1, 2, 3, 4]


def test_the_error_of_a_call_ends_the_rest() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("full")

    def ask() -> None:
        with behind(overlapped=True) as later:
            later(fail)
            while True:
                later(done.append, 1)

    with pytest.raises(OSError, match="full"):
        ask()
    with pytest.raises(OSError, match="full"), behind(overlapped=True) as later:
        later(fail)  # the last one, after which nobody asks
    assert len(done) <= 2
