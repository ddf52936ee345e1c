"""Networks of more than chains, as the core takes them: random trees of layers, exactly.

Weights, inputs and cotangents are small integers and the functions relu and identity, so that every
number is an integer that float64 holds: results and all derivatives equal NumPy's, to the last bit.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import laminet as ln
from laminet import _core
from laminet.core.steps import Step

#: A layer as the extension takes it; see python/bindings/layers.h.
Layer = tuple[Any, ...]
Series = list[Layer]
Array = np.ndarray[Any, np.dtype[Any]]

SEEDS = range(80)
EXACT = 2.0**53  # integers up to here are float64's own


class Trees:
    """Random trees of layers, and the widths that they give."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integers(self, *shape: int, most: int = 1) -> Array:
        return self._rng.integers(-most, most + 1, shape).astype(np.float64)

    def dense(self, n: int, m: int, function: str | None = None) -> Layer:
        bias = self.integers(m) if self._rng.random() < 0.8 else None
        return self.integers(m, n), bias, ln.Activation(function or self._function())

    def series(self, n: int, depth: int, out: int | None = None) -> tuple[Series, int]:
        """Return layers that take n features, and how many they give: `out` where that is given."""
        layers: Series = []
        for _ in range(self._rng.integers(0, 3)):
            layer, n = self._layer(n, depth)
            layers.append(layer)
        if out is not None and (n != out or self._rng.random() < 0.5):
            layers.append(self.dense(n, out))
            n = out
        return layers, n

    def _function(self) -> str:
        return str(self._rng.choice(["identity", "relu"]))

    def _layer(self, n: int, depth: int) -> tuple[Layer, int]:
        kind = self._rng.integers(0, 8 if depth > 0 else 4)
        if kind == 0:
            return ("activation", ln.Activation(self._function())), n
        if kind == 1:
            first = int(self._rng.integers(0, n))
            places = list(range(first, int(self._rng.integers(first, n)) + 1))
            if self._rng.random() < 0.5:
                places = [int(i) for i in self._rng.integers(0, n, self._rng.integers(1, 9))]
            return ("select", places), len(places)
        if kind == 2:
            shift, low = self.integers(n), self.integers(n, most=3)
            clip = self._rng.random() < 0.5
            bounds = (low, low + 4.0) if clip else (None, None)
            return ("rescale", 2.0, shift, *bounds), n
        if kind < 5:
            m = int(self._rng.integers(1, 12))
            return self.dense(n, m), m
        if kind == 5:
            return ("residual", self.series(n, depth - 1, out=n)[0]), n
        count = int(2 ** self._rng.integers(0, 3))  # so that a mean is exact
        if kind == 6:
            return self._equal_branches(n, count)
        join = str(self._rng.choice(["concat", "sum"]))
        width = int(self._rng.integers(1, 9))
        branches, widths = zip(
            *(self.series(n, depth - 1, None if join == "concat" else width) for _ in range(count)),
            strict=True,
        )
        return ("parallel", list(branches), join), sum(widths) if join == "concat" else width

    def _equal_branches(self, n: int, count: int) -> tuple[Layer, int]:
        """Branches of one structure, which run as one product of several groups."""
        hidden, width = (int(i) for i in self._rng.integers(1, 9, 2))
        first, last = self._function(), self._function()
        scaled = self._rng.random() < 0.5
        branches = []
        for _ in range(count):
            layers = [(self.integers(hidden, n), self.integers(hidden), ln.Activation(first))]
            if scaled:
                layers.append(("rescale", self.integers(hidden, most=2), 1.0, None, None))
            inner = (self.integers(hidden, hidden), None, ln.Activation("identity"))
            layers += [("residual", [inner]), ("activation", ln.Activation("relu"))]
            layers.append((self.integers(width, hidden), None, ln.Activation(last)))
            branches.append(layers)
        join = str(self._rng.choice(["concat", "sum", "mean"]))
        return ("parallel", branches, join), count * width if join == "concat" else width


