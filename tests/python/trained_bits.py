"""Networks that are trained for a while, and the hash of their bits: see test_trained_bits.py.

    python tests/python/trained_bits.py     # write trained_bits.json, where bits change on purpose

The file was written by a build of GCC 12 on AVX2. Data is that of golden_bits.py, the same on every
machine. No learning rate goes along a cosine, which is a matter of the C library. So are the powers
by which Adam corrects its moments, but each of them has a double that is nearest, and C libraries
of today find it nearly always.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from golden_bits import digest, dyadic, layers

import laminet as ln
from laminet import reference

FILE = Path(__file__).with_suffix(".json")
ROWS, EPOCHS, BATCH = 150, 3, 32


def chain(dtype: str) -> ln.MLP:
    return ln.MLP(layers("tanh", dtype))


def blocks(dtype: str) -> ln.MLP:
    """A layer of each kind that has something to learn, and Dropout."""
    first, second, third = layers("gelu", dtype)
    inner = ln.Dense(dyadic((37, 37), 31, dtype) / 8, None, "silu")
    alpha = dyadic((37,), 32, dtype) / 4
    return ln.MLP(
        [
            first,
            ln.Dropout(0.25),
            second,
            ln.Residual([ln.LayerNorm(np.ones(37, dtype), np.zeros(37, dtype)), inner]),
            ln.Activation("leaky_relu", alpha),
            ln.Parallel([[ln.RMSNorm(np.ones(37, dtype))], []], join="mean"),
            third,
        ]
    )


OPTIMIZERS = {
    "sgd": ln.optim.SGD(1 / 64, momentum=0.875, nesterov=True, weight_decay=1 / 64),
    "adam": ln.optim.Adam(1 / 256, clip_norm=0.5, average=0.75),
    "adamw": ln.optim.AdamW(1 / 256, schedule=ln.optim.schedules.WarmUp(5)),
    "muon": ln.optim.Muon(1 / 64, clip_norm=0.5, weight_decay=1 / 64),
}


def targets(loss: str, outputs: int, dtype: str) -> np.ndarray:
    y = dyadic((ROWS, outputs), 40, dtype)
    if loss == "cross_entropy":
        return y.argmax(axis=1)
    return (y > 0).astype(dtype) if loss == "binary_cross_entropy" else y


def compute() -> dict[str, str]:
    """Return the hash of every trained network, and of the losses on the way there."""
    found = {}
    for dtype in ("float32", "float64"):
        for made in (chain, blocks):
            net = made(dtype)
            x = dyadic((ROWS, net.in_features), 41, dtype)
            for loss in ("squared_error", "cross_entropy", "binary_cross_entropy"):
                for name, optimizer in OPTIMIZERS.items():
                    trainer = ln.Trainer(net, loss, optimizer, seed=5)
                    y = targets(loss, net.out_features, dtype)
                    losses = [trainer.epoch(x, y, BATCH) for _ in range(EPOCHS)]
                    learnt = reference.parameters(trainer.network).values()
                    assert trainer.network != net
                    key = f"{dtype} {made.__name__} {loss} {name}"
                    found[key] = digest(*learnt, np.array(losses))
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(compute(), indent=1) + "\n")
