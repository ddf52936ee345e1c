"""Trees of layers in NumPy float64, and as text: what the importers' trees are compared with."""

from __future__ import annotations

import numpy as np

import laminet as ln
from laminet.interop.symbolic.layers import (
    Dense,
    Elementwise,
    LayerNorm,
    Parallel,
    Rescale,
    Residual,
    RMSNorm,
    Select,
)


def answer(tree, x):
    """What a tree computes of samples in rows; refuses samples of another width."""
    assert x.shape[1] == tree.in_features
    return ln.reference.apply_head(tree.head, series(tree.layers, x.astype(float)))


def series(layers, x):
    for layer in layers:
        x = one(layer, x)
    return x


def given(array, otherwise):
    return otherwise if array is None else np.asarray(array, float)


def one(layer, x):
    match layer:
        case Dense():
            z = x @ layer.weight.astype(float).T + given(layer.bias, 0.0)
            return ln.reference.activation(layer.activation, z)
        case Elementwise() if layer.alpha is not None:
            assert layer.activation.name == "leaky_relu"
            return np.where(x > 0, x, layer.alpha * x)
        case Elementwise():
            return ln.reference.activation(layer.activation, x)
        case Rescale():
            y = given(layer.scale, 1.0) * x + given(layer.shift, 0.0)
            return np.clip(y, given(layer.low, -np.inf), given(layer.high, np.inf))
        case LayerNorm():
            d = x - x.mean(axis=1, keepdims=True)
            d = d / np.sqrt((d**2).mean(axis=1, keepdims=True) + layer.eps)
            return d * given(layer.weight, 1.0) + given(layer.bias, 0.0)
        case RMSNorm():
            r = np.sqrt((x**2).mean(axis=1, keepdims=True) + layer.eps)
            return x / r * given(layer.weight, 1.0)
        case Select():
            return x[:, layer.columns]
        case Residual():
            return x + series(layer.layers, x)
        case Parallel():
            parts = [series(branch, x) for branch in layer.branches]
            if layer.join == "concat":
                return np.concatenate(parts, axis=1)
            return np.sum(parts, axis=0) / (len(parts) if layer.join == "mean" else 1)
    raise AssertionError(layer)


def text(layers):
    """Layers as a line: ``5>8 relu, x + (norm, 8>8 relu, 8>8), 8>2``."""
    return ", ".join(map(word, layers))


def word(layer):
    match layer:
        case Dense():
            out, into = layer.weight.shape
            name = layer.activation.name
            return f"{into}>{out}" + ("" if name == "identity" else f" {name}")
        case Elementwise():
            return layer.activation.name
        case Rescale():
            names = [n for n in ("scale", "shift", "low", "high") if getattr(layer, n) is not None]
            return "*".join(names)
        case LayerNorm():
            return "norm"
        case RMSNorm():
            return "rms"
        case Select():
            return f"[{len(layer.columns)}]"
        case Residual():
            return f"x + ({text(layer.layers)})"
        case Parallel():
            return f"{layer.join}({' | '.join(text(b) or 'x' for b in layer.branches)})"
    raise AssertionError(layer)


def assert_computes(tree, x, expected, layers=None, tolerance=1e-10):
    """Fail unless a tree of float64 gives what another program does, and has these layers.

    What is folded differs by roundings of float64: 1e-10 of the largest number is far above them
    and far below any mistake, if the other program computes in float64 throughout.
    """
    got = answer(tree, x)
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.abs(got - expected).max() <= tolerance * max(1.0, float(np.abs(expected).max()))
    if layers is not None:
        assert text(tree.layers) == layers
