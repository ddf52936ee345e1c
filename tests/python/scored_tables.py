"""What the tests of `ln.score` share: a network, its samples, and files of them in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import laminet as ln

NAMES = ["a", "b", "c"]
LAYERS = ln.MLP.init([3, 5, 2], "tanh", seed=0).layers
NET = ln.MLP(LAYERS, outputs=ln.Classes(["no", "yes"]), feature_names=NAMES)
X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
IDS = [f"row {i}" for i in range(len(X))]


def table(begin: int = 0, end: int = len(X), **more: Any) -> pa.Table:
    """Rows of X and IDS, in another order of columns."""
    x = X[begin:end]
    columns = {"id": IDS[begin:end], "c": x[:, 2], "b": x[:, 1].astype("f8"), "a": x[:, 0]}
    return pa.table({**columns, **more})


def write(path: str | Path, content: pa.Table, rows: int = 7) -> None:
    """Write a table in the format that the path ends in, in groups of so many rows."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    kind = Path(path).suffix
    if kind == ".parquet":
        pq.write_table(content, path, row_group_size=rows)
    elif kind in (".arrow", ".feather", ".ipc"):
        with pa.ipc.new_file(path, content.schema) as writer:
            writer.write_table(content, max_chunksize=rows)
    elif kind == ".csv":
        names = content.column_names
        lines = [
            ",".join(map(repr_of, row)) for row in zip(*content.to_pydict().values(), strict=True)
        ]
        Path(path).write_text("\n".join([",".join(names), *lines]) + "\n")
    else:
        columns = [content[name].to_numpy() for name in NAMES]
        np.save(path, np.stack(columns, 1).astype(np.float32))


def repr_of(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(float(value))


def read(path: str | Path) -> dict[str, list[Any]]:
    """The columns of a file of Parquet, Arrow or text, or of a folder of Parquet."""
    kind = Path(path).suffix
    if kind == ".csv":
        heading, *rows = [line.split(",") for line in Path(path).read_text().splitlines()]
        return {name: [row[i] for row in rows] for i, name in enumerate(heading)}
    found = pq.read_table(path) if kind in (".parquet", "") else pa.ipc.open_file(path).read_all()
    result: dict[str, list[Any]] = found.to_pydict()
    return result
