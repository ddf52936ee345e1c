"""How a network is called: net(x) is a method in C, which Python's own rules must hold for."""

from __future__ import annotations

import copy
import inspect
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet import _core

NET = ln.MLP.init([3, 4, 2], "tanh", seed=0)
X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def test_forward_is_the_same_call() -> None:
    assert NET.forward(X).tobytes() == NET(X).tobytes()
    assert NET(x=X).tobytes() == NET(X).tobytes()
    out = np.empty((2, 2), np.float32)
    assert NET(X, out=out) is out
    assert NET.forward(out=out, x=X) is out
    assert NET(X, out=None).tobytes() == out.tobytes()


@pytest.mark.parametrize(
    ("args", "names", "message"),
    [
        ((), {}, "1 positional argument, 'x', but none was given"),
        ((X, X), {}, "1 positional argument, 'x', but 2 were given"),
        ((X,), {"x": X}, "multiple values for argument 'x'"),
        ((X,), {"batch": 1}, "unexpected keyword argument 'batch'"),
        ((), {"out": X}, "none was given"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "forward"])
def test_wrong_arguments(
    args: tuple[Any, ...], names: dict[str, Any], message: str, method: str
) -> None:
    with pytest.raises(TypeError, match=message):
        getattr(NET, method)(*args, **names)


def test_a_call_runs_no_python() -> None:
    """Neither of `MLP` nor of what it inherits from: a call is one of C from end to end."""
    one = np.zeros(3, np.float32)
    NET(one)
    frames: list[str] = []
    sys.setprofile(lambda frame, event, _: frames.append(f"{event} {frame.f_code.co_name}"))
    NET(one)
    NET(X)
    sys.setprofile(None)
    assert [frame for frame in frames if frame.startswith("call ")] == []


def test_forward_documents_itself() -> None:
    for call in (NET.forward, NET):
        assert list(inspect.signature(call).parameters) == ["x", "out"]
    assert list(inspect.signature(ln.MLP).parameters) == [
        *("layers", "head", "outputs", "feature_names", "inputs", "in_features", "dtype"),
        "precision",
    ]
    assert "in_features" in (inspect.getdoc(ln.MLP.forward) or "")


@pytest.mark.parametrize("kind", [_core.NetworkF32, _core.NetworkF64, _core.DerivativesF32])
def test_no_object_of_the_core_is_made_without_its_memory(kind: type) -> None:
    for make in (kind, lambda: kind.__new__(kind), lambda: object.__new__(kind)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        copy.copy(NET._core)


def test_a_subclass_may_change_the_call() -> None:
    class Doubled(ln.MLP):
        def __call__(self, x: Any, *, out: Any = None) -> Any:
            return 2 * super().__call__(x, out=out)

    class Plain(ln.MLP):
        pass

    expected = NET(X)
    assert Doubled(NET.layers)(X).tobytes() == (2 * expected).tobytes()
    assert Plain(NET.layers)(X).tobytes() == expected.tobytes()
    # A method replaced, by one of another type: what the test is about.
    Plain.__call__ = lambda self, x: "replaced"  # type: ignore[method-assign,assignment]
    assert Plain(NET.layers)(X) == "replaced"
    del Plain.__call__
    assert Plain(NET.layers)(X).tobytes() == expected.tobytes()


def test_an_object_that_was_not_initialised_says_so() -> None:
    class Forgetful(ln.MLP):
        def __init__(self) -> None:
            pass

    with pytest.raises(TypeError, match=r"Forgetful\.__init__ was not called"):
        Forgetful()(X)


@pytest.mark.parametrize("wrong", [(), (NET,), (None,), (NET._core, NET._core)])
def test_the_base_takes_a_network_of_the_core(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="NetworkF32"):
        _core.NetworkCall(*wrong)


def test_nothing_is_kept() -> None:
    net = ln.MLP(NET.layers)
    before = sys.getrefcount(X)
    gone = weakref.ref(net)
    net(X)
    assert sys.getrefcount(X) == before
    del net
    assert gone() is None


def test_a_network_that_goes_lets_go_of_its_core() -> None:
    net = ln.MLP(NET.layers)
    y = net(X)
    core = net._core
    del net
    alone = object()
    assert sys.getrefcount(core) == sys.getrefcount(alone)
    np.testing.assert_array_equal(y, NET(X))


def test_a_network_is_initialised_once() -> None:
    net = ln.MLP(NET.layers, head="softmax")
    before = net(X)
    with pytest.raises(TypeError, match="never changes"):
        # Unsound in general, as a subclass may take other arguments; here it must be refused.
        net.__init__(ln.MLP.init([3, 2], seed=1).layers)  # type: ignore[misc]
    assert net.head == "softmax"
    assert net(X).tobytes() == before.tobytes()


@pytest.mark.parametrize("wrong", [{"x": np.zeros(4)}, {"x": None}, {"x": X, "out": X}])
def test_nothing_is_kept_by_a_call_that_fails(wrong: dict[str, Any]) -> None:
    before = [sys.getrefcount(v) for v in wrong.values()]
    for _ in range(10):
        with pytest.raises((TypeError, ValueError)):
            NET(**wrong)
    after = [sys.getrefcount(v) for v in wrong.values()]
    assert all(b - a < 10 for a, b in zip(before, after, strict=True))
