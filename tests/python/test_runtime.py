"""Back end, threads, build_info, instruction sets; test_environment.py has the variables."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import pytest
from process_report import REPORT, report
from variants import ISAS, instruction_set, normal, random_net, same_bits

import laminet as ln
from laminet import _core

# --- Back end ------------------------------------------------------------------------------------


def test_set_backend():
    for name in ("blas", "tiled", "auto"):
        ln.set_backend(name)
        assert ln.get_backend() == name
        assert ln.build_info()["backend"] == name


def test_backend_as_context():
    ln.set_backend("tiled")
    with ln.backend("blas") as value:
        assert value is None
        assert ln.get_backend() == "blas"
        with ln.backend("auto"):
            assert ln.get_backend() == "auto"
        assert ln.get_backend() == "blas"
    assert ln.get_backend() == "tiled"
    with pytest.raises(KeyError), ln.backend("blas"):
        raise KeyError
    assert ln.get_backend() == "tiled"


@pytest.mark.parametrize("name", ["", "BLAS", "mkl", "tiled ", "auto\0"])
def test_unknown_backend(name):
    ln.set_backend("tiled")
    expected = re.escape("backend must be 'auto', 'blas' or 'tiled', got '")
    with pytest.raises(ValueError, match=expected):
        ln.set_backend(name)
    with pytest.raises(ValueError, match=expected), ln.backend(name):
        pass
    assert ln.get_backend() == "tiled"


@pytest.mark.parametrize("value", [None, 1, b"blas", ["blas"]])
def test_backend_of_another_type(value):
    with pytest.raises(TypeError, match=f"backend must be a str, got {type(value).__name__}"):
        ln.set_backend(value)


def test_the_back_ends_are_two():
    """`blas` must be OpenBLAS and `tiled` must not: by bits, since generic code sums otherwise."""
    net, x = random_net([700, 300]), normal((64, 700), "f4")
    with ln.backend("blas"):
        blas = net(x)
    with ln.backend("tiled"):
        tiled = net(x)
    np.testing.assert_allclose(blas, tiled, rtol=1e-3, atol=1e-3)
    assert not same_bits(blas, tiled)


# --- Threads -------------------------------------------------------------------------------------


def test_set_num_threads():
    for n in (1, 2, 7, np.int64(3)):
        ln.set_num_threads(n)
        assert ln.get_num_threads() == n
        assert ln.build_info()["threads"] == n
        assert ln.build_info()["threads_source"] == "set_num_threads"


def test_num_threads_as_context():
    ln.set_num_threads(2)
    with ln.num_threads(5):
        assert ln.get_num_threads() == 5
        with ln.num_threads(1):
            assert ln.get_num_threads() == 1
        assert ln.get_num_threads() == 5
    assert ln.get_num_threads() == 2
    with pytest.raises(KeyError), ln.num_threads(3):
        raise KeyError
    assert ln.get_num_threads() == 2


def test_wrong_numbers_of_threads():
    ln.set_num_threads(2)
    for n in (0, -1, -(2**70)):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
            ln.set_num_threads(n)
    for value in (2.0, "2", None, True, [2]):
        with pytest.raises(TypeError, match="integer"):
            ln.set_num_threads(value)
    assert ln.get_num_threads() == 2


@pytest.mark.parametrize("n", [1024, 1025, 10**9, 2**70])
def test_an_absurd_number_of_threads(n):
    """The work is split into so many parts: more than 1024 count as 1024."""
    net, x = random_net([200, 300, 10]), normal((500, 200), "f4")
    grad = normal((500, 10), "f4")
    expected, gradients = net(x), net.gradients(x, grad)
    ln.set_num_threads(n)
    assert ln.get_num_threads() == 1024
    assert net.plan(2**20).threads <= 1024
    np.testing.assert_allclose(net(x), expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(net.gradients(x, grad).weights, gradients.weights, strict=True):
        assert same_bits(a, b)


def test_threads_are_not_started_beyond_the_cpus(script):
    result = script(
        """
import os
import numpy as np, laminet as ln
before = len(os.listdir("/proc/self/task"))
ln.set_num_threads(64)
net = ln.MLP.init([300, 400, 50], seed=0)
net(np.ones((3000, 300), "f4"))
print(len(os.listdir("/proc/self/task")) - before, len(os.sched_getaffinity(0)))
"""
    )
    assert result.returncode == 0, result.stderr
    started, cpus = map(int, result.stdout.split())
    assert started <= cpus - 1


def test_one_thread_starts_no_other(script):
    """Nor does our copy of OpenBLAS, which would start its own when it is loaded.

    They would also spin: CPU time over a sleep, which no load of the machine adds to, tells that an
    idle laminet takes none.
    """
    result = script(
        """
