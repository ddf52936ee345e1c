"""What the scripts that compare runtimes share: options, environment, a report's head and end."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import markdown
from runtimes import (
    FLOAT64_RUNTIMES,
    NARROW,
    NUMPY_OTHER,
    OTHER,
    RUNTIMES,
    TRAINING,
    AnyNetwork,
    versions,
)
from workers import Worker

ALL_RUNTIMES = tuple(dict.fromkeys((*RUNTIMES, *TRAINING)))


def parser(description: str | None, seconds: float, rounds: int) -> argparse.ArgumentParser:
    """Return the options that all have."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    result.add_argument("--network", help="only networks whose name contains this")
    result.add_argument("--batches", type=int, nargs="+", help="only these batches")
    result.add_argument(
        "--skip",
        nargs="+",
        default=[],
        choices=list(ALL_RUNTIMES),
        metavar="RUNTIME",
        help=f"leave out: {', '.join(ALL_RUNTIMES)}",
    )
    result.add_argument(
        "--against",
        type=_tree,
        metavar="PATH",
        help=f"compare with the laminet of another tree, as '{OTHER}': what PYTHONPATH would be",
    )
    result.add_argument("--seconds", type=float, default=seconds, help="a round of one runtime")
    result.add_argument("--rounds", type=int, default=rounds)
    result.add_argument("--json", help="where to write all figures")
    result.add_argument("--markdown", help="where to write the tables for a README")
    return result


def add_threads(to: argparse.ArgumentParser) -> None:
    """Add the option of how many CPUs each runtime is held to."""
    to.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))


def _tree(text: str) -> str:
    if not (Path(text) / "laminet" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"no package laminet in {text}")
    return text


def set_environment(threads: int | None) -> None:
    """Set what workers inherit: how many threads, or with None that each takes its default."""
    # Set on some machines for the sake of old builds; they hold a new OpenBLAS to older kernels.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    for pool in ("OMP", "OPENBLAS", "MKL", "LAMINET"):
        if threads is None:
            os.environ.pop(f"{pool}_NUM_THREADS", None)
        else:
            os.environ[f"{pool}_NUM_THREADS"] = str(threads)


def chosen_runtimes(options: argparse.Namespace, dtype: str = "float32") -> list[str]:
    """Those that are installed and not left out; the missing ones are named."""
    names = FLOAT64_RUNTIMES if dtype == "float64" else tuple(RUNTIMES)
    return _chosen((*names, *NARROW.get(getattr(options, "precision", None), ())), options)


def chosen_to_train(options: argparse.Namespace) -> list[str]:
    """As `chosen_runtimes`, those that train; all that train in float32 do so in float64 too."""
    narrow = {names[0] for precision, names in NARROW.items() if precision != options.precision}
    return _chosen(tuple(name for name in TRAINING if name not in narrow), options)


def _chosen(names: tuple[str, ...], options: argparse.Namespace) -> list[str]:
    installed = versions()
    missing = [n for n in names if n.split(" (")[0] not in installed]
    if missing:
        print("not installed, not compared:", ", ".join(missing), file=sys.stderr)
    skipped = {*missing, *options.skip}
    if not options.against:
        skipped.add(OTHER)
    if "NumPy" in skipped:
        skipped.add(NUMPY_OTHER)
    chosen = [n for n in names if n not in skipped]
    if not chosen:
        raise SystemExit("no runtime is left")
    return chosen


def chosen_cells(
    networks: Sequence[AnyNetwork], options: argparse.Namespace
) -> list[tuple[AnyNetwork, int]]:
    """Return networks and their batches, without those that the options leave out."""
    chosen = [
        (net, batch)
        for net in networks
        for batch in net.batches
        if (not options.network or options.network in net.name)
        and (not options.batches or batch in options.batches)
    ]
    if not chosen:
        raise SystemExit("no cell has this network and this batch")
    return chosen


def start_worker(
    name: str, options: argparse.Namespace, threads: int | None, dtype: str = "float32"
) -> Worker:
    """Start the process of a runtime, the other laminet's from its own tree."""
    return Worker(name, threads, dtype, options.against if name == OTHER else None)


def begin(kind: str, threads: int | None, dtype: str = "float32") -> dict[str, Any]:
    """Return the head of a report, and print it."""
    import laminet as ln

    info = ln.build_info()
    report: dict[str, Any] = {
        "kind": kind,
        "machine": {"cpu": info["cpu"], "isa": info["isa"]},
        "threads": threads,
        "dtype": dtype,
        "versions": versions(),
    }
    threads_text = "default numbers of threads" if threads is None else f"{threads} thread(s)"
    print(f"{report['machine']['cpu']}, {threads_text}, {dtype}")
    print(", ".join(f"{name} {version}" for name, version in report["versions"].items()) + "\n")
    return report


def machine() -> dict[str, Any]:
    """Measure peaks and bandwidths, now and here; what the user's cache keeps of them stays."""
    import laminet as ln

    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            result: dict[str, Any] = ln.machine(refresh=True).to_dict()
        finally:  # other libraries keep theirs there too
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before
    return result


def end(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Write what was asked for."""
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        Path(options.markdown).write_text(markdown.tables(report))
