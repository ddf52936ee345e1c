"""A network with a layer of every kind."""

from __future__ import annotations

import numpy as np
from variants import normal

import laminet as ln

F4 = np.float32


def dense(n: int, m: int, activation: str = "identity", dtype: type = F4) -> ln.Dense:
    return ln.Dense(normal((m, n), dtype), normal(m, dtype), activation)


def every_kind(dtype: type = F4) -> list:
    ones = np.ones(4, dtype)
    return [
        ln.Rescale(2.0, ones, -1.0, None),
        ln.LayerNorm(ones, 2 * ones),
        ln.RMSNorm(ones, eps=0.5),
        ln.Select([3, 0, -2, 0]),
        ln.Select(slice(None, None, -1)),
        ln.Residual([dense(4, 4, "tanh", dtype), ln.Dropout(0.25)]),
        ln.Parallel([[], [dense(4, 2, dtype=dtype), ln.Activation("relu")]]),
        ln.Dropout(0.5),
        ln.Activation("leaky_relu", alpha=np.arange(6.0)),
    ]


def network(dtype: type = F4, **named) -> ln.MLP:
    return ln.MLP(
        [dense(3, 4, "tanh", dtype), *every_kind(dtype), dense(6, 5, dtype=dtype)], **named
    )
