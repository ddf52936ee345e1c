"""What a report of a problem should say of the machine and of what is installed: one block."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from laminet.core import probes, runtime
from laminet.core.wording import size
from laminet.show.text import text_table

__all__ = ["system_report"]

# Those that laminet reads, calls or is compared with.
_PACKAGES = (
    "numpy",
    "scipy-openblas32",
    "safetensors",
    "rich",
    "platformdirs",
    "pyarrow",
    "pandas",
    "polars",
    "ml-dtypes",
    "onnx",
    "onnxruntime",
    "torch",
    "keras",
    "tensorflow",
    "jax",
    "scikit-learn",
    "scipy",
    "matplotlib",
    "threadpoolctl",
)
_LIMITS = {"address space": resource.RLIMIT_AS, "stack": resource.RLIMIT_STACK}


def system_report() -> str:
    """Return the report; it names no folder of the user's."""
    info = runtime.build_info()
    blas = info["blas"]
    if blas:
        library = os.path.basename(blas["path"])
        blas_line = f"{blas['name']} {blas['version']}, {blas['core']}, {library}"
    else:
        blas_line = f"none: {info['blas_error']}"
    others = [isa for isa in info["available_isas"] if isa != info["isa"]]
    rows = [
        ("laminet", f"{info['version']}, {info['compiler']}"),
        ("Python", f"{platform.python_version()}, {platform.python_implementation()}"),
        ("system", f"{platform.platform()}, {' '.join(platform.libc_ver()) or 'unknown libc'}"),
        ("CPU", f"{info['cpu']}, {platform.machine()}"),
        ("instruction set", f"{info['isa']}; also {', '.join(others) or 'none'}"),
        ("caches", "; ".join(map(_cache, probes.cache_levels())) or "unknown"),
        ("back end", info["backend"]),
        ("BLAS", blas_line),
        ("threads", _threads(info)),
        ("memory", f"{_memory()}; {_limits()}"),
        ("variables", ", ".join(_variables()) or "none of LAMINET_* and OMP_NUM_THREADS"),
        ("packages", _packages()),
    ]
    home = os.path.expanduser("~")  # stays as it is for a user who has none
    text = text_table(rows, text_columns=2)
    return text.replace(home, "~") if len(home) > 1 else text


def _cache(level: tuple[int, int, int]) -> str:
    number, nbytes, shared = level
    return f"L{number} {size(nbytes)}" + (f" for {shared} CPUs" if shared > 1 else "")


def _threads(info: dict[str, Any]) -> str:
    cpus = f"{os.cpu_count()} CPUs, {len(os.sched_getaffinity(0))} of them allowed"
    return f"{info['threads']} ({info['threads_source']}) of {cpus}"


def _memory() -> str:
    free = probes.available_memory()
    return f"{size(free)} free" if free else "unknown"


def _limits() -> str:
    limits = []
    for name, number in _LIMITS.items():
        soft, _ = resource.getrlimit(number)
        limits.append(f"{name} {'unlimited' if soft == resource.RLIM_INFINITY else size(soft)}")
    return ", ".join(limits)


def _variables() -> list[str]:
    names = sorted(name for name in os.environ if name.startswith("LAMINET_"))
    names += [name for name in ("OMP_NUM_THREADS",) if name in os.environ]
    return [f"{name}={os.environ[name]}" for name in names]


def _packages() -> str:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
