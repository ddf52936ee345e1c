"""`laminet.sklearn` beside `sklearn.neural_network`: seconds an epoch, and scores of many seeds.

    pip install '.[bench,sklearn]' && python bench/estimators.py --json estimators.json

Both on scikit-learn's defaults: Adam with 1e-3, batches of 200, an L2 of 1e-4, 100 hidden units.
Each library is a process of its own, held to as many CPUs as threads; they fit by turns, seed after
seed, `--epochs` epochs each, or with 0 as many as their defaults come to. A fit's seconds over its
epochs count, in the median over the seeds; scores are of samples that were not seen: their mean and
standard deviation over the seeds, the difference of both means and its error. To see that it runs:
`--rows 1000 --seeds 2`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import commandline
import markdown
import numpy as np
from workers import REST

LIBRARIES = ("laminet", "scikit-learn")
HIDDEN = 100  # scikit-learn's default


@dataclass(frozen=True)
class Case:
    """An estimator, and the data that it learns: made here, so that nothing is fetched."""

    estimator: str
    features: int
    outputs: int
    rows: int
    unseen: int = 5000

    @property
    def network(self) -> str:
        """The sizes, with hyphens between them."""
        return f"{self.features}-{HIDDEN}-{self.outputs}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return samples and labels or targets, those that nobody sees in training at the end."""
        rng = np.random.default_rng(0)
        rows = self.rows + self.unseen
        if self.outputs == 1:
            x = rng.standard_normal((rows, self.features))
            directions = rng.standard_normal((self.features, 3)) / np.sqrt(self.features)
            y = np.sin(x @ directions).sum(1) + 0.1 * rng.standard_normal(rows)
            return x.astype("float32"), y.astype("float32")
        # As of images: three patterns a class, between 0 and 1, most of each pixel's value noise.
        patterns = rng.random((3 * self.outputs, self.features), dtype="float32")
        which = rng.integers(0, len(patterns), rows)
        x = rng.standard_normal((rows, self.features), dtype="float32")
        x = np.clip(0.5 + 0.15 * (patterns[which] - 0.5) + 0.3 * x, 0, 1)
        return x, which % self.outputs


CASES = (
    Case("MLPClassifier", 784, 10, 60_000),
    Case("MLPRegressor", 20, 1, 20_000),
)


def fit(library: str, case: Case, seed: int, epochs: int) -> tuple[float, float]:
    """Return the seconds of an epoch and the score of a fit, in the process of the library."""
    module: Any
    if library == "laminet":
        import laminet.sklearn as module
    else:
        from sklearn import neural_network as module

    if case not in _DATA:
        _DATA[case] = case.data()
    x, y = _DATA[case]
    most = {"max_iter": epochs} if epochs else {}
    model = getattr(module, case.estimator)(**most, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some epochs do not converge is known
        begin = time.perf_counter()
        model.fit(x[: case.rows], y[: case.rows])
        seconds = time.perf_counter() - begin
    return seconds / model.n_iter_, float(model.score(x[case.rows :], y[case.rows :]))


_DATA: dict[Case, tuple[np.ndarray, np.ndarray]] = {}


def main() -> int:
    """Fit, print, write."""
    options = arguments()
    commandline.set_environment(options.threads)
    report = commandline.begin("estimators", options.threads)
    report |= {"epochs": options.epochs or "default", "cells": []}
    context = multiprocessing.get_context("spawn")
    pools = {
        library: ProcessPoolExecutor(1, context, _hold, (options.threads,)) for library in LIBRARIES
    }
    for case in CASES:
        if options.network in f"{case.estimator} {case.network}":
            rows = case.rows if options.rows is None else min(options.rows, case.rows)
            cell = measure(pools, replace(case, rows=rows), options)
            report["cells"].append(cell)
            print(line(cell), file=sys.stderr, flush=True)
    for pool in pools.values():
        pool.shutdown()
    if not report["cells"]:
        raise SystemExit("no case has this network")
    print(markdown.tables(report))
    commandline.end(report, options)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commandline.add_threads(parser)
    parser.add_argument("--network", default="", help="only what has this in its name or sizes")
    parser.add_argument("--epochs", type=int, default=10, help="of each fit; 0 for the defaults'")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--rows", type=int, help="learn from so many rows at most")
    parser.add_argument("--json", help="where to write all figures")
    parser.add_argument("--markdown", help="where to write the table for a README")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds wants at least 2: the error of the mean is that of several")
    if options.epochs < 0 or (options.rows is not None and options.rows < 10):
        parser.error("--epochs wants at least 0, and --rows at least 10")
    return options


def measure(
    pools: dict[str, ProcessPoolExecutor], case: Case, options: argparse.Namespace
) -> dict[str, Any]:
    """Let the libraries fit by turns."""
    for library, pool in pools.items():  # imports and data are not timed, nor is the first call
        pool.submit(fit, library, case, 0, 1).result()
    found: dict[str, list[tuple[float, float]]] = {library: [] for library in pools}
    for seed in range(options.seeds):
        for library, pool in pools.items():
            time.sleep(REST)
            found[library].append(pool.submit(fit, library, case, seed, options.epochs).result())
    libraries = {}
    for library, fits in found.items():
        scores = [score for _, score in fits]
        libraries[library] = {
            "epoch_s": statistics.median(seconds for seconds, _ in fits),
            "score": statistics.mean(scores),
            "score_sd": statistics.stdev(scores),
            "scores": scores,
        }
    ours, theirs = (libraries[library] for library in LIBRARIES)
    error = ((ours["score_sd"] ** 2 + theirs["score_sd"] ** 2) / options.seeds) ** 0.5
    return {
        "estimator": case.estimator,
        "network": case.network,
        "rows": case.rows,
        "libraries": libraries,
        "ratio": theirs["epoch_s"] / ours["epoch_s"],
        "score_difference": ours["score"] - theirs["score"],
        "score_difference_error": error,
    }


def line(cell: dict[str, Any]) -> str:
    """One row of the table."""
    text = f"{cell['estimator']:14} {cell['network']:11} {cell['rows']:>7,} rows "
    for library, of in cell["libraries"].items():
        text += f"  {library} {1e3 * of['epoch_s']:.4g} ms an epoch, score {of['score']:.4f}"
    text += f"  ratio {cell['ratio']:.2f}"
    difference, error = cell["score_difference"], cell["score_difference_error"]
    return f"{text}  scores differ by {difference:+.4f} ± {error:.4f}"


def _hold(threads: int) -> None:
    """Keep the process on so many CPUs."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    sys.exit(main())
