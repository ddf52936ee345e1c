"""net.prepare: what the first call would do is done, no result changes; what weights take."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from types import FrameType

import numpy as np
import pytest
from variants import normal, random_net, same_bits

import laminet as ln

KINDS = ["as given", "packed", "packed, transposed"]


class Policy(ln.MLP):
    """A class of its own."""


def held(net: ln.MLP) -> dict[str, int]:
    return {copy.kind: copy.now for copy in net.summary().memory}


# --- what it does --------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [0, 1, 8, 1000])
def test_results_are_the_same(batch, threads, backend, dtype):
    sizes, x = [30, 300, 300, 8], normal((max(batch, 2), 30), dtype)
    v = normal((len(x), 8), dtype)
    plain = random_net(sizes, "relu", dtype=dtype)
    net = random_net(sizes, "relu", dtype=dtype)
    with ln.num_threads(threads):
        assert net.prepare(batch, derivatives=True) is net
        for a in (x, x[:1]):
            assert same_bits(net(a), plain(a))
        assert same_bits(net.jacobian(x[:5]), plain.jacobian(x[:5]))
        assert same_bits(net.vjp(x, v), plain.vjp(x, v))
        gradients = zip(net.gradients(x, v).weights, plain.gradients(x, v).weights, strict=True)
        assert all(same_bits(a, b) for a, b in gradients)
    assert net == plain
    assert hash(net) == hash(plain)


def test_weights_are_packed_for_the_back_end_in_use():
    with ln.backend("tiled"):
        net = random_net([30, 40, 5])
        assert (held(net)["packed"], held(net)["packed, transposed"]) == (0, 0)
        net.prepare()
        packed = held(net)
        assert packed["packed"] > 0
        assert packed["packed, transposed"] == 0
        net(np.ones(30))
        net.jvp(np.ones(30), np.ones(30))
        assert held(net) == packed
        net.prepare(1, True)
        both = held(net)
        assert both["packed, transposed"] > 0
        net.vjp(np.ones(30), np.ones(5))
        net.jacobian(np.ones((3, 30)))
        net.gradients(np.ones(30), np.ones(5))
        assert held(net) == both
    with ln.backend("blas"):
        net = random_net([30, 40, 5]).prepare(7, derivatives=True)
        assert sum(held(net).values()) == held(net)["as given"]
        with ln.backend("tiled"):
            expected = normal((7, 30), "float32")
            same = random_net([30, 40, 5])
            assert same_bits(net(expected), same(expected))  # packed anew
        assert held(net)["packed"] > 0


def test_a_jacobian_from_the_inputs_takes_no_copy_of_its_own(backend):
    net = random_net([3, 40, 50, 60])
    net(np.ones(3))
    before = held(net)
    net.jacobian(np.ones(3))
    assert held(net) == before


def test_copies_and_pickles_are_as_of_any_network():
    layers = random_net([30, 40, 5]).layers
    net = Policy(layers)
    before = pickle.dumps(net)
    assert net.prepare(10, derivatives=np.True_) is net
    assert pickle.dumps(net) == before
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(before)):
        assert other == net
        assert isinstance(other, Policy)
        assert held(other)["packed"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1,), ValueError, "batch is -1, expected 0 or more"),
        ((2**64,), ValueError, "batch is 18446744073709551616, more than any memory holds"),
        ((1.0,), TypeError, "batch must be an integer, got 1.0"),
        (("8",), TypeError, "batch must be an integer, got '8'"),
        ((True,), TypeError, "batch must be an integer, got True"),
        ((None,), TypeError, "batch must be an integer, got NoneType"),
        ((1, "no"), TypeError, "derivatives must be True or False, got 'no'"),
        ((1, None), TypeError, "derivatives must be True or False, got NoneType"),
    ],
)
def test_wrong_arguments(arguments, error, text):
    net = random_net([3, 4, 2])
    with pytest.raises(error, match=f"^{text}"):
        net.prepare(*arguments)
    assert held(net)["packed"] == 0


def test_a_batch_as_large_as_there_are(backend):
    """It asks for the memory of blocks, not of the batch."""
    net = random_net([3, 4, 2])
    net.prepare(sys.maxsize // 64, derivatives=True)
    assert net(np.ones(3, "f4")).shape == (2,)


# --- threads, forks, signals ---------------------------------------------------------------------


def test_many_threads_prepare_and_call_at_once(backend):
    x = normal((50, 200), "float32")
    net, plain = random_net([200, 300, 10], "relu"), random_net([200, 300, 10], "relu")
    expected, start, results = plain(x), threading.Barrier(8), []

    def work(i: int) -> None:
        start.wait()
        if i % 2:
            net.prepare(50, derivatives=i > 4)
        results.append(same_bits(net(x), expected))
        net.vjp(x, expected)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    once = random_net([200, 300, 10], "relu").prepare(derivatives=True)
    assert held(net) == held(once)


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_child_of_fork_has_what_was_prepared():
    code = """
