"""Engines started locally, once for all tests, and a table for them in a folder of files.

Each engine has its processes: two of Dask, Ray's workers on two CPUs, Spark's JVM with its Python
workers. What they import laminet from is where these tests have it from.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipes import NAMES, NET, table

import laminet as ln

WORKERS = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Engines warn of themselves and of each other; what laminet warns of is an error."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"), append=False)
        item.add_marker(pytest.mark.filterwarnings("error:::laminet"))


@pytest.fixture(scope="session", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all happens, worker processes too, which find this Python and this laminet."""
    place = tmp_path_factory.mktemp("place")
    own = {
        "PYTHONPATH": os.pathsep.join([str(Path(ln.__file__).parents[1]), *sys.path]),
        "PYTHONWARNINGS": "ignore",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        patch.delenv("LAMINET_NUM_THREADS", raising=False)
        patch.chdir(place)
        yield place


@pytest.fixture
def folder(place: Path) -> Path:
    """The place with a network, a table in files of which one is empty, and its features."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    NET.save("net.safetensors")
    os.mkdir("rows")
    bounds = [0, 1000, 1000, 1700, 4000]
    for i, (begin, end) in enumerate(itertools.pairwise(bounds)):
        table()[begin:end].to_parquet(f"rows/{i}.parquet", index=False)
    np.save("rows.npy", table()[NAMES].to_numpy())
    return place


@pytest.fixture(scope="session")
def dask_client(place: Path) -> Iterator[Any]:
    """Two processes of one thread each; what says ``Client()`` finds them."""
    import dask
    from dask.distributed import Client, LocalCluster

    for name in ("distributed", "distributed.nanny", "distributed.worker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # workers die here
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def ray(place: Path) -> Iterator[Any]:
    import ray

    os.environ.pop("OMP_NUM_THREADS", None)  # which Dask's nanny leaves in its own process
    ray.init(
        num_cpus=WORKERS + 1,  # actors keep theirs, and reading takes one
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def spark(place: Path) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ.pop("OMP_NUM_THREADS", None)
    options = {
        "spark.ui.enabled": "false",
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "2",
        # A JVM that is to live for seconds.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.driver.memory": "1g",
    }
    builder = SparkSession.builder.master(f"local[{WORKERS}]")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
