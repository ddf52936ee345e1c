"""Networks of layers of every kind, drawn at random."""

from __future__ import annotations

import numpy as np

import laminet as ln
from laminet.core.activation import ACTIVATIONS as DEFAULTS
from laminet.core.layers.layer import Layer
from laminet.core.layers.tree import walk

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "silu", "softplus", "leaky_relu", "sin")
KINDS = ("dense", "activation", "select", "rescale", "norm", "dropout", "residual", "parallel")


class Draw:
    """Draws layers of one dtype."""

    def __init__(self, rng: np.random.Generator, dtype: np.dtype) -> None:
        self.rng = rng
        self.dtype = dtype

    def network(self, head: str | None = None) -> ln.MLP:
        features = int(self.rng.integers(1, 30))
        layers, _ = self.series(features, 3, least=1)
        return ln.MLP(layers, head=head, in_features=features, dtype=self.dtype)

    def numbers(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def activation(self, units: int | None = None) -> ln.Activation:
        name = str(self.rng.choice(ACTIVATIONS))
        if name == "leaky_relu" and units is not None and self.rng.random() < 0.5:
            return ln.Activation(name, alpha=self.numbers(units))
        return ln.Activation(name)

    def dense(self, n: int, m: int, activation: ln.Activation | None = None) -> ln.Dense:
        bias = self.numbers(m) if self.rng.random() < 0.8 else None
        weight = (self.numbers(m, n) / np.sqrt(n)).astype(self.dtype)
        return ln.Dense(weight, bias, activation or self.activation(m))

    def series(
        self, n: int, depth: int, gives: int | None = None, least: int = 0
    ) -> tuple[list[Layer], int]:
        """Return layers in series for n features, and how many they give; `gives` where stated."""
        layers = []
        for _ in range(self.rng.integers(least, 5)):
            kind = str(self.rng.choice(KINDS[: 6 if depth == 0 else len(KINDS)]))
            layer, n = self.layer(kind, n, depth)
            layers.append(layer)
        if gives is not None and (n != gives or self.rng.random() < 0.5):
            identity = ln.Activation("identity") if self.rng.random() < 0.5 else None
            layers.append(self.dense(n, gives, identity))
            n = gives
        return layers, n

    def layer(self, kind: str, n: int, depth: int) -> tuple[Layer, int]:
        rng = self.rng
        if kind == "dense":
            m = int(rng.integers(1, 40))
            return self.dense(n, m), m
        if kind == "activation":
            return self.activation(n), n
        if kind == "select":
            first = int(rng.integers(0, n))
            if rng.random() < 0.5:
                layer = ln.Select(slice(first, int(rng.integers(first + 1, n + 1))))
            else:
                layer = ln.Select(rng.integers(-n, n, rng.integers(1, 20)).tolist())
            return layer, layer._gives(n, "", "")
        if kind == "rescale":
            return self.rescale(n), n
        if kind == "norm":
            weight = self.numbers(n) if rng.random() < 0.7 else None
            # With a small eps bounds that are carried through many norms say nothing.
            eps = float(rng.choice([0.5, 1.0]))
            if rng.random() < 0.5:
                return ln.RMSNorm(weight, eps), n
            return ln.LayerNorm(weight, self.numbers(n) if rng.random() < 0.5 else None, eps), n
        if kind == "dropout":
            return ln.Dropout(0.5), n
        if kind == "residual":
            return ln.Residual(self.series(n, depth - 1, n, least=1)[0]), n
        return self.parallel(n, depth)

    def rescale(self, n: int) -> ln.Rescale:
        scale, shift, low, high = 1.5, -0.25, None, None
        if self.rng.random() < 0.5:
            scale, shift = self.numbers(n), self.numbers(n)
        if self.rng.random() < 0.5:
            low = -0.5 if self.rng.random() < 0.5 else -np.abs(self.numbers(n))
        if self.rng.random() < 0.5:
            high = np.abs(self.numbers(n))
        return ln.Rescale(scale, shift, low, high)

    def parallel(self, n: int, depth: int) -> tuple[ln.Parallel, int]:
        join = str(self.rng.choice(["concat", "sum", "mean"]))
        count, gives = int(self.rng.integers(1, 5)), int(self.rng.integers(1, 30))
        if self.rng.random() < 0.5:
            branches = self.equal(n, gives, count)
        else:
            wanted = None if join == "concat" else gives
            branches = [self.series(n, depth - 1, wanted)[0] for _ in range(count)]
        layer = ln.Parallel(branches, join)
        return layer, layer._gives(n, "", "")

    def equal(self, n: int, gives: int, count: int) -> list[list[Layer]]:
        """Return branches of one shape, as ensembles have them."""
        widths = [n, *(int(w) for w in self.rng.integers(1, 20, self.rng.integers(0, 3))), gives]
        functions = [self.activation() for _ in widths[1:]]
        inside = int(self.rng.integers(1, 9))
        residual, normed = self.rng.random(2) < 0.5
        branches = []
        for _ in range(count):
            branch: list[Layer] = []
            for k, m, function in zip(widths[:-1], widths[1:], functions, strict=True):
                branch.append(self.dense_of(k, m, function))
                if residual:
                    norm = [ln.LayerNorm(self.numbers(m), None, 1.0)] if normed else []
                    up = self.dense_of(m, inside, ln.Activation("relu"))
                    down = self.dense_of(inside, m, ln.Activation("identity"))
                    branch.append(ln.Residual([*norm, up, down]))
            branches.append(branch)
        return branches

    def dense_of(self, n: int, m: int, activation: ln.Activation) -> ln.Dense:
        """Return a layer with a bias: equal branches have it all."""
        # Small: with many blocks in a row bounds would say nothing.
        weight = (self.numbers(m, n) / np.sqrt(2 * n)).astype(self.dtype)
        return ln.Dense(weight, self.numbers(m), activation)


def every_function(units: int) -> list[ln.Activation]:
    """Return each activation: with defaults, with numbers, with one or all parameters by unit."""
    found = []
    for name, defaults in DEFAULTS.items():
        found.append(ln.Activation(name))
        if defaults:
            numbers = {k: 0.3 + i for i, k in enumerate(defaults)}
            by_unit = np.resize([0.3, -1.5, 1.0, 0.0, 2.5], units)
            arrays = {k: np.roll(by_unit, i) for i, k in enumerate(defaults)}
            found += [ln.Activation(name, **numbers), ln.Activation(name, **arrays)]
            found += [ln.Activation(name, **{**numbers, k: by_unit}) for k in list(defaults)[1:]]
    return found


def kinds_of(net: ln.MLP) -> set[str]:
    """Return the kinds of layers in a network."""
    found = {type(leaf).__name__ for _, leaf in walk(net.layers)}
    text = repr(net.layers)
    return found | {kind for kind in ("Residual", "Parallel") if f"{kind}(" in text}
