"""The GIL is released for long work, and not for short, where that costs more than it gives.

No time is taken: with a switch interval of an hour no thread runs Python beside another one unless
that gives the GIL away itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from variants import normal, random_net

import laminet as ln
from laminet import _core


@pytest.fixture(autouse=True)
def _no_forced_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    yield
    sys.setswitchinterval(before)


def another_thread_runs_during(call: Callable[[], object], calls: int) -> bool:
    """Whether a thread that waits for nothing but the GIL gets it in one of so many calls."""
    ran: list[bool] = []
    gate = threading.Lock()
    gate.acquire()

    def wait() -> None:
        with gate:
            ran.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    gate.release()
    seen = False
    # One call may end before the system has woken the thread.
    for _ in range(calls):
        call()
        if ran:
            seen = True
            break
    thread.join()
    return seen


LARGE = random_net([300, 400, 20], "relu")
LARGE_X = normal((400, 300), "float32")
SMALL = random_net([4, 8, 3], "relu")
SMALL_X = normal((4,), "float32")


def methods(net: ln.MLP, x: np.ndarray) -> dict[str, Callable[[], object]]:
    """Everything that computes; the results of the core, without what Python does around them."""
    v = np.ones((*x.shape[:-1], net.out_features), net.dtype)
    layer = net.layers[0]
    out = np.empty((*x.shape[:-1], layer.out_features), net.dtype)
    core, derivatives = net._core, net._derivatives
    linear = _core.linear_f32
    return {
        "forward": lambda: net(x),
        "heads": lambda: core.forward_head(x, "softmax"),
        "trace": lambda: core.trace(x),
        "linear": lambda: linear(x, layer.weight, layer.bias, layer.activation, out),
        "vjp": lambda: derivatives.vjp(x, v, None),
        "jvp": lambda: derivatives.jvp(x, x, None),
        "jacobian": lambda: derivatives.jacobian(x, None),
        "value_and_jacobian": lambda: derivatives.value_and_jacobian(x, None, None),
        "layer_jacobians": lambda: derivatives.layer_jacobians(x, None),
        "gradients": lambda: derivatives.gradients(x, v, None),
    }


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", methods(LARGE, LARGE_X))
def test_long_work_lets_other_threads_run(name: str) -> None:
    x = LARGE_X[:20] if "jacobian" in name else LARGE_X
    assert another_thread_runs_during(methods(LARGE, x)[name], 2000)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", methods(SMALL, SMALL_X))
def test_short_work_keeps_the_gil(name: str) -> None:
    assert not another_thread_runs_during(methods(SMALL, SMALL_X)[name], 2000)


def test_the_check_can_fail() -> None:
    assert not another_thread_runs_during(lambda: sum(range(1000)), 100)
    lock = threading.Lock()
    lock.acquire()
    assert another_thread_runs_during(lambda: lock.acquire(timeout=0.001), 2000)
