"""What a precision is said to cost: derived bounds that hold, and what was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import assert_close
from tree_bounds import value_bound
from trees import Draw

import laminet as ln
from laminet import reference
from laminet.analysis.error_bound import difference_bound, error_bound
from laminet.core.activation import ACTIVATIONS

NARROW = "bfloat16_weights"
COUNT = 300
GROUPS = 12


@pytest.mark.parametrize("precision", [NARROW, "bfloat16"])
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_networks_within_the_bounds(group: int, precision: Any) -> None:
    """The rounded network's own bound, which zeros break; and the moved.

    The unrounded network breaks it, too, but where inputs of products are rounded: then the bound
    is of the size of what weights move by.
    """
    told_apart = without_zeros = bounded = 0
    for index in range(group, COUNT, GROUPS):
        rng = np.random.default_rng([7, index])
        net = Draw(rng, np.float32).network()
        narrow = net.with_precision(precision)
        x = rng.standard_normal((6, net.in_features)).astype(np.float32)
        y, exact, bound = narrow(x), reference.forward(narrow, x), value_bound(narrow, x)
        if not np.isfinite(bound).all():
            continue  # a norm of what may be equal numbers
        assert_close(y, exact, bound)
        told_apart += bool((np.abs(net(x) - exact) > bound).any())
        without_zeros += bool((np.abs(exact) > bound).any())
        moved = difference_bound(net, narrow, x)
        if np.isfinite(moved).all():
            bounded += 1
            assert_close(y, net(x).astype(np.float64), moved)
    assert told_apart >= (5 if precision == NARROW else 0)
    assert without_zeros >= 10
    assert bounded >= 8


def test_the_bound_is_what_weights_move_by() -> None:
    # 1 + 2^-8 - 2^-20 goes to 1: |W' - W| |x|, and gamma_2 of both products.
    weight = float(np.float32(1 + 2.0**-8 - 2.0**-20))
    net = ln.MLP([ln.Dense([[weight]])], dtype="float32")
    bound = difference_bound(net, net.with_precision(NARROW), np.array([[3.0]]))
    gamma = 2 * 2.0**-24 / (1 - 2 * 2.0**-24)
    assert bound[0, 0] == pytest.approx(3 * (weight - 1.0) + gamma * 3 * (weight + 1.0), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (ln.Activation("sigmoid"), 0.25),
        (ln.Activation("gelu"), 1.129),
        (ln.Activation("elu", alpha=3.0), 3.0),
        (ln.Activation("leaky_relu", alpha=[0.5]), 1.0),
        (ln.Activation("hard_sigmoid", alpha=-5.0, beta=0.5), 5.0),
        (ln.Activation("gated", alpha=7.0), 1.0999),
        (ln.Activation("gated", beta=3.0), 1.0999 * 3 - 0.0999),
        (ln.Activation("gated", beta=-2.0), 0.0999 + 2 * 1.0999),
    ],
    ids=repr,
)
def test_functions_pass_an_error_on_by_their_largest_slope(
    function: ln.Activation, slope: float
) -> None:
    net = ln.MLP([ln.Dense([[1.0]]), function], dtype="float32")
    moved = ln.MLP([ln.Dense([[1.5]]), function], dtype="float32")
    bound = difference_bound(net, moved, np.array([[1.0]]))
    assert bound[0, 0] == pytest.approx(0.5 * slope, rel=1e-4)
    x = np.linspace(-8, 8, 2_000_001) / np.max(np.abs(function.parameters.get("alpha", 1.0)))
    seen = np.abs(np.diff(reference.activation(function, x[:, None])[:, 0]) / np.diff(x)).max()
    assert slope * (1 - 1e-3) < seen < slope * (1 + 1e-9)


def test_largest_slopes_are_none_too_small() -> None:
    from laminet.analysis.error_bound import _STEEPEST

    x = np.linspace(-8, 8, 2_000_001)
    assert _STEEPEST.keys() == ACTIVATIONS.keys()
    for name, steepest in _STEEPEST.items():
        if steepest is None:
            continue
        y = reference.forward(
            ln.MLP([ln.Activation(name)], in_features=1, dtype="float64"), x[:, None]
        )
        seen = np.abs(np.diff(y[:, 0]) / np.diff(x)).max()
        assert steepest * (1 - 1e-3) < seen < steepest * (1 + 1e-9), name


@pytest.mark.parametrize("precision", [NARROW, "bfloat16"])
@pytest.mark.parametrize("head", ["softmax", "log_softmax"])
def test_through_heads(head: Any, precision: Any) -> None:
    """Of logits off by e probabilities are off by a factor of exp(2 e), and by no more than 1."""
    logits = ln.MLP.init([40, 3], seed=0)
    net = ln.MLP(logits.layers, head=head)
    narrow = net.with_precision(precision)
    for scale in (1e-3, 1.0, 1e6):
        x = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32) * scale
        bound = difference_bound(net, narrow, x)
        assert_close(narrow(x), net(x).astype(np.float64), bound)
        off = difference_bound(logits, logits.with_precision(precision), x)
        most = off.max(axis=1, keepdims=True)
        y = np.abs(reference.forward(net, x))
        if head == "log_softmax":
            assert (bound <= 2 * most + 1e-5 * (1 + y.max(axis=1, keepdims=True))).all()
        else:
            # Both are within the bound of their own: of the exact, with the weights that are exact.
            assert (bound <= 2 + 1e-5).all()
            if scale <= 1:
                assert (bound <= y * np.expm1(2 * most) + 1e-5).all()
            assert (bound < 0.01).all() or scale > 1e-3


@pytest.mark.parametrize("precision", [NARROW, "bfloat16"])
def test_of_numbers_near_zero(precision: Any) -> None:
    """Products that underflow lose more than a unit roundoff of themselves."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((30, 40)).astype(np.float32)
    x = rng.standard_normal((20, 40)).astype(np.float32)
    off = 0
    for scale in (1e-16, 1e-18, 1e-20, 1e-22):
        net = ln.MLP([ln.Dense(weight * np.float32(scale))])
        narrow = net.with_precision(precision)
        y, exact = narrow(x * np.float32(scale)), reference.forward(narrow, x * np.float32(scale))
        assert_close(y, exact, error_bound(narrow, x * np.float32(scale)))
        bound = difference_bound(net, narrow, x * np.float32(scale))
        assert_close(y, net(x * np.float32(scale)).astype(np.float64), bound)
        off += bool((np.abs(y - exact) > 2.0**-17 * np.abs(exact)).any())
    assert off


