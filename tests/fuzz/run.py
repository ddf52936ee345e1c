"""Fuzz every reader of files and models for a while; fail if one answers in another way than words.

Usage: python tests/fuzz/run.py [--seconds 300] [--processes 2] [--seed N] [--only READER...]

Each reader of readers.py gets the same share of the time, in a process of its own. A case is made
of its reader, the seed and its number alone: the report of a failure names them, and

    python tests/fuzz/run.py --only READER --seed SEED --case NUMBER

does it again. The file of a case that failed stays in build/fuzz. A reader fails if it raises what
it may not, is ended by a signal, asks for more than 4 GiB or takes too long for one case.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import resource
import secrets
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "build" / "fuzz"
MEMORY = 4 * 2**30
MOST_FAILURES = 5


def readers_of(path: Path) -> ModuleType:
    """Return the module that knows the readers."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "python")]
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(case: int | None, seconds: float) -> Iterator[int]:
    """Return the numbers of the cases: the one that is asked for, or as many as there is time."""
    if case is not None:
        yield case
        return
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        yield number
        number += 1


def fuzz(arguments: argparse.Namespace, name: str) -> int:
    """Fuzz one reader in this process; print how often it read and refused; 0 if all was well."""
    reader: Any = readers_of(arguments.readers).READERS[name]()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    counts = {True: 0, False: 0}
    failures = 0
    for number in numbers(arguments.case, arguments.seconds):
        rng = random.Random(f"{name} {arguments.seed} {number}")
        suffix, data = reader.case(rng)
        # Left where it is if the process dies.
        path = arguments.folder / f"{name}-{arguments.seed}-{number}{suffix}"
        path.write_bytes(data)
        signal.alarm(arguments.longest)
        try:
            counts[reader.read(path)] += 1
        except Exception:
            failures += 1
            print(f"FAILED: {path}\n{traceback.format_exc()}", flush=True)
            if failures == MOST_FAILURES:
                break
        else:
            path.unlink()
        signal.alarm(0)
    print(f"{name}: {sum(counts.values())} cases, {counts[True]} read, {counts[False]} refused")
    if arguments.case is None and not failures and not all(counts.values()):
        print(f"FAILED: {name} was not tried: neither all nor none is to be refused")
        return 1
    return 1 if failures else 0


def run(arguments: argparse.Namespace, name: str, seconds: float) -> bool:
    """Fuzz one reader in another process, and print what it says; whether all was well."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    command += ["--seed", str(arguments.seed), "--folder", str(arguments.folder)]
    command += ["--readers", str(arguments.readers), "--longest", str(arguments.longest)]
    if arguments.case is not None:
        command += ["--case", str(arguments.case)]
    environment = {**os.environ, "LAMINET_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout
    if done.returncode < 0:
        left = ", ".join(str(p) for p in sorted(arguments.folder.glob(f"{name}-*")))
        slow = done.returncode == -signal.SIGALRM
        how = (
            f"took longer than {arguments.longest} s"
            if slow
            else f"ended by signal {-done.returncode}"
        )
        lines += f"FAILED: {name} {how}: {left}\n"
    elif done.returncode not in (0, 1) or not lines:
        lines += f"FAILED: {name} did not run:\n"
    if done.returncode != 0:
        lines += f"{done.stderr[-4000:]}\n"
        lines += f"again: {__file__} --only {name} --seed {arguments.seed} --case NUMBER\n"
    print(lines, end="", flush=True)
    return done.returncode == 0


def main() -> int:
    """Fuzz the readers that are asked for, by default all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300, help="for all of them")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, help="by default another each time")
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--longest", type=int, default=30, help="seconds for one case")
    parser.add_argument("--only", nargs="*", metavar="READER")
    parser.add_argument("--one", metavar="READER", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--readers", type=Path, default=HERE / "readers.py", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return fuzz(arguments, arguments.one)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in arguments.folder.glob("*"):
        path.unlink()
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(2**32)
    names = arguments.only or list(readers_of(arguments.readers).READERS)
    seconds = arguments.seconds * arguments.processes / len(names)
    print(f"seed {arguments.seed}, {len(names)} readers, {seconds:.0f} s each", flush=True)
    with ThreadPoolExecutor(arguments.processes) as pool:
        outcomes = list(pool.map(lambda name: run(arguments, name, seconds), names))
    print(f"fuzzing {'passed' if all(outcomes) else 'FAILED'}")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
