"""Calls that race on one network, with the GIL and, where Python is built so, without it."""

from __future__ import annotations

import sys
import sysconfig
import threading

import numpy as np

import laminet as ln


def test_the_extension_leaves_the_gil_off() -> None:
    """Importing a module that does not say that it needs no GIL would turn it on."""
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert enabled is not free


def test_25_000_racing_calls_have_the_bits_of_calls_alone() -> None:
    """Single samples, batches, derivatives, and networks that are new to all threads."""
    callers, rounds, repeats = 5, 50, 100
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 7), "float32")
    calls = (
        lambda net: net(x[0]),
        lambda net: net(x),
        lambda net: net.vjp(x[1], np.ones(3, "f4")),
        lambda net: net.jacobian(x[:2]),
    )
    template = ln.MLP.init([7, 9, 3], "tanh", seed=1)
    expected = [call(template) for call in calls]
    wrong: list[str] = []
    made = 0
    for _ in range(rounds):
        net = ln.MLP(template.layers)
        begin = threading.Barrier(callers)
        counts = [0] * callers

        def work(caller: int, net: ln.MLP = net, begin: threading.Barrier = begin) -> None:
            begin.wait()
            for i in range(repeats):
                which = (i + caller) % len(calls)
                got = calls[which](net)
                counts[caller] += 1  # noqa: B023 - joined before the next round
                if got.tobytes() != expected[which].tobytes():
                    wrong.append(f"call {which} of caller {caller}")

        threads = [threading.Thread(target=work, args=(c,)) for c in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made += sum(counts)
    assert made == 25_000
    assert wrong == []
