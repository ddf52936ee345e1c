"""Ctrl-C, and every other signal, comes through while the core works, and leaves all usable."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from variants import normal, same_bits

import laminet as ln
from laminet.cli import main
from laminet.core import probes as probe
from laminet.training.least_squares import LeastSquaresRun

NET = ln.MLP.init([1024, 4096, 4096, 1024], "gelu", seed=0)
RELU = ln.MLP([ln.Dense(layer.weight, layer.bias, "relu") for layer in NET.layers])
X = normal((4096, 1024), "float32")  # 0.2 tera-operations: a second and more
WIDE = normal((4096, 4096), "float32")

CALLS: dict[str, Callable[[], Any]] = {
    "forward": lambda: NET(X),
    "predict": lambda: NET.predict(X),
    "trace": lambda: NET.trace(X),
    "jacobian": lambda: NET.jacobian(X[:32]),
    "jacobian by gathering": lambda: RELU.jacobian(X[:64]),
    "value_and_jacobian": lambda: NET.value_and_jacobian(X[:32]),
    "layer_jacobians": lambda: NET.layer_jacobians(X[:16]),
    "vjp": lambda: NET.vjp(X, X),
    "jvp": lambda: NET.jvp(X, X),
    "gradients": lambda: NET.gradients(X, X),
    "linear": lambda: ln.linear(WIDE, NET.layers[1].weight),
}

THREADS = min(2, probe.max_threads())
PROBES: dict[str, Callable[[str], float]] = {
    "fma_rate": lambda isa: probe.fma_rate("float32", isa, THREADS, 5),
    "fma_latency": lambda isa: probe.fma_latency("float32", isa, 5),
    "activation_time": lambda isa: probe.activation_time("tanh", "float32", isa, 5),
    "read_rate": lambda isa: probe.read_rate(isa, 2**20, THREADS, 5),
    "the beginning of read_rate": lambda isa: probe.read_rate(isa, 2**29, THREADS, 0.001),
    "handoff_time": lambda isa: probe.handoff_time(THREADS, 5),
}


@contextmanager
def signals(every: float = 0.05, last: int = 3) -> Iterator[None]:
    """Signals so many seconds apart, of which the last is Ctrl-C's; none comes later.

    A call that lets none through while it works would see one: they do not queue up.
    """
    count = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == last:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def interrupted(every: float = 0.05, last: int = 3) -> Iterator[None]:
    """What is done must end in the last of the signals."""
    with pytest.raises(KeyboardInterrupt), signals(every, last):
        yield


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_signal_ends_a_long_call(call, threads):
    with ln.num_threads(threads):
        expected = NET(X[:3]), NET.vjp(X[:3], X[:3])
        with interrupted():
            call()
        # Everything is usable as before.
        assert same_bits(NET(X[:3]), expected[0])
        assert same_bits(NET.vjp(X[:3], X[:3]), expected[1])


def test_what_was_not_computed_is_not_written():
    out = np.full((4096, 1024), 7, "float32")
    with interrupted():
        NET(X, out=out)
    assert (out[-1] == 7).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", [[1, 5, 1], [10, 50, 1]])
def test_a_signal_ends_least_squares_after_an_iteration(sizes, threads):
    net = ln.MLP.init(sizes, "tanh", dtype="float64", seed=0)
    x = normal((20_000, sizes[0]), "float64")
    method = ln.optim.LevenbergMarquardt(tolerance_gradient=0, tolerance_change=0)

    def start() -> LeastSquaresRun:
        return LeastSquaresRun(net, x, np.sin(x.sum(axis=1)), method)

    run, again = start(), start()
    with ln.num_threads(threads):
        with interrupted():
            run.run(10**6)
        found = run.network()
        while again.network() != found:
            assert again.run().size == 1
            assert again.iterations < 10_000
        assert_array_equal(run.run(2), again.run(2))


def test_a_signal_ends_the_making_of_a_network():
    layer = ln.Dense(np.zeros((12000, 12000), "f4"))  # more than half a gigabyte to copy
    with interrupted(0.02, last=2):
        ln.MLP([layer])


@pytest.mark.parametrize("measure", PROBES.values(), ids=PROBES)
def test_a_signal_ends_a_probe_of_the_machine(measure):
    expected = NET(X[:3])
    with ln.num_threads(THREADS), interrupted():
        measure(ln.build_info()["isa"])
    assert same_bits(NET(X[:3]), expected)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a network and its samples, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    NET.save("net.safetensors")
    np.save("x.npy", X)
    return tmp_path


COMMANDS = {
    "predict": "predict net.safetensors x.npy -o y.npy",
    "predict to text": "predict net.safetensors x.npy -o y.csv",
    "bench": "bench net.safetensors",
    "roofline": "roofline net.safetensors -o page.html",
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_signal_ends_a_command(files, capsys, arguments):
    before = sorted(os.listdir(files))
    with signals():
        status = main(arguments.split())
    assert status == 130
    assert capsys.readouterr().err.endswith("laminet: error: interrupted\n")
    left = sorted(os.listdir(files))
    assert [name for name in left if name != "cache"] == before
    assert not list(files.glob("cache/**/*.tmp"))


# --- files: an interrupt at every line -----------------------------------------------------------


def interrupt_at(count: int, call: Callable[[], Any]) -> bool:
    """Call with a KeyboardInterrupt at the count-th line of laminet's that runs; False if none."""
    folder = str(Path(ln.__file__).parent)
    left = count

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(folder):
            return None
        left -= event == "line"
        if left == 0 and event == "line":
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


# A file that was opened when the interrupt came, and not yet given to its `with`, Python closes.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["net.safetensors", "net.onnx"])
def test_an_interrupt_at_any_line_leaves_the_old_file_or_the_new(tmp_path, name):
    if name.endswith(".onnx"):
        pytest.importorskip("onnx", reason="an extra")
    old, new = (ln.MLP.init([3, 4, 2], "tanh", seed=seed) for seed in (1, 2))
    path = tmp_path / name

    def save(net: ln.MLP) -> None:
        if name.endswith(".onnx"):
            ln.to_onnx(net, path)
        else:
            net.save(path)

    def load() -> ln.MLP:
        return ln.from_onnx(path) if name.endswith(".onnx") else ln.load(path)

    save(new)
    load()
    new_bytes = path.read_bytes()
    save(old)
    old_bytes = path.read_bytes()
    count, finished = 0, False
    while not finished:
        count += 1
        finished = not interrupt_at(count, lambda: save(new))
        assert os.listdir(tmp_path) == [name]
        written = path.read_bytes()
        assert written in (old_bytes, new_bytes)
        path.write_bytes(old_bytes)
    assert count > 30
    count, finished = 0, False
    while not finished:
        count += 17  # reading leaves nothing to look at, but what the next call needs
        finished = not interrupt_at(count, load)
    assert load() == old
