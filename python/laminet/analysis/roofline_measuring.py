"""How long a network and each of its layers take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.mlp import MLP
from laminet.core.steps import program_of

__all__ = ["call_seconds", "measure"]

# Of the whole network and of its layers, each, for every batch.
_SECONDS = 0.1
_LEAST_ROUNDS = 5


def measure(net: MLP, batch: int, call_us: float) -> tuple[float, list[float]]:
    """Return the seconds of a call, and those of each layer without the time of a call.

    A layer has with it those after it that the network does no steps for; see `Program.parts`.
    """
    generator = np.random.default_rng(0)
    shape = (batch, net.in_features) if batch > 1 else (net.in_features,)
    x = generator.standard_normal(shape, np.float64).astype(net.dtype)
    whole = call_seconds(lambda: net(x), _SECONDS)
    parts = program_of(net).parts
    if len(parts) == 1:
        return whole, [_less(whole, call_us * 1e-6)]
    nets = [
        MLP(net.layers[part.start : part.stop], in_features=net.sizes[part.start], dtype=net.dtype)
        for part in parts
    ]
    inputs: list[NDArray[Any]] = [x]
    for single in nets[:-1]:
        inputs.append(single(inputs[-1]))
    pairs = list(zip(nets, inputs, strict=True))
    clock = time.perf_counter
    taken: list[list[float]] = [[] for _ in nets]
    end = clock() + _SECONDS
    # One layer after another, so that each finds in cache what it would find in the network.
    while len(taken[0]) < _LEAST_ROUNDS or clock() < end:
        for (single, given), times in zip(pairs, taken, strict=True):
            begin = clock()
            single(given)
            times.append(clock() - begin)
    return whole, [_less(float(np.median(times)), call_us * 1e-6) for times in taken]


def _less(seconds: float, call: float) -> float:
    """Return the time without that of a call; a tenth of it at least, where the call is all."""
    return max(seconds - call, seconds / 10)


def call_seconds(function: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call over rounds that fill so many seconds; at least five."""
    clock = time.perf_counter
    function()  # memory is taken and threads start at the first call
    begin = clock()
    function()
    count = max(1, round(seconds / 50 / max(clock() - begin, 1e-9)))
    rounds: list[float] = []
    end = clock() + seconds
    while len(rounds) < _LEAST_ROUNDS or clock() < end:
        begin = clock()
        for _ in range(count):
            function()
        rounds.append((clock() - begin) / count)
    return float(np.median(rounds))
