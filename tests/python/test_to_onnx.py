"""to_onnx: ONNX Runtime and the checker take what it writes, and agree."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from frameworks import assert_agrees
from onnx_graphs import answer
from variants import ACTIVATION_CASES, normal, random_net, same_bits

import laminet as ln


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_runtime_agrees(activation, head, dtype, tmp_path):
    net = random_net([5, 7, 3], [activation, activation], dtype=dtype)
    net = ln.MLP([*net.layers, ln.Dense(normal((2, 3), dtype))], head=head)
    path = tmp_path / "net.onnx"
    if dtype == "float64" and activation.name == "gelu":
        with pytest.raises(ValueError, match=r"ONNX Runtime has no erf in float64, and so no gelu"):
            ln.to_onnx(net, path)
        assert not path.exists()
        return
    ln.to_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    x = 3 * normal((40, 5), dtype)
    expected = answer(str(path), x)
    assert expected.dtype == dtype
    assert_agrees(net, x, expected, folded=dtype == "float64")
    again = ln.from_onnx(path)
    assert again.dtype == dtype
    assert again.head == head
    assert_agrees(again, x, expected, folded=dtype == "float64")
    # hard_sigmoid's clip and selu's scale are folded in float64, which ONNX Runtime lacks.
    if dtype == "float32" or activation.name not in ("hard_sigmoid", "selu"):
        assert len(again.layers) == len(net.layers)
        for layer, written in zip(again.layers, net.layers, strict=True):
            assert same_bits(np.array(layer.weight), np.array(written.weight))
            assert same_bits(np.array(layer.bias), np.array(written.bias)) or layer.bias is None


def test_large_inputs_do_not_overflow(tmp_path):
    """softplus, elu and selu of 1000 in float64 are spelled out, and stay what they are."""
    for name in ("softplus", "elu", "selu", "mish", "leaky_relu"):
        net = ln.MLP([ln.Dense(np.eye(2), activation=name)])
        ln.to_onnx(net, tmp_path / "net.onnx")
        x = np.array([[1000.0, -1000.0], [800.0, -0.001]])
        given = answer(str(tmp_path / "net.onnx"), x)
        np.testing.assert_allclose(net(x), given, rtol=1e-12, atol=1e-15)


def test_no_bias_one_layer_and_one_number(tmp_path):
    net = ln.MLP([ln.Dense(np.float32([[2.0]]), activation="relu")])
    ln.to_onnx(net, tmp_path / "net.onnx")
    x = np.float32([[-1.0], [3.0]])
    assert answer(str(tmp_path / "net.onnx"), x).tolist() == [[0.0], [6.0]]
    assert ln.from_onnx(tmp_path / "net.onnx") == net
    assert answer(str(tmp_path / "net.onnx"), np.zeros((0, 1), "f4")).shape == (0, 1)


def test_the_file_is_complete_or_absent(tmp_path):
    net = random_net([5, 7, 3])
    ln.to_onnx(net, tmp_path / "a.onnx")
    ln.to_onnx(net, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    with pytest.raises(FileNotFoundError):
        ln.to_onnx(net, tmp_path / "none" / "net.onnx")
    with pytest.raises(TypeError, match="net must be an MLP, got list"):
        ln.to_onnx([net], tmp_path / "c.onnx")
    assert sorted(os.listdir(tmp_path)) == ["a.onnx", "b.onnx"]
