"""Training on workers of Dask: the same bits for 1, 2 and 4 of them, and nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recipes import LAYERS, NAMES, run, table

import laminet as ln

NET = ln.MLP(LAYERS, outputs=ln.Quantities(["y"]), feature_names=NAMES)
OPTIONS = {"batch_size": 512, "epochs": 3, "seed": 0, "optimizer": ln.optim.AdamW(0.01)}
BOUNDS = [0, 500, 500, 1700, 2000, 2600, 4000]


def load(number: int) -> Any:
    """A part; another function makes it than the one that learns from it."""
    rows = table()[BOUNDS[number] : BOUNDS[number + 1]]
    return rows[NAMES], np.sin(rows["a"] + rows["b"] * rows["c"])


def parts(client: Any) -> list[Any]:
    return list(client.map(load, range(len(BOUNDS) - 1), pure=False))


def made_by(workers: int) -> ln.MLP:
    """What so many workers make, threads of this process."""
    from dask.distributed import Client, LocalCluster

    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        return ln.distributed.fit(client, NET, parts(client), **OPTIONS).network


@pytest.fixture(scope="module")
def alone(place: Path) -> ln.MLP:
    return made_by(1)


def test_two_workers(dask_client: Any, alone: ln.MLP) -> None:
    fit = ln.distributed.fit(dask_client, NET, parts(dask_client), **OPTIONS)
    assert fit.network == alone
    assert fit.history.loss[-1] < fit.history.loss[0]


def test_four_workers(alone: ln.MLP) -> None:
    assert made_by(4) == alone


def test_a_worker_that_is_killed(dask_client: Any, alone: ln.MLP) -> None:
    before = dask_client.run(os.getpid)

    def kill(epoch: ln.training.Epoch) -> None:
        if epoch.number == 1:
            os.kill(next(iter(before.values())), signal.SIGKILL)

    fit = ln.distributed.fit(dask_client, NET, parts(dask_client), callbacks=kill, **OPTIONS)
    assert fit.network == alone
    dask_client.wait_for_workers(2)


def test_what_no_function_makes_again(dask_client: Any) -> None:
    """Parts that were sent as data are gone with the workers that held them."""
    pids = dask_client.run(os.getpid)
    given = dask_client.scatter([load(0), load(2)])
    networks = []

    def kill(epoch: ln.training.Epoch) -> None:
        networks.append(epoch.network)
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ln.TrainingError, match=r"a part cannot be computed in step 5: it is lost"):
        ln.distributed.fit(dask_client, NET, given, callbacks=kill, **OPTIONS)
    assert len(networks) == 1
    dask_client.wait_for_workers(2)


def test_a_part_that_is_no_table(dask_client: Any) -> None:
    given = [*parts(dask_client), dask_client.submit(load, 0, pure=False)]
    given[3] = dask_client.submit(lambda: (table()[["a", "b"]], table()["c"]), pure=False)
    with pytest.raises(ValueError, match=r"parts\[3\]: "):
        ln.distributed.fit(dask_client, NET, given, **OPTIONS)
    given[3] = dask_client.submit(lambda: (table()[["a", "b", "word"]], table()["c"]), pure=False)
    with pytest.raises(TypeError, match=r"parts\[3\]: X has a column without real .*: 'word'"):
        ln.distributed.fit(dask_client, NET, given, **OPTIONS)


def test_the_recipe(dask_client: Any, folder: Path) -> None:
    for path in Path("rows").iterdir():
        rows = pd.read_parquet(path)
        rows.assign(y=np.sin(rows["a"])).to_parquet(path)
    names = run("distributed-training")
    names["client"].close()
    assert names["fit"].history.loss[-1] < names["fit"].history.loss[0]
    assert ln.load("trained.safetensors") == names["fit"].network
