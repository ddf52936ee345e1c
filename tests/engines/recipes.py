"""The recipes of docs/how-to as they stand on their pages, and a network with a table for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import laminet as ln

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
NAMES = ["a", "b", "c"]
LAYERS = ln.MLP.init([3, 32, 32, 1], "tanh", seed=0).layers
NET = ln.MLP(LAYERS, outputs=ln.Quantities(["price"]), feature_names=NAMES)

#: The pages whose recipes run here, and what each has of lines at most, blank ones apart.
ENGINES = ["dask", "distributed-training", "duckdb", "pandas", "polars", "ray", "spark"]
MOST_LINES = 10


def table() -> pd.DataFrame:
    """Features in another order than the network's, among other columns."""
    x = np.random.default_rng(0).standard_normal((4000, 3)).astype("f4")
    rows = {"id": np.arange(len(x)), "c": x[:, 2], "a": x[:, 0], "word": "text", "b": x[:, 1]}
    return pd.DataFrame(rows)


def expected() -> np.ndarray:
    """What one process gives."""
    return np.asarray(NET.predict(table()[NAMES].to_numpy()))


def recipes(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)


def run(page: str, number: int = 0) -> dict[str, Any]:
    """Run a recipe as a program does, and return its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(recipes(page)[number], f"{page}.md", "exec"), names)
    except Exception:
        if "client" in names:
            names["client"].close()
        raise
    finally:
        if "duckdb" in names:
            names["duckdb"].remove_function("predict")
    return names


def assert_scored(scored: pd.DataFrame, rows: int | None = None) -> None:
    """Fail unless the prices are those of one process, bit for bit, in the order of the ids."""
    found = scored.sort_values("id")
    assert found["id"].tolist() == list(range(4000 if rows is None else rows))
    price = found["price"].to_numpy()
    assert price.dtype == np.float32
    assert price.tobytes() == expected()[: len(price)].tobytes()
