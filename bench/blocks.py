"""Networks that are more than chains: blocks of real models, written once for every runtime.

`compute` says what a network is, in the operations of a runtime (block_runtimes.py); `layers` says
it to laminet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

EPS = 1e-5  # of layer norms

# A weight (out_features, in_features) and a bias of a dense layer, or what scales and shifts a
# norm; of equal branches the weights and biases of all, (branches, out, in) and (branches, out).
Parameters = tuple[np.ndarray, np.ndarray]


class Blocks:
    """A network of blocks; what those that follow have in common."""

    name: str
    activation: str
    batches: tuple[int, ...]
    in_features: int
    out_features: int

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Of each weight, in the order of `compute`; (features,) where it is a norm's."""
        raise NotImplementedError

    def compute(self, ops: Any, parameters: list[Any], x: Any) -> Any:
        """Return the outputs, by a runtime's operations and the parameters as it stores them."""
        raise NotImplementedError

    def layers(self, parameters: list[Parameters]) -> list[Any]:
        """Return what `laminet.MLP` takes."""
        raise NotImplementedError

    @property
    def flops_per_sample(self) -> int:
        """Two for each weight of a product."""
        return sum(2 * int(np.prod(shape)) for shape in self.shapes() if len(shape) > 1)

    @property
    def terms(self) -> int:
        """How many roundings follow one another, about: the depth times the root of the width."""
        products = [shape for shape in self.shapes() if len(shape) > 1]
        return int(len(products) * max(shape[-1] for shape in products) ** 0.5)

    def weights(self, dtype: str) -> list[Parameters]:
        """He-normal weights and small biases, the same ones for every runtime."""
        rng = np.random.default_rng(1)
        result = []
        for shape in self.shapes():
            if len(shape) == 1:
                first = 1 + 0.1 * rng.standard_normal(shape)
            else:
                first = rng.standard_normal(shape) * np.sqrt(2 / shape[-1])
            second = rng.standard_normal(shape[: max(1, len(shape) - 1)]) * 0.1
            result.append((first.astype(dtype), second.astype(dtype)))
        return result

    def samples(self, batch: int, dtype: str) -> np.ndarray:
        """Return normal random samples; a single one is a vector."""
        shape = (self.in_features,) if batch == 1 else (batch, self.in_features)
        return np.random.default_rng(2).standard_normal(shape).astype(dtype)


@dataclass(frozen=True)
class ResidualMLP(Blocks):
    """x + dense(relu(dense(norm(x)))), `blocks` times: SimBa's, whose expansion is 4.

    H. Lee et al., "SimBa: Simplicity Bias for Scaling Up Parameters in Deep Reinforcement
    Learning", ICLR 2025.
    """

    batches: tuple[int, ...]
    in_features: int = 64
    width: int = 256
    expansion: int = 1
    blocks: int = 4
    out_features: int = 8
    norms: bool = True
    activation: str = "relu"

    @property
    def name(self) -> str:
        """Sizes, and what is added to them."""
        inner = f"({self.width * self.expansion})" if self.expansion > 1 else ""
        sizes = f"{self.in_features}-{self.width}{inner}x{self.blocks}-{self.out_features}"
        return f"{'simba' if self.norms else 'residual'} {sizes}"

    def shapes(self) -> Iterator[tuple[int, ...]]:
        width, inner = self.width, self.width * self.expansion
        norm = [(width,)] * self.norms
        yield width, self.in_features
        for _ in range(self.blocks):
            yield from norm
            yield inner, width
            yield width, inner
        yield from norm
        yield self.out_features, width

    def compute(self, ops: Any, parameters: list[Any], x: Any) -> Any:
        given = iter(parameters)

        def norm(x: Any) -> Any:
            return ops.norm(x, next(given)) if self.norms else x

        x = ops.dense(x, next(given))
        for _ in range(self.blocks):
            h = ops.dense(norm(x), next(given), self.activation)
            x = ops.add(x, ops.dense(h, next(given)))
        return ops.dense(norm(x), next(given))

    def layers(self, parameters: list[Parameters]) -> list[Any]:
        import laminet as ln

        given = iter(parameters)

        def norm() -> list[Any]:
            return [ln.LayerNorm(*next(given), eps=EPS)] if self.norms else []

        result: list[Any] = [ln.Dense(*next(given))]
        for _ in range(self.blocks):
            inner = [*norm(), ln.Dense(*next(given), self.activation), ln.Dense(*next(given))]
            result.append(ln.Residual(inner))
        return [*result, *norm(), ln.Dense(*next(given))]


