"""What is folded into a layer and is then too large for its dtype is refused, whoever wrote it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx_graphs import model, node
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import laminet as ln

TORCH = {"float32": torch.float32, "float64": torch.float64}
# A weight and a scale, both finite in the dtype, whose product is not.
LARGE = {"float32": (1e10, 1e30), "float64": (1e200, 1e200)}


def linear(n_in, n_out, value, dtype):
    layer = nn.Linear(n_in, n_out).to(TORCH[dtype])
    nn.init.constant_(layer.weight, value)
    return layer


def norm(n, value, dtype, shift=0.0):
    layer = nn.BatchNorm1d(n, eps=0.0).to(TORCH[dtype]).eval()
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, shift)
    return layer


def torch_models(weight, scale, dtype):
    yield "after", [linear(3, 2, weight, dtype), norm(2, scale, dtype)]
    yield "before", [norm(3, scale, dtype), linear(3, 2, weight, dtype)]
    yield "twice", [norm(3, scale, dtype), norm(3, weight, dtype), linear(3, 2, 1.0, dtype)]
    yield "shift", [norm(3, 1.0, dtype, scale), linear(3, 2, weight, dtype)]


@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("name", ["after", "before", "twice", "shift"])
def test_from_torch(name, dtype):
    weight, scale = LARGE[dtype]
    layers = dict(torch_models(weight, scale, dtype))[name]
    with pytest.raises(ValueError, match=f"too large for {dtype}"):
        ln.from_torch(nn.Sequential(*layers))
    small = dict(torch_models(weight, 1 / scale, dtype))[name]
    net = ln.from_torch(nn.Sequential(*small))
    weights = [layer.weight for layer in net.layers if isinstance(layer, ln.Dense)]
    assert weights
    assert all(np.isfinite(weight).all() for weight in weights)


GRAPHS = {
    "after": [node("MatMul", "x,w", "z"), node("Mul", "z,s", "y")],
    "before": [node("Mul", "x,s", "z"), node("MatMul", "z,w", "y")],
    "twice": [node("Mul", "x,s", "a"), node("Mul", "a,c", "z"), node("MatMul", "z,one", "y")],
    "behind an activation": [
        node("Tanh", "x", "a"),
        node("Mul", "a,s", "b"),
        node("Mul", "b,c", "z"),
        node("MatMul", "z,one", "y"),
    ],
    "shift": [node("Add", "x,s", "z"), node("MatMul", "z,w", "y")],
    "bias": [node("MatMul", "x,one", "a"), node("Add", "a,c", "z"), node("Mul", "z,s", "y")],
}


@pytest.mark.parametrize("dtype", LARGE)
@pytest.mark.parametrize("name", GRAPHS)
def test_from_onnx(name, dtype):
    weight, scale = LARGE[dtype]
    constants = {
        "w": np.full((3, 2), weight),
        "one": np.ones((3, 2)),
        "c": np.full(2 if name == "bias" else 3, weight),
        "s": np.asarray(scale),
    }
    typed = {key: value.astype(dtype) for key, value in constants.items()}
    with pytest.raises(ln.FormatError, match=f"too large for {dtype}"):
        ln.from_onnx(model(GRAPHS[name], typed, (None, 3), dtype=dtype))
    typed["s"] = np.asarray(1 / scale, dtype)
    net = ln.from_onnx(model(GRAPHS[name], typed, (None, 3), dtype=dtype))
    weights = [layer.weight for layer in net.layers if isinstance(layer, ln.Dense)]
    assert weights
    assert all(np.isfinite(weight).all() for weight in weights)


def test_from_sklearn():
    weight, scale = LARGE["float32"]
    x = np.random.default_rng(0).standard_normal((40, 3)).astype("float32")
    regressor = MLPRegressor(hidden_layer_sizes=(4,), tol=1e9, n_iter_no_change=1)
    pipeline = make_pipeline(StandardScaler(), regressor).fit(x, x[:, 0])
    pipeline[0].scale_[:] = 1 / scale
    regressor.coefs_[0][:] = weight
    assert regressor.coefs_[0].dtype == np.float32
    with pytest.raises(ValueError, match="too large for float32"):
        ln.from_sklearn(pipeline)
    pipeline[0].scale_[:] = scale
    assert np.isfinite(ln.from_sklearn(pipeline).layers[0].weight).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_model_may_hold_infinities(value):
    """They are its own, and show in its answers as in ours."""
    module = nn.Sequential(norm(3, 2.0, "float64"), linear(3, 2, 1.0, "float64"))
    with torch.no_grad():
        module[1].weight[0, 1] = value
    net = ln.from_torch(module)
    x = np.random.default_rng(0).standard_normal((5, 3))
    with torch.no_grad():
        np.testing.assert_allclose(net(x), module(torch.from_numpy(x)).numpy())
    assert not np.isfinite(net(x)[:, 0]).any()
