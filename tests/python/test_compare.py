"""The comparator is tested itself: one that cannot fail makes every other test worthless."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import forward_bound
from compare import assert_close
from variants import normal, random_net

import laminet as ln
from laminet import reference


@pytest.fixture
def case(dtype):
    """A real result with its real bound: square, so that a transposed one has the right shape."""
    net = random_net([20, 30, 16], "gelu", dtype=dtype)
    x = normal((16, 20), dtype)
    return net(x), reference.forward(net, x), forward_bound(net, x, dtype)


def test_accepts_the_result(case):
    assert_close(*case)


WRONG = {
    "zeros": np.zeros_like,
    "infinite": lambda y: np.full_like(y, np.inf),
    "NaN": lambda y: np.full_like(y, np.nan),
    "transposed": lambda y: np.ascontiguousarray(y.T),
    "shifted by a row": lambda y: np.roll(y, 1, axis=0),
    "shifted by a column": lambda y: np.roll(y, 1, axis=1),
    "shifted by an element": lambda y: np.roll(y.ravel(), 1).reshape(y.shape),
    "negated": np.negative,
    "doubled": lambda y: 2 * y,
    "rows reversed": lambda y: y[::-1],
    "constant": lambda y: np.full_like(y, y.mean()),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_rejects_a_wrong_result(case, make):
    got, exact, bound = case
    with pytest.raises(AssertionError, match="elements are wrong"):
        assert_close(make(got), exact, bound)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [(0, 0), (7, 3), (15, 15)])
def test_rejects_one_wrong_element(case, index, value):
    got, exact, bound = case
    got[index] = value
    with pytest.raises(AssertionError, match=r"1 of 256 elements are wrong"):
        assert_close(got, exact, bound)


def test_rejects_an_error_just_above_the_bound():
    exact, bound = np.array([1.0, 2.0]), np.array([2.0**-20, 2.0**-20])
    assert_close(exact + bound, exact, bound)
    with pytest.raises(AssertionError, match="1 of 2"):
        assert_close(exact + np.array([1.001, 1]) * bound, exact, bound)


def test_a_bound_of_zero_means_equal():
    assert_close(np.array([1.0]), np.array([1.0]), 0.0)
    with pytest.raises(AssertionError, match="1 of 1"):
        assert_close(np.nextafter([1.0], 2.0), np.array([1.0]), 0.0)


@pytest.mark.parametrize("bound", [np.inf, np.nan, -1.0])
def test_rejects_a_bound_that_is_none(bound):
    with pytest.raises(AssertionError, match="the bound is not"):
        assert_close(np.ones(3), np.ones(3), bound)


def test_rejects_another_shape_and_dtype():
    for got in (np.ones((3, 1)), np.ones(4), np.ones(()), np.ones((1, 3))):
        with pytest.raises(AssertionError, match="shape"):
            assert_close(got, np.ones(3), 1.0)
    for got in (np.ones(3, int), np.ones(3, complex), np.ones(3, object)):
        with pytest.raises(AssertionError, match="dtype"):
            assert_close(got, np.ones(3), 1.0)
    with pytest.raises(AssertionError, match="list"):
        assert_close([1.0, 1.0, 1.0], np.ones(3), 1.0)


def test_nan_and_infinity_match_in_place_only():
    exact = np.array([1.0, np.nan, np.inf, -np.inf])
    assert_close(exact.copy(), exact, 1e-3)
    for wrong in (
        [np.nan, np.nan, np.inf, -np.inf],
        [1.0, 1.0, np.inf, -np.inf],
        [1.0, np.inf, np.inf, -np.inf],
        [1.0, np.nan, -np.inf, -np.inf],
        [1.0, np.nan, np.inf, -1e308],
        [1.0, np.nan, np.nan, -np.inf],
    ):
        with pytest.raises(AssertionError, match="1 of 4"):
            assert_close(np.array(wrong), exact, 1e-3)


def test_rejects_the_network_without_its_bias(case, dtype):
    """The bound is tight enough to see a layer's bias or activation left out."""
    net = random_net([20, 30, 16], "gelu", dtype=dtype)
    x = normal((16, 20), dtype)
    _, exact, bound = case
    last = net.layers[-1]
    without_bias = ln.MLP([*net.layers[:-1], ln.Dense(last.weight, None, last.activation)])
    without_activation = ln.MLP([*net.layers[:-1], ln.Dense(last.weight, last.bias)])
    rounded = net.astype("float32")(x.astype("float32") * np.float32(1 + 2**-12))
    for wrong in (without_bias(x), without_activation(x), rounded):
        with pytest.raises(AssertionError, match="elements are wrong"):
            assert_close(wrong, exact, bound)
