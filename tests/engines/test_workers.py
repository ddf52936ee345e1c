"""Each worker packs a network once, and N workers on N CPUs do not start N times N threads."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recipes import NAMES, table

import laminet as ln

pytestmark = pytest.mark.usefixtures("folder")

#: In parts of so many rows a call of it takes all threads that it may have.
BIG = ln.MLP.init([3, 256, 256, 1], seed=0)
PARTS = 8
SCHEMA = "id long, pid long, call long, packs long, threads long"


def seen(part: pd.DataFrame, net: ln.MLP) -> pd.DataFrame:
    """What a call finds: its process, whether it has to pack the network, and its threads."""
    packed = sum(row.now for row in net.summary().memory if row.kind == "packed") > 0
    net(part[NAMES])
    return part[["id"]].assign(
        pid=os.getpid(),
        call=time.monotonic_ns(),
        packs=int(not packed),
        threads=net.plan(len(part)).threads,
    )


def rows() -> pd.DataFrame:
    """So many tasks, with the number of each in the column "id"."""
    parts = [table().assign(id=i) for i in range(PARTS)]
    return pd.concat(parts, ignore_index=True)


def assert_once_each(found: pd.DataFrame, threads: int = 1) -> None:
    """Fail unless each process packed the network once, and each call had so many threads."""
    calls = found.drop_duplicates("call")
    assert len(found) == len(rows())
    assert set(calls["threads"]) == {threads}
    assert set(calls.groupby("pid")["packs"].sum()) == {1}


def test_dask(dask_client: Any) -> None:
    import dask.dataframe as dd

    parts = dd.from_pandas(rows(), npartitions=PARTS)
    found = parts.map_partitions(seen, BIG, enforce_metadata=False).compute()
    assert found["pid"].nunique() == 2
    assert_once_each(found)


class Scorer:
    """An actor's network."""

    def __init__(self, net: ln.MLP) -> None:
        self.net = net

    def __call__(self, part: pd.DataFrame) -> pd.DataFrame:
        return seen(part, self.net)


def test_ray(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the one that starts first may have done all before the other is there.
    context = ray.data.DataContext.get_current()
    monkeypatch.setattr(context, "wait_for_min_actors_s", 60)
    parts = ray.data.from_pandas([part for _, part in rows().groupby("id")])
    actors = ray.data.ActorPoolStrategy(size=2)
    options = {"fn_constructor_args": [BIG], "batch_format": "pandas", "batch_size": None}
    found = parts.map_batches(Scorer, compute=actors, **options).to_pandas()
    assert found["pid"].nunique() == 2
    assert_once_each(found)


def test_tasks_of_ray_that_have_more_cpus(ray: Any) -> None:
    """Each says so, as the page tells: its process may have served others before."""

    @ray.remote
    def threads(asked: int | None) -> tuple[str | None, int]:
        with contextlib.nullcontext() if asked is None else ln.num_threads(asked):
            return os.environ.get("OMP_NUM_THREADS"), BIG.plan(4000).threads

    assert ray.get(threads.remote(None)) == ("1", 1)
    assert ray.get(threads.options(num_cpus=2).remote(2)) == ("2", 2)
    assert ray.get(threads.remote(None)) == ("1", 1)


def test_spark(spark: Any) -> None:
    shared = spark.sparkContext.broadcast(BIG)

    def score(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            yield seen(part, shared.value)

    parts = spark.createDataFrame(rows()).repartition(PARTS, "id")
    assert_once_each(parts.mapInPandas(score, SCHEMA).toPandas())


def test_dask_without_a_nanny() -> None:
    """Two tasks at a time in one process share one team, of at most as many threads as CPUs."""
    code = f"""
import os, sys, threading
import numpy as np
import laminet as ln
from dask.distributed import Client

net = ln.MLP.init({list(BIG.sizes)}, seed=0)
x = np.zeros((20_000, 3), "f4")
sys.both = threading.Barrier(2)  # where a task that has been through a pickle finds it

def task(i):
    sys.both.wait()
    return [net(x).shape for _ in range(10)][0]

def native():
    return len(os.listdir("/proc/self/task")) - threading.active_count()

if __name__ == "__main__":
    options = {{"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}}
    with Client(processes=False, **options) as client:
        assert ln.get_num_threads() == len(os.sched_getaffinity(0))
        before = native()
        assert client.gather(client.map(task, range(2))) == [(20_000, 1)] * 2
        print(native() - before)
"""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= len(os.sched_getaffinity(0)) - 1


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_search_of_scikit_learn_in_workers(engine: str, request: pytest.FixtureRequest) -> None:
    import joblib
    from sklearn.model_selection import GridSearchCV

    from laminet.sklearn import MLPRegressor

    if engine == "ray":
        request.getfixturevalue("ray")
        from ray.util.joblib import register_ray

        register_ray()
    else:
        request.getfixturevalue("dask_client")

    def threads(estimator: Any, x: Any, y: Any) -> float:
        estimator.predict(x)
        return float(ln.get_num_threads())

    x = table()[NAMES].to_numpy()[:200]
    model = MLPRegressor(hidden_layer_sizes=[8], max_iter=2, random_state=0)
    with joblib.parallel_config(engine, n_jobs=2):
        search = GridSearchCV(model, {"alpha": [0.0, 1e-3]}, cv=2, scoring=threads).fit(x, x[:, 0])
    assert search.cv_results_["mean_test_score"].tolist() == [1, 1]
    assert np.isfinite(search.predict(x)).all()
