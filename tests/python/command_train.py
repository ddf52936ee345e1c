"""What the tests of ``laminet train`` share: a table in a folder, and the command run over it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from laminet.cli import main

ROWS = 400


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv("t.csv")


def write_csv(path: str, *, code: bool = False) -> None:
    """Write color, size, age, w, price and kind; a price that is no sum of functions of columns."""
    random = np.random.default_rng(5)
    color = random.choice(["red", "green", "light blue"], ROWS)
    size = random.choice(["L", "S"], ROWS)
    age = random.integers(18, 80, ROWS)
    w = random.uniform(-2, 2, ROWS).round(3)
    price = 20 * (color == "red") * (size == "L") + age / 10 + 10 * w**2
    kind = np.where(price > np.median(price), "high", "low")
    columns = {"color": color, "size": size, "age": age, "w": w}
    columns["price"] = (price + random.standard_normal(ROWS)).round(2)
    columns["kind"] = kind
    if code:
        columns["code"] = np.where(kind == "high", 3, 7)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def train(
    capsys: pytest.CaptureFixture[str], target: str, *options: str, source: str = "t.csv"
) -> str:
    """Train ``net.safetensors``; of the price without the kind, which is made of it."""
    if not {"--ignore", "--columns"} & set(options) and source == "t.csv" and target == "price":
        options = (*options, "--ignore", "kind")
    capsys.readouterr()
    command = ["train", source, "--target", target, "-o", "net.safetensors", *options]
    assert main(command) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def rows_of_csv(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
