"""Many Python threads on one network, fork, signals of trouble, and an idle team."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from variants import normal, random_net, same_bits

import laminet as ln

WORKERS = 8


def together(function, count=WORKERS):
    """Call function(i) in `count` threads that start at the same moment; results in order."""
    barrier = threading.Barrier(count)

    def run(i):
        barrier.wait()
        return function(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("round_", range(5))
def test_first_calls_at_once(round_, backend, dtype):
    """Weights are packed in the first call: here several threads make it."""
    x = normal((300, 200), dtype)
    expected = random_net([200, 300, 50], dtype=dtype)(x)
    for _ in range(6):
        net = random_net([200, 300, 50], dtype=dtype)
        for y in together(lambda i, net=net: net(x)):
            assert same_bits(y, expected)


def test_first_calls_before_there_is_a_team(script, backend):
    """The team, the BLAS library and the settings too are made on first need, here by 8 threads."""
    result = script(
        """
import threading
import numpy as np, laminet as ln
net = ln.MLP.init([300, 400, 50], seed=0)
x = np.random.default_rng(0).standard_normal((500, 300)).astype("f4")
barrier, results = threading.Barrier(8), []
def run():
    barrier.wait()
    results.append(net(x))
threads = [threading.Thread(target=run) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert len({y.tobytes() for y in results}) == 1
exact = ln.reference.forward(net, x)
assert np.abs(results[0] - exact).max() < 1e-3 * np.abs(exact).max()
print("done", len(results))
""",
        LAMINET_BACKEND=backend,
    )
    assert result.stdout == "done 8\n", result.stderr


def test_different_inputs_do_not_mix(backend, dtype):
    """Scratch is each thread's own: results would trade places otherwise."""
    net = random_net([64, 200, 33], "gelu", dtype=dtype)
    inputs = [normal((batch, 64), dtype, batch) for batch in (1, 2, 7, 40, 200, 513, 3, 90)]
    expected = [net(x) for x in inputs]

    def run(i):
        return [net(inputs[(i + k) % WORKERS]) for k in range(3 * WORKERS)]

    for i, results in enumerate(together(run)):
        for k, y in enumerate(results):
            assert same_bits(y, expected[(i + k) % WORKERS]), (i, k)


def test_different_networks_at_once(backend):
    nets = [
        random_net([40 + i, 300, 10 + i], dtype="f4" if i % 2 else "f8") for i in range(WORKERS)
    ]
    inputs = [normal((200, net.in_features), net.dtype) for net in nets]
    expected = [net(x) for net, x in zip(nets, inputs, strict=True)]
    for i, results in enumerate(together(lambda i: [nets[i](inputs[i]) for _ in range(20)])):
        assert all(same_bits(y, expected[i]) for y in results)


def test_everything_at_once(backend):
    """Forward, trace, heads, linear and the making of networks beside each other."""
    net = random_net([64, 200, 33], ["tanh", "identity"])
    x = normal((100, 64), "f4")
    layer = net.layers[0]
    jobs = [
        lambda: net(x),
        lambda: net.trace(x).output,
        lambda: net.predict_proba(x),
        lambda: net.predict_log_proba(x),
        lambda: ln.linear(x, layer.weight, layer.bias, layer.activation),
        lambda: ln.MLP(net.layers)(x),
        lambda: net.predict(x),
        lambda: net(x, out=np.empty((100, 33), "f4")),
    ]
    expected = [job() for job in jobs]
    results = together(lambda i: [jobs[i]() for _ in range(15)], len(jobs))
    for y, many in zip(expected, results, strict=True):
        assert all(same_bits(z, y) for z in many)


def test_errors_reach_the_thread_that_made_them(backend):
    net = random_net([64, 200, 33])
    good, expected = normal((200, 64), "f4"), None
    expected = net(good)

    def run(i):
        if i % 2:
            with pytest.raises(ValueError, match=f"x has {i} features, the network takes 64"):
                net(np.zeros((200, i), "f4"))
            with pytest.raises(TypeError, match="x must hold real numbers"):
                net(np.zeros((200, 64), complex))
            return None
        return net(good)

    for i, y in enumerate(together(run)):
        assert (y is None) if i % 2 else same_bits(y, expected)


def test_the_number_of_threads_may_change_meanwhile(backend):
    net = random_net([100, 300, 33])
    x = normal((400, 100), "f4")
    expected = net(x)
    stop = threading.Event()

    def change():
        n = 1
        while not stop.is_set():
            n = n % 4 + 1
            ln.set_num_threads(n)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        results = together(lambda i: [net(x) for _ in range(20)], 4)
    finally:
        stop.set()
        changer.join()
    for many in results:
        for y in many:
            np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)


