"""`ln.score` over a file of Parquet, against what pyarrow alone takes to read and write the same.

python bench/score.py --rows 10000000

Both read all columns and write the result's alone, or all of them and the result. They take turns;
medians count, and their ratio to laminet's. Memory is the peak of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import laminet as ln

FEATURES = 20
NAMES = [f"x{i}" for i in range(FEATURES)]
#: Rows of a batch that pyarrow reads: its own default.
BATCH = 2**17


def network() -> ln.MLP:
    layers = ln.MLP.init([FEATURES, 64, 64, 1], activation="relu", seed=0).layers
    return ln.MLP(layers, outputs=ln.Quantities(["y"]), feature_names=NAMES)


def numbers(rows: int) -> Iterator[np.ndarray[Any, Any]]:
    """Row groups as pyarrow makes them by default."""
    rng = np.random.default_rng(0)
    for begin in range(0, rows, 2**20):
        yield rng.standard_normal((min(2**20, rows - begin), FEATURES), dtype=np.float32)


def make(path: Path, rows: int) -> None:
    schema = pa.schema([(name, pa.float32()) for name in NAMES])
    with pq.ParquetWriter(path, schema) as writer:
        for x in numbers(rows):
            writer.write_table(pa.table(list(np.ascontiguousarray(x.T)), names=NAMES))


def copied(source: Path, target: Path, columns: list[str], dictionary: bool) -> None:
    """Read a file and write columns of it, with pyarrow alone."""
    table = ds.dataset(source)
    schema = pa.schema([table.schema.field(name) for name in columns])
    with pq.ParquetWriter(target, schema, use_dictionary=dictionary) as writer:
        waiting: list[Any] = []
        for batch in table.to_batches(batch_size=BATCH):
            waiting.append(batch.select(columns))
            if sum(map(len, waiting)) >= 2**20:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))


def check(target: Path, rows: int) -> None:
    """Compare the result with the network's, bit for bit."""
    expected = np.concatenate([network()(x)[:, 0] for x in numbers(rows)])
    found = pq.read_table(target, columns=["y"])["y"].to_numpy()
    if found.tobytes() != expected.tobytes():
        raise SystemExit("the result is not that of the network")


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of all CPUs."""
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - cpu


def peak(source: Path, target: Path, keep: list[str]) -> float:
    """Megabytes of a process that scores."""
    code = "import sys, score; score.alone(*sys.argv[1:])"
    arguments = [str(source), str(target), *keep]
    command = [sys.executable, "-c", code, *arguments]
    folder = Path(__file__).parent
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder)
    return float(result.stdout)


def alone(source: str, target: str, *keep: str) -> None:
    """Print what memory it takes."""
    ln.score(network(), source, target, keep=keep)
    # Of resource.getrusage, part would be of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(float(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--folder", help="where files go (default: the temporary folder)")
    arguments = parser.parse_args()
    net = network()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name).resolve()
        source, copy, target = (folder / f"{n}.parquet" for n in ("x", "copy", "y"))
        make(source, arguments.rows)
        print(f"{arguments.rows:,} rows x {FEATURES}, {source.stat().st_size / 1e6:.0f} MB")
        for what, keep in (("the result", []), ("all and the result", NAMES)):
            sides: dict[str, Callable[[], Any]] = {
                "pyarrow": lambda k=keep: copied(source, copy, k or NAMES[:1], True),
                "without dictionaries": lambda k=keep: copied(source, copy, k or NAMES[:1], False),
                "laminet": lambda k=keep: ln.score(net, source, target, keep=k),
            }
            times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(arguments.turns):
                for side, call in sides.items():
                    times[side].append(timed(call))
            check(target, arguments.rows)
            clock, cpu = (
                {side: statistics.median(t[i] for t in found) for side, found in times.items()}
                for i in (0, 1)
            )
            memory = peak(source, target, keep)
            print(f"read all, write {what}: {memory:.0f} MB")
            for side, seconds in clock.items():
                ratio = seconds / clock["laminet"]
                print(f"  {side}: {seconds:.3f} s, {cpu[side]:.3f} of CPUs; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
