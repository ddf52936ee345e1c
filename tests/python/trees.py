"""Networks of layers of every kind, drawn at random; and their gradients, in NumPy float64."""

from __future__ import annotations

import numpy as np

import laminet as ln
from laminet.core.activation import ACTIVATIONS as DEFAULTS
from laminet.core.layers.layer import Layer
from laminet.core.layers.tree import walk
from laminet.reference import activation_derivative, activation_parameter_derivatives
from laminet.reference.heads import head_jacobian
from laminet.reference.layers import jacobian, value

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


def gradients(net: ln.MLP, x: np.ndarray, g: np.ndarray) -> dict[int | str, list[np.ndarray]]:
    """Return the gradients of weight and bias by id of each dense layer and norm; "input", of x.

    And of alpha by id of each activation that has one for each unit.
    """
    found: dict[int | str, list[np.ndarray]] = {}
    x, g = x.astype(np.float64), g.astype(np.float64)
    if net.head is not None:
        a = x
        for layer in net.layers:
            a = value(layer, a)
        g = np.einsum("bi,bij->bj", g, head_jacobian(net.head, a))
    found["input"] = [_back(net.layers, x, g, found)]
    return found


def _back(layers, a, g, found):
    values = [a]
    for layer in layers:
        values.append(value(layer, values[-1]))
    for layer, at in reversed(list(zip(layers, values[:-1], strict=True))):
        g = _back_through(layer, at, g, found)
    return g


def _back_through(layer, a, g, found):
    if isinstance(layer, ln.Residual):
        return g + _back(layer.layers, a, g, found)
    if isinstance(layer, ln.Parallel):
        total, first = np.zeros_like(a), 0
        for branch in layer.branches:
            part = g / (len(layer.branches) if layer.join == "mean" else 1)
            if layer.join == "concat":
                width = value(ln.Parallel([branch]), a).shape[-1]
                part, first = g[:, first : first + width], first + width
            total = total + _back(branch, a, part, found)
        return total
    if isinstance(layer, ln.Dense):
        weight = layer.weight.astype(np.float64)
        bias = 0.0 if layer.bias is None else layer.bias.astype(np.float64)
        z = a @ weight.T + bias
        _by_unit(layer.activation, z, g, found)
        dz = g * activation_derivative(layer.activation, z)
        found[id(layer)] = [dz.T @ a, dz.sum(0)]
        return dz @ weight
    if isinstance(layer, ln.Activation):
        _by_unit(layer, a, g, found)
    if isinstance(layer, (ln.LayerNorm, ln.RMSNorm)):
        plain = type(layer)(eps=layer.eps)
        found[id(layer)] = [(g * value(plain, a)).sum(0), g.sum(0)]
    return np.einsum("bi,bij->bj", g, jacobian(layer, a))


def _by_unit(activation, z, g, found):
    if activation.in_features is not None:
        parts = activation_parameter_derivatives(activation, z)
        found[id(activation)] = [(g * parts["alpha"]).sum(0)]
