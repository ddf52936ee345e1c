"""No runtime is timed whose answer is wrong."""

from __future__ import annotations

import block_runtimes
import numpy as np
from blocks import Blocks
from runtimes import NARROW, AnyNetwork, laminet_layers
from workers import Worker


def prepare(
    workers: list[Worker], net: AnyNetwork, batch: int, dtype: str = "float32"
) -> dict[str, float]:
    """Let each worker build the network, and compare its answer with NumPy in float64.

    Returns how far each is off at most, over the largest output.
    """
    expected, bound = reference(net, batch, dtype)
    narrow = {name for names in NARROW.values() for name in names}
    scale = float(np.max(np.abs(expected)))
    errors = {}
    for worker in workers:
        answer = worker.prepare(net, batch)
        # Each number is rounded to 8 bits.
        most = bound * 2.0**-8 / (np.finfo(dtype).eps / 2) if worker.runtime in narrow else bound
        compare(answer, expected, most, worker.runtime, net)
        errors[worker.runtime] = float(np.max(np.abs(answer - expected))) / scale
    return errors


def compare(
    answer: np.ndarray, expected: np.ndarray, bound: float, runtime: str, net: AnyNetwork
) -> None:
    """End the run in words if an answer is further off than `bound`."""
    if answer.shape != expected.shape:
        raise SystemExit(f"{runtime} is wrong on {net.name}: {answer.shape}, not {expected.shape}")
    worst = float(np.max(np.abs(answer - expected)))
    if not worst <= bound:
        raise SystemExit(f"{runtime} is wrong on {net.name}: {worst:.2e} off")


def reference(net: AnyNetwork, batch: int, dtype: str) -> tuple[np.ndarray, float]:
    """Return the answer in float64, and how far a right one may be (a sanity check, no proof)."""
    import laminet as ln

    x = net.samples(batch, dtype)
    parts = np.array_split(np.atleast_2d(x), max(1, batch // 4096))
    weights = net.weights(dtype)
    if isinstance(net, Blocks):
        expected = np.concatenate([block_runtimes.reference(net, weights, p) for p in parts])
    else:
        layers = laminet_layers(net, weights)
        expected = np.concatenate([ln.reference.forward(layers, part) for part in parts])
    scale = float(np.max(np.abs(expected))) * net.terms
    return expected[0] if batch == 1 else expected, 8 * np.finfo(dtype).eps * scale
