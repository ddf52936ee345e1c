"""What is wrong with a table is said by the name of its column, whatever the engine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recipes import NAMES, NET, assert_scored, run, table

import laminet as ln

pytestmark = pytest.mark.usefixtures("folder")

Result = Callable[[dict[str, Any]], Any]


def scored(names: dict[str, Any]) -> Any:
    return names["scored"]


def written(names: dict[str, Any]) -> None:
    """What is in a file; the client of Dask is done with."""
    if "client" in names:
        names["client"].close()


def of_spark(names: dict[str, Any]) -> Any:
    return names["scored"].toPandas()


#: Page and recipe, the fixture of its engine, and how its result is asked for.
CASES = {
    "pandas": ("pandas", 0, None, scored),
    "polars": ("polars", 0, None, written),
    "duckdb": ("duckdb", 0, None, scored),
    "dask": ("dask", 0, "dask_client", written),
    "ray-tasks": ("ray", 0, "ray", written),
    "spark-pandas": ("spark", 0, "spark", of_spark),
    "spark-arrow": ("spark", 1, "spark", of_spark),
    "spark-udf": ("spark", 2, "spark", of_spark),
}


def refused(case: str, request: pytest.FixtureRequest) -> str:
    """Run a recipe that must fail, and return what it says."""
    page, number, engine, result = CASES[case]
    if engine:
        request.getfixturevalue(engine)
    with pytest.raises(Exception) as error:  # noqa: PT011  # each engine has its own class
        result(run(page, number))
    return str(error.value)


@pytest.mark.parametrize("case", CASES)
def test_a_column_that_is_missing(case: str, request: pytest.FixtureRequest) -> None:
    for path in Path("rows").iterdir():
        pd.read_parquet(path).drop(columns="b").to_parquet(path)
    assert re.search("""['"`]b['"`]""", refused(case, request))


@pytest.mark.parametrize("case", CASES)
def test_text_in_a_column_of_numbers(case: str, request: pytest.FixtureRequest) -> None:
    for path in Path("rows").iterdir():
        pd.read_parquet(path).assign(b="text").to_parquet(path)
    assert "a column without real numbers: 'b' (" in refused(case, request)


@pytest.mark.parametrize(
    "case", sorted(CASES.keys() - {"ray-tasks"})
)  # which takes longest to start
def test_a_table_without_rows(case: str, request: pytest.FixtureRequest) -> None:
    for path in Path("rows").iterdir():
        table()[:0].to_parquet(path)
    page, number, engine, result = CASES[case]
    if engine:
        request.getfixturevalue(engine)
    found = result(run(page, number))
    if found is None:
        there = [path for path in Path().glob("scored*") if path.exists()]
        found = pd.read_parquet(there[0]) if there else table()[:0]
    assert len(found) == 0


def killed_once(path: str) -> None:
    """End this process as the kernel does where memory is short, the first time."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
        os.kill(os.getpid(), signal.SIGKILL)


def scored_or_killed(part: pd.DataFrame, net: ln.MLP, path: str) -> pd.DataFrame:
    if len(part) > 1000:
        killed_once(path)
    return part.assign(price=net.predict(part[NAMES]))


def test_a_worker_of_dask_that_is_killed(dask_client: Any, folder: Path) -> None:
    import dask.dataframe as dd

    meta = table()[:0].assign(price=np.float32())
    rows = dd.read_parquet("rows")
    path = str(folder / "killed")
    assert_scored(rows.map_partitions(scored_or_killed, NET, path, meta=meta).compute())
    assert os.path.exists(path)


def test_a_worker_of_ray_that_is_killed(ray: Any, folder: Path) -> None:
    path = str(folder / "killed")
    rows = ray.data.read_parquet("rows")
    options = {"fn_kwargs": {"net": NET, "path": path}, "batch_format": "pandas"}
    assert_scored(rows.map_batches(scored_or_killed, batch_size=None, **options).to_pandas())
    assert os.path.exists(path)
