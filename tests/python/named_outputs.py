"""Layers of networks for the tests of what outputs stand for."""

from __future__ import annotations

from variants import normal, random_net

import laminet as ln

X = normal((50, 5), "float64")


def layers(n=3, last="identity", dtype="float64"):
    first, second = random_net([5, 7, n], "tanh", dtype=dtype).layers
    logits = ln.MLP([first, ln.Dense(second.weight, second.bias)])(X)
    bias = second.bias - logits.mean(axis=0)  # some on either side of 0
    return [first, ln.Dense(second.weight, bias.astype(dtype), last)]
