"""Each recipe of docs/how-to, on the engine that it is for: the same bits as one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recipes import ENGINES, MOST_LINES, NET, assert_scored, expected, recipes, run, table

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("page", ENGINES)
def test_recipes_are_short(page: str) -> None:
    for recipe in recipes(page):
        lines = recipe.splitlines()
        assert sum(1 for line in lines if line.strip()) <= MOST_LINES
        assert max(map(len, lines)) <= 100


def test_pandas() -> None:
    assert_scored(run("pandas")["scored"])


def test_polars() -> None:
    run("polars")
    assert_scored(pd.read_parquet("scored.parquet"))


def test_duckdb() -> None:
    assert_scored(run("duckdb")["scored"])


def test_duckdb_with_nulls_and_other_numbers() -> None:
    """As its page says: a NULL for a NULL; and integers and decimals are numbers."""
    names: dict[str, Any] = {}
    exec(recipes("duckdb")[0], names)
    values = "(VALUES (1, 2.5, 3), (1, NULL, 3)) AS t(a, b, c)"
    found = names["duckdb"].sql(f"SELECT predict(a, b, c) FROM {values}").fetchall()
    names["duckdb"].remove_function("predict")
    assert found == [(float(NET.predict([1, 2.5, 3])),), (None,)]


def test_dask_frames(dask_client: Any) -> None:
    names = run("dask")
    with names["client"]:
        assert names["scored"].npartitions > 1
        assert_scored(names["scored"].compute())
        assert_scored(pd.read_parquet("scored"))


def test_dask_arrays(dask_client: Any) -> None:
    run("dask", 1)
    assert np.load("scored.npy").tobytes() == expected().tobytes()


def test_ray_tasks(ray: Any) -> None:
    run("ray")
    assert_scored(pd.read_parquet("scored"))


def test_ray_actors(ray: Any) -> None:
    assert_scored(run("ray", 1)["scored"].to_pandas())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_spark(number: int, spark: Any) -> None:
    assert_scored(run("spark", number)["scored"].toPandas())


def test_spark_in_sql(spark: Any) -> None:
    """As the page says of the last recipe."""
    names = run("spark", 2)
    spark.udf.register("price", names["price"])
    spark.read.parquet("rows").createOrReplaceTempView("rows")
    scored = spark.sql("SELECT id, price(struct(a, b, c)) AS price FROM rows")
    assert_scored(scored.toPandas())


def test_larger_than_memory(folder: Path) -> None:
    """As the page of pandas says."""
    import laminet as ln

    done = ln.score(ln.load("net.safetensors"), "rows", "scored/", keep=["id"])
    assert done.rows == len(table())
    assert_scored(pd.read_parquet("scored"))
