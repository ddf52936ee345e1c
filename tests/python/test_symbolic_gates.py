"""Products of a value with a gate over it: which are layers, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest
from symbolic_values import F8, SIGMOID, TANH, B, C, V, W, X, check, laid_out, start
from variants import same_bits


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_gate_with_numbers_for_each_feature():
    """CosmoPower's: ``(beta + sigmoid(alpha x) (1 - beta)) x``."""
    h = start().linear(W, C)
    z = X @ W.T + C
    alpha, beta = np.array([0.5, -1.0, 2.0, 0.0]), np.array([0.1, 0.9, -0.5, 0.0])
    gate = h.scaled(alpha, 0.0).activated(SIGMOID).scaled(1 - beta, beta)
    for value in (gate.combined(h, "multiply"), h.combined(gate, "multiply")):
        check(value, (beta + (1 - beta) * sigmoid(alpha * z)) * z, "4>4 gated")
        (layer,) = laid_out(value.resolved(), F8)
        assert same_bits(layer.activation.alpha, alpha)
        assert same_bits(layer.activation.beta, beta)
    swish = h.combined(h.scaled(alpha, 0.0).activated(SIGMOID), "multiply")
    check(swish, z * sigmoid(alpha * z), "4>4 gated")
    other = h.combined(gate.scaled(3.0, B), "multiply")
    check(other, z * (3 * (beta + (1 - beta) * sigmoid(alpha * z)) + B), "4>4 gated, scale")


def test_a_gate_of_numbers():
    h = start().linear(W, C)
    z = X @ W.T + C
    gate = h.scaled(0.5, 0.0).activated(SIGMOID).scaled(1.5, 0.4)
    value = h.combined(gate, "multiply")
    check(value, z * (1.5 * sigmoid(0.5 * z) + 0.4), "4>4 gated, scale")
    for other in (h.scaled(0.5, 0.3), h.power(2)):
        gate = other.activated(SIGMOID).scaled(1.5, 0.4)
        with pytest.raises(ValueError, match="which is no activation that laminet has"):
            h.combined(gate, "multiply").resolved()


GATES_OF_ANOTHER_KIND = {
    "another layer": lambda h: h.linear(V).activated(SIGMOID),
    "a shift": lambda h: h.scaled(B, C).activated(SIGMOID),
    "tanh": lambda h: h.scaled(B, 0.0).activated(TANH),
    "other features": lambda h: h.scaled(B, 0.0).activated(SIGMOID).selected(np.arange(4)[::-1]),
    "nothing in sum": lambda h: h.scaled(B, 0.0).activated(SIGMOID).scaled(C, -C),
}


@pytest.mark.parametrize("name", GATES_OF_ANOTHER_KIND)
def test_other_gates_are_refused(name):
    h = start().linear(W)
    with pytest.raises(ValueError, match="multiplies two different results, as a gate does"):
        h.combined(GATES_OF_ANOTHER_KIND[name](h), "multiply")
