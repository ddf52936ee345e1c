"""Networks of any layers in files, for the tests: read as they are, and written again."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import safetensors.numpy
from variants import normal

import laminet as ln

UNIT = ln.Activation("gated", alpha=[0.1, -2.0, 1 / 3], beta=[1.0, -0.0, 5e-324])


def parts(path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description in a file, and the tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    text = json.loads(data[8 : 8 + length])["__metadata__"]["laminet"]
    return json.loads(text), safetensors.numpy.load(data)


def again(net: ln.MLP, tmp_path) -> ln.MLP:
    net.save(tmp_path / "net.safetensors")
    return ln.load(tmp_path / "net.safetensors")


def dense(n, m, activation="identity", dtype="float32"):
    return ln.Dense(normal((m, n), dtype), normal(m, dtype, 2), activation)


def every_kind() -> ln.MLP:
    vector = np.float32([1.5, -0.25, 2.0])
    within = [ln.LayerNorm(vector, vector), dense(3, 5, "relu"), ln.Dropout(0.25), dense(5, 3)]
    branches = [
        [],
        [ln.Select([2, 0, -1]), ln.RMSNorm()],
        [ln.Parallel([[dense(3, 2)], [dense(3, 2), ln.Activation("sin")]], "mean")],
    ]
    layers = [
        ln.Rescale(vector, -0.0, -np.inf, np.float32([0.5, np.inf, 1.0])),
        ln.Residual(within),
        UNIT,
        ln.Parallel(branches),
        ln.Select(slice(None, -1, 2)),
        dense(4, 4, ln.Activation("leaky_relu", alpha=[0.1, 0.2, 0.3, 0.4])),
    ]
    return ln.MLP(layers, in_features=3, feature_names=["a", "b", "c"])


def within(depth: int, innermost=None) -> ln.MLP:
    layer = innermost or ln.Activation("relu")
    for _ in range(depth):
        layer = ln.Residual([layer])
    return ln.MLP([layer], in_features=3)
