"""The bound on the error of a forward pass, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import trees
from tree_bounds import value_bound
from variants import normal

import laminet as ln
from laminet import reference
from laminet.analysis import error_bound

UNIT = 2.0**-24


def gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


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
    inner = [ln.Dense(np.eye(2)), ln.Activation("tanh")]
    for layers in ([ln.Dense(np.eye(2), activation="tanh")], [ln.Residual(inner)]):
        with pytest.raises(ValueError, match="identity and relu"):
            error_bound(ln.MLP(layers), np.ones((1, 2)))
    with pytest.raises(ValueError, match="without a head"):
        error_bound(ln.MLP([ln.Dense(np.eye(2))], head="softmax"), np.ones((1, 2)))
    for x in (np.ones((1, 3)), np.ones((1, 1, 2)), 1.0):
        with pytest.raises(ValueError, match=r"x has shape .*, expected \(2,\) or \(batch, 2\)"):
            error_bound(ln.MLP([ln.Dense(np.eye(2))]), x)


def test_of_each_kind_of_layer() -> None:
    """Of a number 3 that is exact, and of 2 with an error that one product makes."""
    weight = np.float32([[2.0]])
    dense, exact = ln.Dense(weight), np.array([3.0])

    def bound(*layers) -> float:
        return error_bound(ln.MLP(layers, in_features=1, dtype="float32"), exact)[0]

    e = gamma(2) * 6
    assert bound(dense) == pytest.approx(e, rel=1e-14)
    for free in (ln.Activation("relu"), ln.Dropout(0.5), ln.Select([0])):
        assert bound(dense, free) == bound(dense)
    assert bound(ln.Rescale(-2.0, 5.0)) == pytest.approx(gamma(2) * 11, rel=1e-14)
    scaled = 2 * e + gamma(2) * (2 * (6 + e) + 5)
    assert bound(dense, ln.Rescale(-2.0, 5.0)) == pytest.approx(scaled, rel=1e-14)
    assert bound(dense, ln.Rescale(-2.0, 5.0, -7.0, None)) == bound(dense, ln.Rescale(-2.0, 5.0))
    off = 0.7 - float(np.float32(0.7))
    above = gamma(2) * 3 + abs(off)
    assert bound(ln.Rescale(high=0.7)) == pytest.approx(above, rel=1e-14)
    both = ln.Parallel([[dense], [], [ln.Rescale()]], "sum")
    small = gamma(2) * 3
    assert bound(both) == pytest.approx(e + small + gamma(3) * (6 + e + 3 + 3 + small), rel=1e-14)
    mean = bound(ln.Parallel(both.branches, "mean"))
    assert mean == pytest.approx((e + small + gamma(4) * (12 + e + small)) / 3, rel=1e-14)
    # Either a product whose sum begins with x, or one that x is added to: whichever is worse.
    apart = e + gamma(2) * (3 + 6 + e)
    assert bound(ln.Residual([dense])) == pytest.approx(max(gamma(3) * 9, apart), rel=1e-14)
    halves = ln.MLP([ln.Residual([ln.Dense(0.5 * np.eye(4, dtype=np.float32))])])
    of_four = error_bound(halves, np.full(4, 3.0))
    assert of_four == pytest.approx([gamma(6) * 4.5] * 4, rel=1e-14)
    joined = bound(dense, ln.Residual([dense, ln.Activation("relu")]))
    inner = 2 * e + gamma(2) * 2 * (6 + e)
    assert joined == pytest.approx(e + inner + gamma(2) * (18 + e + inner), rel=1e-14)
    # c = 3, s = sqrt(9 + 16) = 5, y = 0.6; gamma_{1+4}
    e_s = gamma(5) * 5
    e_y = 0.6 * e_s / (5 - e_s)
    e_y += gamma(3) * (0.6 + e_y)
    rms = 2 * e_y + gamma(2) * 2 * (0.6 + e_y)
    assert bound(ln.RMSNorm([2.0], eps=16.0)) == pytest.approx(rms, rel=1e-12)
    # c = 0, off by gamma_5 of twice 3; y = 0, and the bias is added.
    e_c = gamma(5) * 6
    e_s = e_c + gamma(5) * (4 + e_c)
    e_y = e_c / (4 - e_s) * (1 + gamma(3))
    of_bias = 2 * e_y + gamma(2) * (2 * e_y + 7)
    layer = bound(ln.LayerNorm([2.0], [-7.0], eps=16.0))
    assert layer == pytest.approx(of_bias, rel=1e-12)
    assert bound(dense, ln.LayerNorm(eps=0.0)) == np.inf


@pytest.mark.parametrize("seed", range(40))
def test_no_network_of_any_layers_is_further_off(
    seed: int, dtype: np.dtype, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "ACTIVATIONS", ("identity", "relu"))
    net = trees.Draw(np.random.default_rng(seed), dtype).network()
    for x in (normal((5, net.in_features), dtype), normal(net.in_features, dtype)):
        bound, derived = error_bound(net, x), value_bound(net, x)
        assert bound.shape == (*x.shape[:-1], net.out_features)
        if dtype == np.float32:  # of the reference the errors are as large as those of float64
            assert (np.abs(net(x) - reference.forward(net, x)) <= bound * (1 + 1e-6)).all()
        # The tests' own bound has the reference's errors, and underflow, besides.
        assert (bound <= 1.2 * derived).all()
        assert (bound >= 0.3 * derived - 1e-300 - 1e-40 * (dtype == np.float32)).all()


def test_numbers_that_are_rounded_for_the_network() -> None:
    """0.1 is none of float32, nor is a bound of 0.7 that all of 3 are brought to."""
    for net in (
        ln.MLP([ln.Rescale(0.1, 0.3)], in_features=1),
        ln.MLP([ln.Rescale(low=-1.0, high=0.7)], in_features=1),
    ):
        x = np.float32([[3.0], [2.9], [5e5]])
        off = np.abs(net(x) - reference.forward(net, x))
        assert off.max() > 0
        assert (off <= error_bound(net, x)).all()
