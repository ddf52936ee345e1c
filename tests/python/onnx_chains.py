"""What the tests of chains in ONNX share: weights, models in float64, and how they are compared."""

from __future__ import annotations

import numpy as np
from frameworks import assert_agrees
from onnx_graphs import answer, model

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4))
W = RNG.standard_normal((4, 3))  # (in, out), as MatMul takes it
SQUARE = RNG.standard_normal((4, 4))
B = RNG.standard_normal(3)


def check(proto, x=X, *, shape=None, **options):
    """Compare in float64; a float32 model is compared with the float64 weights it has."""
    net = ln.from_onnx(proto, **options)
    expected = answer(proto, x)
    samples = x.reshape(len(x), -1) if x.ndim > 1 else x
    assert_agrees(net, samples, expected.reshape(net(samples).shape), folded=True)
    return net


def double(nodes, constants, shape=("batch", 4), **options):
    arrays = {k: np.asarray(v) for k, v in constants.items()}
    return model(nodes, arrays, shape, dtype="float64", **options)
