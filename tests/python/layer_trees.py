"""Networks of the importers as text, and held against what another program answers."""

from __future__ import annotations

import numpy as np

import laminet as ln


def text(layers):
    """Layers as a line: ``5>8 relu, x + (norm, 8>8 relu, 8>8), 8>2``."""
    return ", ".join(map(word, layers))


def word(layer):
    match layer:
        case ln.Dense():
            out, into = layer.weight.shape
            name = layer.activation.name
            return f"{into}>{out}" + ("" if name == "identity" else f" {name}")
        case ln.Activation():
            return layer.name
        case ln.Rescale():
            free = {"scale": 1.0, "shift": 0.0, "low": None, "high": None}
            return "*".join(n for n, v in free.items() if np.ndim(x := getattr(layer, n)) or x != v)
        case ln.LayerNorm():
            return "norm"
        case ln.RMSNorm():
            return "rms"
        case ln.Select(columns=slice()):
            return f"[{layer.columns.start}:{layer.columns.stop}]"
        case ln.Select():
            return f"[{len(layer.columns)}]"
        case ln.Residual():
            return f"x + ({text(layer.layers)})"
        case ln.Parallel():
            return f"{layer.join}({' | '.join(text(b) or 'x' for b in layer.branches)})"
    raise AssertionError(layer)


def assert_computes(net, x, expected, layers=None, tolerance=1e-10):
    """Fail unless a network of float64 gives what another program does, and has these layers.

    What is folded differs by roundings of float64: 1e-10 of the largest number is far above them
    and far below any mistake, if the other program computes in float64 throughout.
    """
    assert net.dtype == np.float64
    got = net(x)
    assert got.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.abs(got - expected).max() <= tolerance * max(1.0, float(np.abs(expected).max()))
    if layers is not None:
        assert text(net.layers) == layers
