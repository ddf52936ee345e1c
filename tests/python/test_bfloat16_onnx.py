"""Networks of bfloat16 in ONNX: what ONNX Runtime computes of them, and what is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from compare import assert_close
from variants import same_bits

import laminet as ln
from laminet import reference
from laminet.analysis.error_bound import error_bound


def _run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def test_onnx_runtime_rounds_what_a_product_reads(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    net = ln.MLP([ln.Dense(np.float32([[1.0, 2.0]])), ln.Dense(np.float32([[1.0]]))])
    ln.to_onnx(net.with_precision("bfloat16"), path)
    x = np.float32([[257.0, 1.001], [1.0, 128.5]])
    # 256 and 1 in the first layer, the even neighbours; in the second 258 stays, and 257 is 256.
    np.testing.assert_array_equal(_run(path, x), np.float32([[258.0], [256.0]]))
    np.testing.assert_array_equal(net.with_precision("bfloat16")(x), _run(path, x))
    assert not same_bits(net(x), _run(path, x))


def test_results_are_within_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    net = ln.MLP.init([70, 90, 30, 5], "relu", seed=0).with_precision("bfloat16")
    x = np.random.default_rng(0).standard_normal((20, 70)).astype(np.float32)
    ln.to_onnx(net, path)
    exact, bound = reference.forward(net, x), error_bound(net, x)
    assert_close(_run(path, x), exact, bound)
    # Sums in another order, and now and then another rounding of what comes of it.
    assert np.abs(_run(path, x) - net(x)).max() < 2.0**-8 * np.abs(exact).max()


@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16_weights"])
def test_comes_back_equal(tmp_path: Path, precision: Any) -> None:
    path = tmp_path / "net.onnx"
    layers = ln.MLP.init([6, 8, 3], "relu", seed=0).layers
    for net in (
        ln.MLP(layers),
        ln.MLP([ln.Residual([ln.Dense(np.eye(6))]), *layers], head="softmax"),
    ):
        narrow = net.astype("float32").with_precision(precision)
        ln.to_onnx(narrow, path)
        again = ln.from_onnx(path)
        assert again == narrow
        assert again.precision == precision
        casts = [node for node in onnx.load(path).graph.node if node.op_type == "Cast"]
        dense = [node for node in onnx.load(path).graph.node if node.op_type == "Gemm"]
        assert len(casts) == (2 * len(dense) if precision == "bfloat16" else 0)
