"""Ctrl-C, and every other signal, comes through while the core works."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import numpy as np
import pytest
from variants import normal

import laminet as ln

NET = ln.MLP.init([1024, 4096, 4096, 1024], "gelu", seed=0)
X = normal((4096, 1024), "float32")  # 0.2 tera-operations: a second and more

CALLS = {
    "forward": lambda: NET(X),
    "trace": lambda: NET.trace(X),
    "jacobian": lambda: NET.jacobian(X[:32]),
    "vjp": lambda: NET.vjp(X, X),
    "gradients": lambda: NET.gradients(X, X),
}


class InterruptError(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def _third_signal() -> Iterator[None]:
    """Signals every 50 ms, of which the third raises.

    A call that lets none through while it works would see one: they do not queue up.
    """
    count = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise InterruptError

    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_signal_ends_a_long_call(call, threads):
    with ln.num_threads(threads):
        expected = NET(X[:3])
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(InterruptError):
            call()
        # Everything is usable as before.
        np.testing.assert_array_equal(NET(X[:3]), expected)


def test_what_was_not_computed_is_not_written():
    out = np.full((4096, 1024), 7, "float32")
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    with pytest.raises(InterruptError):
        NET(X, out=out)
    assert (out[-1] == 7).all()
