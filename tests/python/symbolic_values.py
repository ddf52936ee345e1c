"""What the tests of layouts share: values, the layers made of them, and how these are compared."""

from __future__ import annotations

import numpy as np
from layer_trees import text
from variants import normal

from laminet.core.activation import Activation
from laminet.interop.symbolic import layout
from laminet.interop.symbolic.value import Value
from laminet.reference.layers import value as value_of

F8 = np.dtype("float64")
X = normal((9, 4), "f8") * 2
W, V, U = (normal((4, 4), "f8", seed=i) for i in (1, 2, 3))
B, C = normal((4,), "f8", seed=4), normal((4,), "f8", seed=5)
RELU, TANH, SIGMOID = (Activation(name) for name in ("relu", "tanh", "sigmoid"))


def relu(x):
    return np.maximum(x, 0)


def start():
    return Value.input(4)


def laid_out(form, dtype):
    layers, width = layout.laid_out(form, dtype)
    assert width == 4
    return layers


def series(layers, x):
    for layer in layers:
        x = value_of(layer, x)
    return x


def check(value, expected, layers):
    found = laid_out(value.resolved(), F8)
    assert text(found) == layers
    got = series(found, X)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())


def add(*values):
    total = values[0]
    for value in values[1:]:
        total = total.combined(value, "add")
    return total
