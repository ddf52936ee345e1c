"""Every kind of layer that a user can write, and one example of each."""

from __future__ import annotations

import numpy as np

import laminet as ln
from laminet.core.layers.layer import Layer

#: By name, whatever `laminet` offers: a new kind is in it by itself.
KINDS = {
    name: kind
    for name, kind in vars(ln).items()
    if isinstance(kind, type) and issubclass(kind, Layer)
}

#: Of four features; every number that a kind takes is there, where it may be left out.
FEATURES = 4
ROW = np.array([0.5, -1.5, 1.0, 2.0])
_RELU = ln.Activation("relu")
EXAMPLES: dict[str, Layer] = {
    "Activation": ln.Activation("leaky_relu", alpha=ROW),
    "Dense": ln.Dense(np.arange(12.0).reshape(3, 4) / 8 - 0.5, ROW[:3], "tanh"),
    "Dropout": ln.Dropout(0.25),
    "LayerNorm": ln.LayerNorm(ROW, ROW[::-1]),
    "Parallel": ln.Parallel([[], [_RELU]]),
    "RMSNorm": ln.RMSNorm(ROW),
    "Rescale": ln.Rescale(2.0, ROW, -1.0, 1.5),
    "Residual": ln.Residual([_RELU]),
    "Select": ln.Select([2, 0, 2]),
}
