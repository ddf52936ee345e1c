"""The constants in bounds.py: Lipschitz constants on dense grids, gamma by hand, and tightness."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import forward_bound, gamma, layer_bounds, lipschitz, unit_roundoff
from variants import ACTIVATION_CASES, normal, random_net

import laminet as ln
from laminet import reference

# Dense where the derivatives have their extremes, and far out for the limits.
STEP = 2.0**-14
GRID = np.concatenate(
    [np.linspace(-800, -12, 8001)[:-1], np.arange(-12, 12, STEP), np.linspace(12, 800, 8001)]
)


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_lipschitz_constant(activation):
    slopes = np.abs(reference.activation_derivative(activation, GRID))
    # Second derivatives near these extremes are below 4, and the grid's step is 6e-5, so that the
    # largest value on it is short by 1e-8 at most. What is left is the rounding of the constants.
    assert slopes.max() <= lipschitz(activation)
    assert slopes.max() >= lipschitz(activation) * (1 - 2e-4)


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_difference_quotients_stay_below_it(activation):
    """Independent of the derivatives' formulas, and across every kink."""
    values = reference.activation(activation, GRID)
    quotients = np.abs(np.diff(values)) / np.diff(GRID)
    # Values in the fine part are below 24, beyond it below 1500 and 0.09 apart; 8 ulp for both.
    slack = 2 * 8 * 24 * 2.0**-52 / STEP
    assert np.diff(GRID).min() == STEP
    assert quotients.max() <= lipschitz(activation) + slack
    assert quotients.max() >= lipschitz(activation) * (1 - 2e-4)


def test_gamma():
    assert unit_roundoff(np.float32) == 2.0**-24
    assert unit_roundoff(np.float64) == 2.0**-53
    assert gamma(1, np.float32) == 2.0**-24 / (1 - 2.0**-24)
    assert gamma(1000, np.float32) > 1000 * 2.0**-24
    with pytest.raises(ValueError, match="gamma_16777216"):
        gamma(2**24, np.float32)


def test_one_product_by_hand(dtype):
    """A layer without bias: gamma_{K+1} |W||a| + (K + 1) eta, and the same of the reference."""
    net = ln.MLP([ln.Dense(np.array([[2.0, -3.0, 0.5]], dtype))])
    x = np.array([1.0, 4.0, -2.0], dtype)
    expected = (gamma(4, dtype) + gamma(4, np.float64)) * 15.0
    np.testing.assert_allclose(forward_bound(net, x, dtype), [expected], rtol=1e-8)


def test_the_bound_is_no_wider_than_the_argument_needs(dtype):
    """A vacuous bound accepts every result; for a usual layer it is far below the result."""
    net = random_net([256, 128], "tanh", dtype=dtype)
    x = normal((32, 256), dtype)
    trace = reference.trace(net, x)
    (bound,) = layer_bounds(net, x, dtype)
    scale = np.abs(trace.pre_activations[0]).mean()
    # |W||a| is some sqrt(256) times the size of W a, where signs cancel.
    assert bound.z.max() < 257 * unit_roundoff(dtype) * 32 * scale


def test_the_bound_grows_with_the_error_it_is_given(dtype):
    """Carried from layer to layer: never smaller than what one layer alone could do."""
    net = random_net([64, 64, 64], "identity", dtype=dtype)
    x = normal((8, 64), dtype)
    both = layer_bounds(net, x, dtype)
    alone = layer_bounds(net.layers[1:], reference.trace(net, x).activations[1], dtype)
    assert (both[1].z > 3 * alone[0].z).all()