class Reference:
    """The same layers in NumPy: values, and gradients by the three rules of the chain."""

    def __init__(self, layers: Series) -> None:
        self._layers = layers
        self.largest = 0.0

    def __call__(self, x: Array) -> Array:
        self._tapes: list[Any] = []
        for layer in self._layers:
            x = self._forward(layer, x)
            self.largest = max(self.largest, float(np.abs(x).max(initial=0.0)))
        return x

    def _forward(self, layer: Layer, x: Array) -> Array:
        kind = layer[0] if isinstance(layer[0], str) else "dense"
        if kind == "dense":
            z = x @ layer[0].T + (0.0 if layer[1] is None else layer[1])
            self._bound(np.abs(x) @ np.abs(layer[0]).T)
            self._tapes.append((x, self._slopes(layer[2], z)))
            return z * self._tapes[-1][1]
        if kind == "activation":
            self._tapes.append(self._slopes(layer[1], x))
            return x * self._tapes[-1]
        if kind == "select":
            self._tapes.append(x.shape)
            return x[:, layer[1]]
        if kind == "rescale":
            z = layer[1] * x + layer[2]
            y = z if layer[3] is None else np.clip(z, layer[3], layer[4])
            self._tapes.append(layer[1] * (y == z))
            return y
        inner = layer[1] if kind == "parallel" else [layer[1]]
        branches = [Reference(branch) for branch in inner]
        results = [branch(x) for branch in branches]
        self.largest = max([self.largest, *(branch.largest for branch in branches)])
        self._tapes.append((branches, [result.shape[1] for result in results]))
        if kind == "residual":
            return x + results[0]
        if layer[2] == "concat":
            return np.concatenate(results, axis=1)
        return sum(results) / (len(results) if layer[2] == "mean" else 1)

    @staticmethod
    def _slopes(function: ln.Activation, z: Array) -> Array:
        return (z > 0) * 1.0 if function.name == "relu" else np.ones_like(z)

    def _bound(self, sums: Array) -> None:
        self.largest = max(self.largest, float(sums.max(initial=0.0)))

    def pull_back(self, g: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        """Return the gradient of the input, and those of weights and biases in the tree's order."""
        parameters: list[tuple[Array, Array]] = []
        for layer, tape in zip(self._layers[::-1], self._tapes[::-1], strict=True):
            kind = layer[0] if isinstance(layer[0], str) else "dense"
            if kind == "dense":
                x, slopes = tape
                self._bound(np.abs(g) @ np.abs(layer[0]))
                self._bound(np.abs(g).T @ np.abs(x))
                g = g * slopes
                parameters.insert(0, (g.T @ x, g.sum(axis=0)))
                g = g @ layer[0]
            elif kind in {"activation", "rescale"}:
                g = g * tape
            elif kind == "select":
                spread = np.zeros(tape)
                np.add.at(spread.T, layer[1], g.T)
                g = spread
            else:
                branches, widths = tape
                parts = [g] * len(branches)
                if kind == "parallel" and layer[2] == "concat":
                    parts = np.split(g, np.cumsum(widths)[:-1], axis=1)
                if kind == "parallel" and layer[2] == "mean":
                    parts = [g / len(branches)] * len(branches)
                pulled = [branch.pull_back(p) for branch, p in zip(branches, parts, strict=True)]
                parameters = [pair for _, own in pulled for pair in own] + parameters
                g = (g if kind == "residual" else 0.0) + sum(part for part, _ in pulled)
        self._bound(np.abs(g))
        return g, parameters


def network(seed: int) -> tuple[Any, Reference, int, int, Trees]:
    trees = Trees(seed)
    n = int(np.random.default_rng(seed).integers(1, 12))
    layers, m = trees.series(n, 3, out=5 if seed % 2 else None)
    layers = layers or [trees.dense(n, m)]
    return _core.NetworkF64.make(layers, "none", None, n), Reference(layers), n, m, trees


def test_all_steps_are_drawn() -> None:
    """But for those whose results are no integers."""
    drawn = {step["kind"] for seed in SEEDS for step in network(seed)[0].steps()["steps"]}
    documented = re.findall(r'``"([a-z ]+)"``', (Step.__doc__ or "").partition("source :")[0])
    assert len(documented) > 5
    assert drawn == {*documented} - {"layer norm", "rms norm", "softmax"}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_trees_are_numpys_to_the_last_bit(seed: int, backend: str) -> None:
    core, reference, n, m, trees = network(seed)
    forward, derivatives = _core.NetworkCall(core), _core.DerivativesF64.make(core)
    for batch in (1, 2, 7, 40):
        x, v, u = (trees.integers(batch, k, most=2) for k in (n, m, n))
        if seed % 3 == 0:
            x = np.asfortranarray(x)
        y = reference(x)
        g, parameters = reference.pull_back(v)
        rows = [reference.pull_back(np.tile(unit, (batch, 1)))[0] for unit in np.eye(m)]
        jacobian = np.stack(rows, axis=1)
        # Divisions by 2 and 4 take a few bits besides.
        assert reference.largest < EXACT / 2**10
        np.testing.assert_array_equal(forward(x), y)
        np.testing.assert_array_equal(derivatives.vjp(x, v, None), g)
        np.testing.assert_array_equal(derivatives.jacobian(x, None), jacobian)
        tangents = np.einsum("bij,bj->bi", jacobian, u)
        np.testing.assert_array_equal(derivatives.jvp(x, u, None), tangents)
        weights, biases, inputs, *_ = derivatives.gradients(x, v, None)
        np.testing.assert_array_equal(inputs, g)
        for weight, bias, (dw, db) in zip(weights, biases, parameters, strict=True):
            np.testing.assert_array_equal(weight, dw)
            if bias is not None:
                np.testing.assert_array_equal(bias, db)