FORK = """
import os, sys
import numpy as np, laminet as ln
ln.set_num_threads(2)
net = ln.MLP.init([300, 400, 50], seed=0)
x = np.random.default_rng(0).standard_normal((2000, 300)).astype("f4")
expected = net(x)                       # the team exists now
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:                        # its threads do not exist here
        ok = all((net(x) == expected).all() for _ in range(3))
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if (net(x) == expected).all() else 1)
        ok &= os.waitpid(grandchild, 0)[1] == 0
        os._exit(0 if ok else 1)
    children.append(pid)
assert (net(x) == expected).all()       # and the parent's still do
print([os.waitpid(pid, 0)[1] for pid in children])
"""


def test_fork(script, backend):
    """The script has a limit of two minutes: a child that waits for lost threads fails there."""
    result = script(FORK, LAMINET_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[0, 0, 0, 0]\n", result.stderr


def test_fork_while_another_thread_is_computing(script, backend):
    """The child must not inherit a lock that the other thread held."""
    result = script(
        """
import os, threading
import numpy as np, laminet as ln
ln.set_num_threads(2)
net = ln.MLP.init([300, 400, 50], seed=0)
x = np.random.default_rng(0).standard_normal((1000, 300)).astype("f4")
expected = net(x)
stop = threading.Event()
def work():
    while not stop.is_set(): net(x)
thread = threading.Thread(target=work)
thread.start()
status = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if (net(x) == expected).all() else 1)
    status.append(os.waitpid(pid, 0)[1])
stop.set(); thread.join()
print(set(status))
""",
        LAMINET_BACKEND=backend,
    )
    assert result.stdout == "{0}\n", result.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, script):
    """With a network sent as a pickle, and a team in the parent before."""
    result = script(
        f"""
import multiprocessing
import numpy as np, laminet as ln
x = np.ones((300, 100), "f4")
if __name__ == "__main__":
    ln.set_num_threads(2)
    net = ln.MLP.init([100, 300, 10], seed=0)
    expected = net(x)
    with multiprocessing.get_context("{method}").Pool(3) as pool:
        results = pool.map(net, [x] * 9)
    print(len(results), all((y == expected).all() for y in results))
"""
    )
    assert result.stdout == "9 True\n", result.stderr


def test_an_interpreter_ends_with_a_team_alive(script, backend):
    """Also while daemon threads are inside a call."""
    result = script(
        """
import threading, time
import numpy as np, laminet as ln
ln.set_num_threads(2)
net = ln.MLP.init([300, 400, 50], seed=0)
x = np.ones((2000, 300), "f4")
net(x)
def work():
    while True: net(x)
for _ in range(2): threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print("end")
""",
        LAMINET_BACKEND=backend,
    )
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr


def test_an_idle_team_takes_no_cpu_time(script):
    """CPU time of the process over a sleep, which no load of the machine adds to."""
    result = script(
        """
import time
import numpy as np, laminet as ln
ln.set_num_threads(2)
net = ln.MLP.init([300, 400, 50], seed=0)
net(np.ones((2000, 300), "f4"))
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
"""
    )
    assert result.returncode == 0, result.stderr
    # OpenBLAS would spin for 0.1 s, a team that never sleeps for 0.5; ours for 40 microseconds.
    assert float(result.stdout) < 0.05
