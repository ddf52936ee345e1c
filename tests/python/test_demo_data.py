"""The embedded network and its held-out digits."""

from __future__ import annotations

import numpy as np

import laminet as ln
from laminet.analysis import error_bound
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