@dataclass(frozen=True)
class NormedChain(Blocks):
    """A chain of dense layers with a layer norm after each hidden product, or without."""

    batches: tuple[int, ...]
    sizes: tuple[int, ...] = (64, 256, 256, 256, 256, 8)
    norms: bool = True
    activation: str = "relu"

    @property
    def name(self) -> str:
        """The sizes, with hyphens between them."""
        return "-".join(map(str, self.sizes)) + " normed" * self.norms

    @property
    def in_features(self) -> int:  # type: ignore[override]  # an attribute of the others
        """Of the first layer."""
        return self.sizes[0]

    @property
    def out_features(self) -> int:  # type: ignore[override]  # an attribute of the others
        """Of the last layer."""
        return self.sizes[-1]

    def shapes(self) -> Iterator[tuple[int, ...]]:
        pairs = list(pairwise(self.sizes))
        for k, n in pairs[:-1]:
            yield n, k
            yield from [(n,)] * self.norms
        yield pairs[-1][::-1]

    def compute(self, ops: Any, parameters: list[Any], x: Any) -> Any:
        given = iter(parameters)
        for _ in self.sizes[1:-1]:
            if self.norms:
                x = ops.dense(x, next(given))
                x = ops.act(ops.norm(x, next(given)), self.activation)
            else:
                x = ops.dense(x, next(given), self.activation)
        return ops.dense(x, next(given))

    def layers(self, parameters: list[Parameters]) -> list[Any]:
        import laminet as ln

        given = iter(parameters)
        result: list[Any] = []
        for _ in self.sizes[1:-1]:
            if self.norms:
                result += [ln.Dense(*next(given)), ln.LayerNorm(*next(given), eps=EPS)]
                result.append(ln.Activation(self.activation))
            else:
                result.append(ln.Dense(*next(given), self.activation))
        return [*result, ln.Dense(*next(given))]


@dataclass(frozen=True)
class Nerf(Blocks):
    """Eight layers, the input joined again before the fifth, and two heads: density and colour.

    B. Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis",
    ECCV 2020; without the direction of view.
    """

    batches: tuple[int, ...]
    in_features: int = 63
    width: int = 256
    depth: int = 8
    skip: int = 4
    head: int = 128
    out_features: int = 4
    activation: str = "relu"

    @property
    def name(self) -> str:
        """Sizes, and where the input joins again."""
        return f"nerf {self.in_features}-{self.width}x{self.depth}-(1,{self.head}-3)"

    def shapes(self) -> Iterator[tuple[int, ...]]:
        for i in range(self.depth):
            joined = self.in_features if i in (0, self.skip) else 0
            yield self.width, joined + (self.width if i else 0)
        yield 1, self.width
        yield self.head, self.width
        yield 3, self.head

    def compute(self, ops: Any, parameters: list[Any], x: Any) -> Any:
        given = iter(parameters)
        h = x
        for i in range(self.depth):
            if i == self.skip:
                h = ops.concat([x, h])
            h = ops.dense(h, next(given), self.activation)
        density = ops.dense(h, next(given))
        colour = ops.dense(ops.dense(h, next(given), self.activation), next(given))
        return ops.concat([density, colour])

    def layers(self, parameters: list[Parameters]) -> list[Any]:
        import laminet as ln

        given = iter(parameters)

        def dense(count: int) -> list[Any]:
            return [ln.Dense(*next(given), self.activation) for _ in range(count)]

        first = dense(self.skip)
        rest = dense(self.depth - self.skip)
        density = [ln.Dense(*next(given))]
        colour = [*dense(1), ln.Dense(*next(given))]
        return [ln.Parallel([[], first]), *rest, ln.Parallel([density, colour])]


@dataclass(frozen=True)
class Ensemble(Blocks):
    """Equal networks over the same input, their outputs side by side: ensembles, twin critics."""

    batches: tuple[int, ...]
    members: int
    sizes: tuple[int, ...]
    activation: str

    @property
    def name(self) -> str:
        """How many of which network."""
        return f"{self.members} x " + "-".join(map(str, self.sizes))

    @property
    def in_features(self) -> int:  # type: ignore[override]  # an attribute of the others
        """Of each member."""
        return self.sizes[0]

    @property
    def out_features(self) -> int:  # type: ignore[override]  # an attribute of the others
        """Of all members."""
        return self.members * self.sizes[-1]

    def shapes(self) -> Iterator[tuple[int, ...]]:
        for k, n in pairwise(self.sizes):
            yield self.members, n, k

    def compute(self, ops: Any, parameters: list[Any], x: Any) -> Any:
        h = ops.for_each(x, self.members)
        for layer in parameters[:-1]:
            h = ops.each(h, layer, self.activation)
        return ops.side_by_side(ops.each(h, parameters[-1]))

    def layers(self, parameters: list[Parameters]) -> list[Any]:
        import laminet as ln

        last = len(parameters) - 1
        return [
            ln.Parallel(
                [
                    [
                        ln.Dense(w[i], b[i], "identity" if place == last else self.activation)
                        for place, (w, b) in enumerate(parameters)
                    ]
                    for i in range(self.members)
                ]
            )
        ]


BATCHES = (1, 64, 1024, 4096)
BLOCKS = (
    ResidualMLP(BATCHES),
    Nerf(BATCHES),
    Ensemble(BATCHES, 10, (17, 64, 64, 6), "tanh"),
    Ensemble(BATCHES, 2, (23, 256, 256, 1), "relu"),
)
