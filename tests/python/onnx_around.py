"""What the tests of what exporters put around a chain share: constants, models, comparison."""

from __future__ import annotations

import numpy as np
from frameworks import assert_agrees
from onnx import TensorProto, helper
from onnx_graphs import answer, model, node

import laminet as ln

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 4))
W = RNG.standard_normal((4, 6))
V = RNG.standard_normal((6, 6))
B = RNG.standard_normal(6)
CONSTANTS = {
    "w": W, "v": V, "b": B, "half": 0.5, "low": -0.4, "high": 0.7, "one": [1], "zero": [0],
    "two": [2], "three": [3], "six": [6], "big": [2**63 - 1], "back": [-1], "first": 0,
    "last": [-1], "some": [4, 0, 2], "sizes": [3, 3], "parts": [1, 2, 3], "mean": X.mean(0),
    "std": X.std(0), "u": RNG.standard_normal((3, 2)), "flat": [-1], "zeros": np.zeros(6),
    "shape22": [0, 2, 2], "rows4": [-1, 4], "t": RNG.standard_normal((2, 4)), "single": 2,
    "lows": np.linspace(-1, -0.2, 6), "highs": np.linspace(0.1, 1, 6),
}  # fmt: skip
LAYER = node("Gemm", "x,w,b", "z")


def double(nodes, outputs="y", shape=("batch", 4), inputs=(), **options):
    """A float64 model with the constants it uses; `inputs` are more inputs, by name and width."""
    used = {i for n in nodes for i in n.input} | set(outputs.split(","))
    held = {k: np.asarray(v) for k, v in CONSTANTS.items() if k in used}
    proto = model(nodes, held, list(shape), outputs, dtype="float64", **options)
    for name, width in inputs:
        info = helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", width])
        proto.graph.input.append(info)
    return proto


def check(proto, x=X, index=0, **options):
    net = ln.from_onnx(proto, **options)
    expected = answer(proto, x, index)
    samples = x.reshape(-1, net.in_features)
    assert_agrees(net, samples, expected.reshape(len(samples), net.out_features), folded=True)
    return net
