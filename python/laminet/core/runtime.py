"""Back end, threads, and what this build has. All settings hold for the whole process."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from laminet import _core
from laminet.core.conversion.counts import as_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laminet.core.name_types import BackendName


def set_backend(name: BackendName) -> None:
    """Choose how products are computed, for the whole process.

    Parameters
    ----------
    name : {"auto", "blas", "tiled"}
        ``"blas"``: OpenBLAS, `sgemv` for one sample and `sgemm` for a batch (`dgemv`, `dgemm`).
        ``"tiled"``: laminet's own cache-aware product. ``"auto"`` (the default): the faster of the
        two for this CPU's instruction set, by a fixed rule.

    Raises
    ------
    ValueError
        For another name.
    RuntimeError
        For ``"blas"`` where no BLAS library could be loaded; says why.
    TypeError
        If `name` is not a str.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.set_backend("tiled")
    >>> ln.get_backend()
    'tiled'
    """
    if not isinstance(name, str):
        raise TypeError(f"backend must be a str, got {type(name).__name__}")
    _core.set_backend(name)


def get_backend() -> BackendName:
    """Return ``"auto"``, ``"blas"`` or ``"tiled"``.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.get_backend() in ("auto", "blas", "tiled")
    True
    """
    return _core.backend()


@contextmanager
def backend(name: BackendName) -> Iterator[None]:
    """Use another back end within a ``with`` block; see `set_backend`. Holds for all threads.

    Examples
    --------
    >>> import laminet as ln
    >>> with ln.backend("tiled"):
    ...     print(ln.get_backend())
    tiled
    """
    before = get_backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def set_num_threads(n: int) -> None:
    """Set how many threads one call may use, the calling thread among them; for the whole process.

    The default is ``LAMINET_NUM_THREADS``, else the CPUs that the calling thread may use at that
    moment (affinity and cgroup quota), at most ``OMP_NUM_THREADS``. No more threads than such CPUs
    work at a time, whatever is set.

    Parameters
    ----------
    n : int
        At least 1; more than 1024 count as 1024.

    Raises
    ------
    ValueError
        If `n` is less than 1.
    TypeError
        If `n` is not an integer.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.set_num_threads(1)
    >>> ln.get_num_threads()
    1
    """
    # The core has its own bound, far below.
    _core.set_num_threads(min(as_count(n, "n"), sys.maxsize))


def get_num_threads() -> int:
    """Return how many threads one call may use; see `set_num_threads`.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.get_num_threads() >= 1
    True
    """
    return _core.num_threads()


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use another number of threads within a ``with`` block; see `set_num_threads`.

    Afterwards the number is what it was before, or follows the CPUs again.

    Examples
    --------
    >>> import laminet as ln
    >>> with ln.num_threads(1):
    ...     print(ln.get_num_threads())
    1
    """
    before = _core.thread_setting()
    set_num_threads(n)
    try:
        yield
    finally:
        _core.set_thread_setting(before)


@functools.cache
def check_environment() -> None:
    """Read the variables LAMINET_*: a wrong value is an error of the first use, whatever is used.

    Raises
    ------
    ValueError
        If LAMINET_ISA, LAMINET_BACKEND or LAMINET_NUM_THREADS has an unknown value.
    RuntimeError
        If LAMINET_BLAS names a file that is no CBLAS library, or LAMINET_BACKEND is "blas" and
        there is none.
    """
    _core.isa()
    _core.backend()
    _core.num_threads()
    if os.environ.get("LAMINET_BLAS"):
        _core.blas_info()


def build_info() -> dict[str, Any]:
    """Return what this build has and what it uses here; for bug reports.

    Returns
    -------
    dict
        ``version``, ``compiler``; ``cpu``, ``isa`` (the instruction set in use) and
        ``available_isas``; ``blas``, a dict of ``name``, ``version``, ``core`` (the kernels it
        chose) and ``path``, or None where no BLAS library could be loaded, with the reason in
        ``blas_error`` (else None); ``backend``, ``threads`` and ``threads_source``, what that
        number comes from: "set_num_threads", "threadpoolctl", "LAMINET_NUM_THREADS",
        "OMP_NUM_THREADS", "cgroup quota" or "CPUs allowed".

    Examples
    --------
    >>> import laminet as ln
    >>> info = ln.build_info()
    >>> info["isa"] in info["available_isas"], info["version"] == ln.__version__
    (True, True)
    """
    check_environment()
    blas = _core.blas_info()
    return {
        "version": _core.__version__,
        "compiler": _core.compiler(),
        "cpu": _core.cpu_name(),
        "isa": _core.isa(),
        "available_isas": _core.available_isas(),
        "blas": None if "error" in blas else blas,
        "blas_error": blas.get("error"),
        "backend": get_backend(),
        "threads": get_num_threads(),
        "threads_source": _core.threads_source(),
    }
