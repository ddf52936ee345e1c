"""The bound on the error of a forward pass, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import laminet as ln
from laminet.analysis import error_bound


def test_error_bound_is_the_textbook_one() -> None:
    # One layer of 3 inputs: gamma_4 (|W| |x| + |b|), u = 2^-24.
    net = ln.MLP([ln.Dense(np.float32([[1, -2, 3]]), np.float32([-4]))])
    gamma = 4 * 2.0**-24 / (1 - 4 * 2.0**-24)
    bound = error_bound(net, np.array([[1.0, 1.0, -1.0]]))
    assert bound[0, 0] == pytest.approx(gamma * (1 + 2 + 3 + 4), rel=1e-15, abs=0)


def test_error_bound_passes_the_error_of_a_layer_on() -> None:
    one = ln.Dense(np.float32([[2.0]]))
    unit = 2.0**-24
    gamma = 2 * unit / (1 - 2 * unit)
    bound = error_bound(ln.MLP([one, one]), np.array([[1.0]]))
    first = 2 * gamma
    assert bound[0, 0] == pytest.approx(2 * first + gamma * 2 * (2 + first), rel=1e-15, abs=0)


def test_error_bound_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="identity and relu"):
        error_bound(ln.MLP([ln.Dense(np.eye(2), activation="tanh")]), np.ones((1, 2)))
