"""What the tests of ``laminet predict`` share: a network, its samples, and a folder with both."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import samples

import laminet as ln
from laminet.cli import main

LAYERS = ln.MLP.init([3, 4, 3], "tanh", seed=0).layers
X = samples(40)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)


def saved(outputs: Any, last: str = "identity", n: int = 3, **more: Any) -> ln.MLP:
    layer = LAYERS[1]
    layers = [LAYERS[0], ln.Dense(layer.weight[:n], np.full(n, 0.1, "f4"), last)]
    net = ln.MLP(layers, outputs=outputs, **more)
    net.save("net.safetensors")
    return net


def predict(target: str, *options: str, source: str = "x.npy") -> None:
    assert main(["predict", "net.safetensors", source, "-o", target, *options]) == 0


def rows_of_csv(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
