"""Call after call, with each of its allocations failing in turn; run by test_allocation_failures.

Usage: allocation_failures.py BACKEND THREADS, with the library of failing_allocations.c preloaded.

Each run has a process of its own, forked from one in which nothing has been called: what is made at
the first call, and by the first use of a thread, is among what fails. Prints a JSON object: for
each call how many allocations it makes, and what went wrong.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

import laminet as ln
import laminet.core.conversion
import laminet.core.plan  # else imported while an allocation fails

Call = Callable[[], Any]
Outcome = tuple[str, int, list[bytes], list[bytes]]


def bits(result: Any) -> list[bytes]:
    """Every number of a result."""
    if isinstance(result, np.ndarray):
        return [result.tobytes()]
    if isinstance(result, ln.MLP):
        return [part for layer in result.layers for part in bits([layer.weight, layer.bias])]
    if isinstance(result, (list, tuple)):
        return [part for item in result for part in bits(item)]
    if is_dataclass(result):
        return [part for field in fields(result) for part in bits(getattr(result, field.name))]
    return [repr(result).encode()]


def calls(folder: str) -> dict[str, Call]:
    random = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray[Any, Any]:
        return random.standard_normal(shape).astype(np.float32)

    layers = [
        (array(48, 32), array(48), "relu"),
        (array(48, 48), array(48), "tanh"),
        (array(8, 48), array(8), "identity"),
    ]

    def build() -> ln.MLP:
        return ln.MLP([ln.Dense(*layer) for layer in layers], head="softmax")

    net = build()
    wide = ln.MLP([ln.Dense(array(40, 3), None, "gelu")])  # its Jacobian goes forward
    x, cotangent = array(256, 32), array(256, 8)
    file = f"{folder}/net.safetensors"
    net.save(file)
    ln.load(file)  # what it imports
    # Of a network that is gone: of one that is there, reading gives that one.
    pickled = pickle.dumps(ln.MLP([ln.Dense(array(48, 32), array(48), "relu")]))
    listed = x[0].tolist()
    # Beyond the networks that are trained slice by slice.
    learning = ln.MLP([ln.Dense(array(256, 136), array(256), "relu"), ln.Dense(array(1, 256))])
    samples, targets = array(60, 136), array(60, 1)

    def train(start: ln.MLP, precision: Any) -> ln.MLP:
        """A step that finds no memory has changed nothing, and is made by the next attempt."""
        sgd = ln.optim.SGD(2.0**-20)
        trainer = ln.Trainer(start, "squared_error", sgd, seed=0, precision=precision)
        trainer.step(samples[:2], targets[:2])
        try:
            trainer.step(samples, targets)
        except MemoryError:
            trainer.step(samples, targets)
        return trainer.network

    return {
        "build": build,
        "load": lambda: ln.load(file),
        "pickle": lambda: pickle.loads(pickled),
        "forward": lambda: net(x),
        "forward, one sample": lambda: net(x[0]),
        "forward, converted": lambda: net(listed),
        "forward, transposed": lambda: net(np.asfortranarray(x)),
        "forward, out given": lambda: wide(x[:, :3], out=np.zeros((256, 40), np.float32)),
        "predict_log_proba": lambda: net.predict_log_proba(x),
        "trace": lambda: net.trace(x),
        "plan": lambda: net.plan(64),
        "jacobian": lambda: net.jacobian(x[:16]),
        "jacobian, forward": lambda: wide.jacobian(x[:16, :3]),
        "value_and_jacobian": lambda: net.value_and_jacobian(x[:16]),
        "layer_jacobians": lambda: net.layer_jacobians(x[:16]),
        "vjp": lambda: net.vjp(x, cotangent),
        "jvp": lambda: net.jvp(x, x),
        "gradients": lambda: net.gradients(x, cotangent),
        "linear": lambda: ln.linear(x, *layers[0]),
        "train": lambda: train(learning, "float32"),
        "train in bfloat16": lambda: train(learning, "bfloat16"),
    }


def run(failures: ctypes.PyDLL, call: Call, failing: int) -> Outcome:
    """Call with that allocation failing, 0 for none; and once more, with none."""
    result, outcome = None, "success"
    failures.begin_counting(failing)
    try:
        result = call()
    except MemoryError:
        outcome = "MemoryError"
    except Exception as error:
        outcome = repr(error)
    count = failures.end_counting()
    return outcome, count, bits(result), bits(call())


def in_child(failures: ctypes.PyDLL, call: Call, failing: int) -> Outcome | None:
    """Run in a process of its own; None where that came to no end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            with open(writer, "wb") as file:
                pickle.dump(run(failures, call, failing), file)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    _, status = os.waitpid(child, 0)
    outcome: Outcome | None = pickle.loads(data) if status == 0 else None
    return outcome


def load_blas() -> str:
    ln.set_backend("blas")
    return ln.get_backend()


def check(failures: ctypes.PyDLL, name: str, call: Call, every: int) -> tuple[int, list[str]]:
    """Return how many allocations the call makes, and what went wrong where each n-th failed."""
    clean = in_child(failures, call, 0)
    if clean is None or clean[0] != "success" or clean[2] != clean[3]:
        raise SystemExit(f"{name} does not work: {clean}")
    _, count, expected, _ = clean
    wrong: list[str] = []
    for failing in range(1, count + 1, every):
        outcome = in_child(failures, call, failing)
        if outcome is None:
            wrong.append(f"allocation {failing}: the process ended")
            continue
        what, _, first, second = outcome
        if what not in ("success", "MemoryError"):
            wrong.append(f"allocation {failing}: {what}")
        if what == "success" and first != expected:
            wrong.append(f"allocation {failing}: wrong bits")
        if second != expected:
            wrong.append(f"allocation {failing}: wrong bits of the call after it")
    return count, wrong


def main() -> None:
    failures = ctypes.PyDLL(None)
    if not failures.choose_module(b"/laminet/_core."):
        raise SystemExit("found no module to watch")
    failures.end_counting.restype = ctypes.c_long
    failures.begin_counting.argtypes = [ctypes.c_long]
    backend, threads = sys.argv[1:]
    # One thread asks for little that two do not.
    every = 1 if threads == "2" else 5
    report: dict[str, tuple[int, list[str]]] = {}
    if backend == "blas":
        # The loader's own allocations, too: a library for which there was no memory is no library
        # that cannot be loaded.
        loader_counts = ctypes.c_int.in_dll(failures, "loader_counts")
        loader_counts.value = 1
        report["load of BLAS"] = check(failures, "load of BLAS", load_blas, every)
        loader_counts.value = 0
    ln.set_backend(backend)
    ln.set_num_threads(int(threads))
    with tempfile.TemporaryDirectory() as folder:
        for name, call in calls(folder).items():
            report[name] = check(failures, name, call, every)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
