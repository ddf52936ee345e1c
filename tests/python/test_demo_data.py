"""The embedded network and its held-out digits."""

from __future__ import annotations

import numpy as np
import pytest

import laminet as ln
from laminet.cli.demo import error_bound
from laminet.data import digits_network, digits_test_set


def test_test_set_is_450_images_of_ten_digits() -> None:
    x, y = digits_test_set()
    assert x.shape == (450, 64)
    assert y.shape == (450,)
    assert x.dtype == y.dtype == np.uint8
    assert x.max() == 16
    assert np.bincount(y, minlength=10).min() >= 40
    assert len(np.unique(x, axis=0)) == 450


def test_network_reads_97_percent_of_the_digits() -> None:
    net = digits_network()
    x, y = digits_test_set()
    assert net.sizes == (64, 64, 32, 10)
    assert net.dtype == np.float32
    assert [layer.activation.name for layer in net.layers] == ["relu", "relu", "identity"]
    # The figure of data/README.md; none of the 450 is so close that rounding decides it.
    assert int((net.predict(x) == y).sum()) == 445


def test_network_agrees_with_the_reference_within_the_derived_bound() -> None:
    net = digits_network()
    x, _ = digits_test_set()
    difference = np.abs(net(x) - ln.reference.forward(net, x))
    assert (difference <= error_bound(net, x)).all()
    assert difference.max() > 0


def test_error_bound_is_the_textbook_one() -> None:
    # One layer of 3 inputs: gamma_4 (|W| |x| + |b|), u = 2^-24.
    net = ln.MLP([ln.Dense(np.float32([[1, -2, 3]]), np.float32([-4]))])
    gamma = 4 * 2.0**-24 / (1 - 4 * 2.0**-24)
    bound = error_bound(net, np.array([[1.0, 1.0, -1.0]]))
    assert bound[0, 0] == pytest.approx(gamma * (1 + 2 + 3 + 4), rel=1e-15)


def test_error_bound_passes_the_error_of_a_layer_on() -> None:
    one = ln.Dense(np.float32([[2.0]]))
    unit = 2.0**-24
    gamma = 2 * unit / (1 - 2 * unit)
    bound = error_bound(ln.MLP([one, one]), np.array([[1.0]]))
    first = 2 * gamma
    assert bound[0, 0] == pytest.approx(2 * first + gamma * 2 * (2 + first), rel=1e-15)


def test_error_bound_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="identity and relu"):
        error_bound(ln.MLP([ln.Dense(np.eye(2), activation="tanh")]), np.ones((1, 2)))