import os
import numpy as np, laminet as ln
ln.set_num_threads(2)
net = ln.MLP.init([200, 300, 10], seed=0).prepare(64, derivatives=True)
x = np.ones((64, 200), "f4")
expected, held = net(x), net.summary().memory
child = os.fork()
if child == 0:
    net.prepare(128)
    ok = (net(x) == expected).all() and net.summary().memory == held
    os._exit(0 if ok else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run_python(code) == "0\n"


def test_it_starts_the_threads_that_take_part():
    code = """
import os
import laminet as ln
count = lambda: len(os.listdir("/proc/self/task"))
ln.set_num_threads(2)
net = ln.MLP.init([17, 64, 64, 6], seed=0)
print(count(), end=" ")
net.prepare(1)
print(count(), end=" ")
net.prepare(4096)
print(count())
"""
    before, one, many = map(int, run_python(code).split())
    assert one == before  # one sample of a small network is one thread's work
    assert many == min(2, len(os.sched_getaffinity(0))) - 1 + before


@pytest.mark.parametrize(("backend", "loads"), [("tiled", False), ("auto", True)])
def test_it_loads_blas_where_that_is_the_back_end(backend, loads):
    code = f"""
import numpy as np, laminet as ln
ln.set_backend({backend!r})
net = ln.MLP.init([17, 64, 64, 6], seed=0)
def libraries():
    return {{line.split()[-1] for line in open("/proc/self/maps") if "blas" in line.split()[-1]}}
before = libraries()
net.prepare(64)
after = libraries()
net(np.ones((64, 17)))
print(len(after - before), len(libraries() - after))
"""
    # The generic kernels leave the products to BLAS, where there is one.
    assert run_python(code, LAMINET_ISA="generic") == f"{int(loads)} 0\n"


class InterruptError(Exception):
    """What the handler raises."""


def large() -> ln.MLP:
    """A network whose weights, 288 MB of zeros, take longer to pack than an interruption takes."""
    return ln.MLP([ln.Dense(np.zeros((6000, 6000), "f4")) for _ in range(2)])


def test_a_signal_ends_it_and_leaves_the_network_usable():
    def handler(number: int, frame: FrameType | None) -> None:
        raise InterruptError

    net = large()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(InterruptError):
            net.prepare(derivatives=True)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert any(copy.now < copy.with_derivatives for copy in net.summary().memory)
    assert not net(np.ones(6000, "f4")).any()
    assert net.summary().memory[1].now == net.summary().memory[1].prepared > 0


def test_a_handler_may_call_the_network_that_is_being_prepared():
    seen: list[bool] = []
    net = large()

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(net.summary().memory[1].now == 0)
        assert not net(np.ones(6000, "f4")).any()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        net.prepare()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [True]  # it was packing
    assert net.summary().memory[1].now == net.summary().memory[1].prepared


# --- what weights take ---------------------------------------------------------------------------


def test_the_summary_tells_what_would_be_held(backend, dtype):
    for sizes in ([30, 40, 5], [3, 40, 50, 60], [400, 800, 10]):
        net = random_net(sizes, dtype=dtype)
        promised = net.summary().memory
        assert [copy.kind for copy in promised] == KINDS
        # Each weight and bias from a multiple of 16 elements on, in one piece of memory, which from
        # a quarter of a huge page on is whole ones.
        arrays = [array for layer in net.layers for array in (layer.weight, layer.bias)]
        elements = sum(-(-array.size // 16) * 16 for array in arrays)
        size = elements * net.dtype.itemsize
        pages = -(-size // (2 << 20)) * (2 << 20)
        assert promised[0].now == (pages if size >= 512 << 10 else size)
        assert all(copy.now == 0 for copy in promised[1:])
        net.prepare()
        assert [copy.now for copy in net.summary().memory] == [copy.prepared for copy in promised]
        net.prepare(derivatives=True)
        now = net.summary().memory
        assert [copy.now for copy in now] == [copy.with_derivatives for copy in promised]
        assert all(copy.now == copy.prepared == copy.with_derivatives for copy in now)


def test_the_summary_prints_it():
    with ln.backend("tiled"):
        net = random_net([30, 40, 5])
        _, table = str(net.summary()).split("\n\n")
        packed = net.summary().memory[1].prepared
        lines = [line.split() for line in table.splitlines()]
        assert lines[0] == ["weights", "now", "prepared", "with", "derivatives"]
        assert lines[1][:3] == ["as", "given", "5.75"]
        assert lines[2] == ["packed", "0", "B", *2 * [f"{packed / 1024:.4g}", "KiB"]]
        assert [line[0] for line in lines[3:]] == ["packed,", "all"]
        assert "first layer" not in table
    values = net.summary().to_dict()
    assert values["memory"][0]["kind"] == "as given"


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_grows_by_what_the_summary_says():
    code = """
import numpy as np, laminet as ln
ln.set_num_threads(1)
ln.set_backend("tiled")
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def held():
    return sum(copy.now for copy in net.summary().memory)
layers = [ln.Dense(np.ones((1500, 2000), "f4")), ln.Dense(np.ones((2500, 1500), "f4"))]
small = ln.MLP.init([4, 4, 4], seed=0).prepare(1, True)
small.summary()
before = resident()
net = ln.MLP(layers)
for step in (lambda: None, lambda: net.prepare(), lambda: net.prepare(0, True)):
    step()
    print(resident() - before, held())
"""
    grown = [list(map(int, line.split())) for line in run_python(code).splitlines()]
    # Beside the weights: scratch, and what is left of the last huge page.
    for resident, told in grown:
        assert abs(resident - told) < 4 << 20
    assert grown[0][1] < grown[1][1] < grown[2][1]