def test_says_in_which_precision_outputs_are_not_finite() -> None:
    net = ln.MLP([ln.Dense(np.float32([[1e-9, 0.0]]))])
    # Beyond the largest number of bfloat16, and not of float32.
    with pytest.raises(ValueError, match="in bfloat16 X leads to outputs that are infinite or NaN"):
        ln.compare_precision(net, np.float32([[3.4e38, 1.0]]))
    with pytest.raises(ValueError, match="in float32 X leads"):
        ln.compare_precision(net, np.float32([[np.inf, 1.0]]))


def test_compares_on_the_users_own_data() -> None:
    net = ln.MLP.init([64, 32, 3], seed=0, outputs=ln.Classes(["a", "b", "c"]))
    x = np.random.default_rng(0).standard_normal((5000, 64)).astype(np.float32)
    narrow = net.with_precision(NARROW)
    own, lesser, least = ln.compare_precision(net, x).rows
    assert (own.precision, lesser.precision) == ("float32", NARROW)
    assert (own.max_difference, own.bound, own.changed, own.gain) == (0.0, 0.0, 0.0, 1.0)
    assert lesser.max_difference == np.abs(net(x).astype(float) - narrow(x)).max()
    assert lesser.scale == np.abs(net(x)).max()
    assert lesser.changed == np.mean(net.predict(x) != narrow.predict(x)) > 0
    assert lesser.bound == difference_bound(net, narrow, x).max() > lesser.max_difference
    assert own.weight_bytes == 2 * lesser.weight_bytes == 4 * 64 * 32 + 4 * 32 * 3
    assert lesser.gain == own.seconds / lesser.seconds
    both = net.with_precision("bfloat16")
    assert (least.precision, least.weight_bytes) == ("bfloat16", lesser.weight_bytes)
    assert least.max_difference == np.abs(net(x).astype(float) - both(x)).max()
    assert least.bound == difference_bound(net, both, x).max() > least.max_difference
    assert NARROW in str(ln.compare_precision(net, x[0]))


def test_refuses_what_cannot_be_compared() -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(ValueError, match="lesser precisions are of float32"):
        ln.compare_precision(net.astype("float64"), [1.0, 2.0])
    with pytest.raises(ValueError, match="X has no samples"):
        ln.compare_precision(net, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="infinite or NaN"):
        ln.compare_precision(net, [np.inf, 0.0])
    with pytest.raises(TypeError, match="net must be an MLP"):
        ln.compare_precision([net], [1.0, 2.0])
    assert ln.compare_precision(net, [1.0, 2.0]).rows[1].changed is None


def test_counts_labels_of_logits_that_nobody_named() -> None:
    net = ln.MLP.init([64, 32, 3], seed=0)
    x = np.random.default_rng(0).standard_normal((5000, 64)).astype(np.float32)
    changed = np.mean(net.predict(x) != net.with_precision(NARROW).predict(x))
    assert ln.compare_precision(net, x).rows[1].changed == changed > 0


def test_refuses_what_is_rounded_already_and_names_its_argument() -> None:
    net = ln.MLP.init([2, 1], seed=0)
    with pytest.raises(ValueError, match="its weights are rounded: give the network"):
        ln.compare_precision(net.with_precision(NARROW), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"X has shape \(1, 3\), expected \(batch, 2\)"):
        ln.compare_precision(net, [1.0, 2.0, 3.0])
