"""No runtime is timed whose answer is wrong."""

from __future__ import annotations

import math

import numpy as np
from runtimes import Network
from workers import Worker


def prepare(workers: list[Worker], net: Network, batch: int, dtype: str = "float32") -> None:
    """Let each worker build the network, and compare its answer with NumPy in float64."""
    expected, bound = reference(net, batch, dtype)
    for worker in workers:
        compare(worker.prepare(net, batch), expected, bound, worker.runtime, net)


def compare(
    answer: np.ndarray, expected: np.ndarray, bound: float, runtime: str, net: Network
) -> None:
    """End the run in words if an answer is further off than `bound`."""
    if answer.shape != expected.shape:
        raise SystemExit(f"{runtime} is wrong on {net.name}: {answer.shape}, not {expected.shape}")
    worst = float(np.max(np.abs(answer - expected)))
    if not worst <= bound:
        raise SystemExit(f"{runtime} is wrong on {net.name}: {worst:.2e} off")


def reference(net: Network, batch: int, dtype: str) -> tuple[np.ndarray, float]:
    """Return the answer in float64, and how far a right one may be (a sanity check, no proof)."""
    import laminet as ln

    weights = net.weights(dtype)
    last = len(weights) - 1
    layers = [
        ln.Dense(w, b, "identity" if i == last else net.activation)
        for i, (w, b) in enumerate(weights)
    ]
    x = net.samples(batch, dtype)
    expected = np.concatenate(
        [
            ln.reference.forward(layers, part)
            for part in np.array_split(np.atleast_2d(x), max(1, batch // 4096))
        ]
    )
    unit = np.finfo(dtype).eps
    scale = float(np.max(np.abs(expected))) * math.sqrt(max(net.sizes)) * len(weights)
    return expected[0] if batch == 1 else expected, 8 * unit * scale
