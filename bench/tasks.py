"""What bench/training.py trains: networks, their losses and batches, the same for every runtime."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

LEARNING_RATE = 1e-4  # small: at most a few thousand steps follow one another, and none diverges
CHECKED_STEPS = 10

# Weights (out_features, in_features) and biases.
Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Task:
    """A chain of dense layers, the last one without an activation, a loss and batches."""

    sizes: tuple[int, ...]
    activation: str
    loss: str  # "squared_error" or "cross_entropy"
    batches: tuple[int, ...]
    full_batch: bool = False  # every step has all samples: nothing is drawn or gathered

    @property
    def name(self) -> str:
        """The sizes, with hyphens between them."""
        return "-".join(map(str, self.sizes))

    @property
    def in_features(self) -> int:
        """Of the first layer."""
        return self.sizes[0]

    @property
    def out_features(self) -> int:
        """Of the last layer."""
        return self.sizes[-1]

    @property
    def parameters(self) -> int:
        """How many weights and biases."""
        return sum((k + 1) * n for k, n in itertools.pairwise(self.sizes))

    @property
    def flops_per_sample(self) -> int:
        """Two for each weight, forward and twice backward; the input has no gradient."""
        products = [2 * k * n for k, n in itertools.pairwise(self.sizes)]
        return 3 * sum(products) - products[0]

    def steps(self, batch: int) -> int:
        """How many steps an epoch has: samples beyond the caches of small networks' parameters."""
        return 1 if self.full_batch else max(CHECKED_STEPS, min(50, 4096 // batch))

    def weights(self, dtype: str) -> Weights:
        """He-normal weights and small biases, the same ones for every runtime."""
        rng = np.random.default_rng(1)
        return [
            (
                (rng.standard_normal((n, k)) * np.sqrt(2 / k)).astype(dtype),
                (rng.standard_normal(n) * 0.1).astype(dtype),
            )
            for k, n in itertools.pairwise(self.sizes)
        ]

    def samples(self, batch: int, dtype: str) -> np.ndarray:
        """Return the normal random samples of an epoch."""
        shape = (batch * self.steps(batch), self.in_features)
        return np.random.default_rng(2).standard_normal(shape).astype(dtype)

    def targets(self, batch: int, dtype: str) -> np.ndarray:
        """Return a random label, or normal random targets, for each sample of an epoch."""
        rows = batch * self.steps(batch)
        rng = np.random.default_rng(3)
        if self.loss == "cross_entropy":
            return rng.integers(0, self.out_features, rows)
        return rng.standard_normal((rows, self.out_features)).astype(dtype)

    def checked(self, batch: int) -> list[slice]:
        """Return the rows of each of the steps whose results are compared."""
        rows = batch * self.steps(batch)
        starts = [batch * i % rows for i in range(CHECKED_STEPS)]
        return [slice(start, start + batch) for start in starts]


TASKS = (
    Task((17, 64, 64, 6), "tanh", "squared_error", (64, 256)),
    Task((64, 64, 32, 10), "relu", "cross_entropy", (32,)),
    Task((784, 256, 128, 10), "relu", "cross_entropy", (32, 128, 512)),
    Task((100, 512, 512, 512, 1), "relu", "squared_error", (256,)),
    Task((479, 1024, 1024, 512, 256, 1), "relu", "squared_error", (128,)),
    Task((4, 32, 16, 4), "tanh", "squared_error", (10_000,), full_batch=True),
)
