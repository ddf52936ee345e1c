"""The report's header and the fixtures that run a test on every back end and instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from alone import pytest_addoption, pytest_collection_modifyitems, pytest_ignore_collect
from frameworks import ignored_files, not_installed
from variants import BACKENDS, DTYPES, FUSED_ISAS, ISAS, instruction_set

import laminet as ln
from laminet import _core

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_ignore_collect"]  # hooks

# Keras asks for it when it is imported; by default it would want TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")

collect_ignore = ignored_files()


def pytest_report_header() -> list[str]:
    info = ln.build_info()
    blas = info["blas"]
    described = f"none: {info['blas_error']}"
    if blas is not None:
        described = f"{blas['name']} {blas['version']} {blas['core']} ({blas['path']})"
    not_run = sorted({"generic", "avx2", "avx512", "avx512_bf16"} - set(ISAS))
    return [
        f"laminet: {info['version']}, {info['compiler']}, NumPy {np.__version__}, {info['cpu']}",
        f"instruction sets: {', '.join(ISAS)}; in use: {info['isa']}; "
        f"not on this CPU, so not tested: {', '.join(not_run) or 'none'}",
        f"frameworks not installed, so not tested: {', '.join(not_installed()) or 'none'}",
        f"blas: {described}",
        f"threads: {info['threads']} ({info['threads_source']}), back end: {info['backend']}",
    ]


@pytest.fixture(autouse=True, scope="session")
def _own_cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests measure of the machine away from the user's figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    """Leave no test the settings of another; they hold for the whole process."""
    before = ln.get_backend(), _core.thread_setting(), _core.isa()
    yield
    ln.set_backend(before[0])
    _core.set_thread_setting(before[1])
    _core.set_isa(before[2])


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with ln.backend(request.param):
        yield request.param


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this CPU: what the test makes and calls uses it."""
    with instruction_set(request.param):
        yield request.param


@pytest.fixture(params=FUSED_ISAS)
def fused_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    with instruction_set(request.param):
        yield request.param


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return request.param


Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script() -> Script:
    """Run Python code in a process of its own, with only the given variables that laminet reads."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LAMINET_")}
        clean.pop("OMP_NUM_THREADS", None)
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**clean, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