import os, time
for name in ("OPENBLAS", "GOTO", "OMP"):  # would keep every copy from starting threads
    os.environ.pop(name + "_NUM_THREADS", None)
import numpy as np
def cpu_while_asleep(seconds):
    before = time.process_time()  # of all threads
    time.sleep(seconds)
    return time.process_time() - before
for _ in range(20):  # NumPy's copy spins too, at its start
    if cpu_while_asleep(0.3) < 0.001: break
before = set(os.listdir("/proc/self/task"))
import laminet as ln
ln.set_num_threads(1)
net = ln.MLP.init([300, 400, 50], seed=0)
for name in ("tiled", "blas"):
    ln.set_backend(name)
    net(np.ones((2000, 300), "f4"))
idle = cpu_while_asleep(0.3)
assert ln.build_info()["blas"] is not None
print(len(set(os.listdir("/proc/self/task")) - before), idle)
"""
    )
    assert result.returncode == 0, result.stderr
    started, idle = result.stdout.split()
    assert int(started) == 0
    assert float(idle) < 0.05


@pytest.mark.parametrize("value", [None, "", "3"])
def test_loading_blas_leaves_the_environment(value, script):
    """Which tells OpenBLAS to start no threads; asked of C, as Python looks only at its start."""
    result = script(
        f"""
import ctypes, os
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
value = {value!r}
os.environ.pop("OPENBLAS_NUM_THREADS", None)
if value is not None: os.environ["OPENBLAS_NUM_THREADS"] = value
before = getenv(b"OPENBLAS_NUM_THREADS")
import laminet as ln
ln.set_backend("blas")
assert ln.build_info()["blas"] is not None
print(before, getenv(b"OPENBLAS_NUM_THREADS"))
"""
    )
    expected = None if value is None else value.encode()
    assert result.stdout == f"{expected} {expected}\n", result.stderr


def test_numpys_copy_of_blas_is_left_alone(script):
    """Its number of threads is as it was, by threadpoolctl's own way of asking."""
    result = script(
        """
import numpy as np
from threadpoolctl import threadpool_info
def ask():
    return {i["filepath"]: i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"
            and "numpy" in i["filepath"]}
np.ones((300, 300)) @ np.ones((300, 300))
before = ask()
import laminet as ln
ln.set_num_threads(1)
net = ln.MLP.init([300, 400, 50], seed=0)
with ln.backend("blas"):
    net(np.ones((3000, 300), "f4"))
assert before, "NumPy has no BLAS of its own that threadpoolctl knows"
print(ask() == before)
"""
    )
    assert result.stdout == "True\n", result.stderr


# --- build_info ----------------------------------------------------------------------------------


def test_build_info():
    info = ln.build_info()
    assert list(info) == [
        "version", "compiler", "cpu", "isa", "available_isas", "blas", "blas_error", "backend",
        "threads", "threads_source",
    ]  # fmt: skip
    assert info["version"] == ln.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", ln.__version__)
    assert re.match(r"(GCC|Clang) \d+", info["compiler"])
    assert info["isa"] in info["available_isas"]
    assert info["available_isas"][0] == "generic"
    assert info["cpu"].strip()
    json.dumps(info)


def test_the_installed_copy_of_openblas(script):
    """OpenBLAS comes with the package: a wheel without it must not pass unnoticed."""
    info = report(script(REPORT))
    assert info["blas_error"] is None
    assert info["blas"]["name"] == "OpenBLAS"
    assert re.match(r"0\.3\.\d+", info["blas"]["version"])
    assert info["blas"]["core"]
    assert pathlib.Path(info["blas"]["path"]).parent.name == "_libs"


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert version("laminet") == ln.__version__


# --- Instruction sets (private) ------------------------------------------------------------------


def test_instruction_sets():
    before = _core.isa()
    for name in ISAS:
        with instruction_set(name):
            assert ln.build_info()["isa"] == name
    assert _core.isa() == before == ISAS[-1]
    with pytest.raises(ValueError, match="unknown instruction set 'sse9', expected one of generic"):
        _core.set_isa("sse9")
    assert _core.isa() == before


def test_a_network_keeps_its_instruction_set():
    """By bits: the generic kernels round each product, the others do not."""
    x, results = normal((20, 300), "f4"), {}
    ln.set_backend("tiled")
    for name in ISAS:
        with instruction_set(name):
            results[name] = random_net([300, 50]), random_net([300, 50])(x)
    for net, y in results.values():
        assert same_bits(net(x), y)
    if len(ISAS) > 1:
        assert not same_bits(results["generic"][1], results[ISAS[-1]][1])
