"""From the graph of a model to the tree of its layers, and what is folded on the way."""

from __future__ import annotations

import re

import numpy as np
import pytest
from layer_trees import text
from symbolic_values import (
    F8,
    RELU,
    TANH,
    B,
    C,
    U,
    V,
    W,
    X,
    add,
    check,
    laid_out,
    relu,
    series,
    start,
)
from variants import same_bits

import laminet as ln
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.network import network, network_of_several
from laminet.interop.symbolic.tidying import tidied
from laminet.interop.symbolic.value import Value

# --- Sums ----------------------------------------------------------------------------------------


def test_a_sum_with_its_own_beginning_is_a_residual():
    x = start()
    h = x.linear(W, B)
    check(add(h, h.activated(RELU).linear(V)), (z := X @ W.T + B) + relu(z) @ V.T,
          "4>4, x + (relu, 4>4)")  # fmt: skip
    a = h.activated(RELU)
    check(add(a, a.linear(V)), (r := relu(X @ W.T + B)) + r @ V.T, "4>4 relu, x + (4>4)")
    # What comes first does not matter.
    check(add(x.linear(V), x), X + X @ V.T, "x + (4>4)")


def test_a_sum_of_sums_is_one_where_no_one_else_needs_it():
    x = start()
    parts = [x.linear(m).activated(TANH) for m in (W, V, U)]
    expected = sum(np.tanh(X @ m.T) for m in (W, V, U))
    check(add(*parts), expected, "sum(4>4 tanh | 4>4 tanh | 4>4 tanh)")
    check(add(*parts).scaled(1 / 3, 0.0), expected / 3, "mean(4>4 tanh | 4>4 tanh | 4>4 tanh)")
    check(add(*parts).scaled(0.3, 0.0), expected * 0.3,
          "sum(4>4 tanh | 4>4 tanh | 4>4 tanh), scale")  # fmt: skip
    inner = add(parts[0], parts[1])
    both = np.tanh(X @ W.T) + np.tanh(X @ V.T)
    check(add(inner, inner.linear(U)), both + both @ U.T, "sum(4>4 tanh | 4>4 tanh), x + (4>4)")


def test_what_follows_a_sum_is_folded_into_what_comes_after_it():
    x = start()
    total = add(x, x.linear(W)).scaled(B, C)
    z = B * (X + X @ W.T) + C
    check(total.linear(V), z @ V.T, "x + (4>4), 4>4")
    check(total.activated(TANH).linear(V), np.tanh(z) @ V.T, "x + (4>4), scale*shift, tanh, 4>4")


def test_many_residuals_are_no_deeper_than_one():
    x, expected = start().linear(W / 4), X @ W.T / 4
    for _ in range(700):
        x = add(x, x.activated(TANH).linear(V / 700))
        expected = expected + np.tanh(expected) @ V.T / 700
    found = laid_out(x.resolved(), F8)
    assert len(found) == 701
    np.testing.assert_allclose(series(found, X), expected, rtol=0, atol=1e-10)


def test_what_is_added_several_times():
    x = start()
    twice = add(x, add(x, x.linear(W)))
    check(twice, 2 * X + X @ W.T, "sum(x | x | 4>4)")
    h = x.linear(W, B)
    spread = h.averaged().selected(np.zeros(4, int))
    centred = h.combined(spread.scaled(-1.0, 0.0), "add")
    z = X @ W.T + B
    check(add(h, centred), 2 * z - z.mean(1, keepdims=True), "4>4, x + (4>4)")


# --- Joins ---------------------------------------------------------------------------------------


def test_what_several_branches_need_is_computed_once():
    """It is carried along beside the rest: x and h become columns of one value."""
    x = start()
    h = x.linear(W).activated(TANH)
    one, two = Value.joined([h.linear(V), x]), h.linear(U, B)
    t = np.tanh(X @ W.T)
    expected = np.concatenate([np.tanh(np.concatenate([t @ V.T, X], 1)), t @ U.T + B], 1)
    check(Value.joined([one.activated(TANH), two]), expected, "concat(x | 4>4 tanh), "
          "concat(concat([4:8], 4>4 | [0:4]), tanh | [4:8], 4>4)")  # fmt: skip


def test_what_is_carried_may_need_what_else_is_carried():
    x = start()
    h1 = x.linear(W).activated(TANH)
    h2 = add(h1.linear(V), x.linear(U)).activated(RELU)
    parts = [h2.linear(W), h1.linear(U).activated(RELU), add(x, h2).linear(V)]
    t1 = np.tanh(X @ W.T)
    t2 = relu(t1 @ V.T + X @ U.T)
    found = laid_out(Value.joined(parts).resolved(), F8)
    expected = np.concatenate([t2 @ W.T, relu(t1 @ U.T), (X + t2) @ V.T], 1)
    np.testing.assert_allclose(series(found, X), expected, rtol=0, atol=1e-12)
    assert text(found).count("4>4 tanh") == 1


def test_a_part_that_others_need_is_carried_too():
    x = start()
    h = x.linear(W).activated(TANH)
    u = h.linear(V).activated(RELU)
    parts = [h, u.linear(U), u.activated(TANH), x.selected(np.array([3]))]
    t = np.tanh(X @ W.T)
    r = relu(t @ V.T)
    check(Value.joined(parts), np.concatenate([t, r @ U.T, np.tanh(r), X[:, [3]]], 1),
          "concat(4>4 tanh | x), concat([0:4] | [0:4], 4>4 relu | [4:8]), "
          "concat([0:4] | [4:8], 4>4 | [4:8], tanh | [11:12])")  # fmt: skip


def test_the_input_is_carried_whole():
    """However few of its columns what follows takes."""
    x = start()
    h = x.selected(np.array([0, 1])).activated(TANH)
    parts = [h.linear(V[:, :2]), h.activated(RELU), x.selected(np.array([2]))]
    t = np.tanh(X[:, :2])
    check(Value.joined(parts), np.concatenate([t @ V[:, :2].T, relu(t), X[:, [2]]], 1),
          "concat(x | [0:2], tanh), concat([4:6], 2>4 | [4:6], relu | [2:3])")  # fmt: skip


def test_features_of_a_layer():
    x, places = start(), np.array([3, 0])
    h = x.linear(W, B).activated(TANH)
    check(Value(h.resolved().selected(places)), np.tanh(X @ W.T + B)[:, places], "4>2 tanh")
    check(Value(x.activated(TANH).resolved().selected(places)), np.tanh(X)[:, places], "tanh, [2]")


def test_features_of_a_join_are_those_of_its_parts():
    x = start()
    h = x.linear(W).activated(TANH)
    both = Value.joined([h, x.linear(V)])
    assert both.form.selected(np.arange(4)) is h.resolved()
    t, z = np.tanh(X @ W.T), X @ V.T
    some = np.concatenate([z[:, [2, 0]], t[:, [1]]], 1)
    check(Value(both.form.selected(np.array([6, 4, 1]))), some, "concat(4>2 | 4>1 tanh)")
    # Mixed more than the parts are, they are chosen behind it.
    mixed = np.array([0, 4, 1, 5])
    check(Value(both.form.selected(mixed)), np.concatenate([t, z], 1)[:, mixed],
          "concat(4>4 tanh | 4>4), [4]")  # fmt: skip
    scaled = both.scaled(np.arange(8.0), 1.0)
    check(Value(scaled.form.selected(np.array([5, 6]))), z[:, [1, 2]] * [5, 6] + 1, "4>2")


def test_matrices_over_one_value_are_one():
    h = start().linear(W).activated(TANH)
    heads = Value.joined([h.linear(V), h.linear(U[:2], B[:2])])
    t = np.tanh(X @ W.T)
    check(heads, np.concatenate([t @ V.T, t @ U[:2].T + B[:2]], 1), "4>4 tanh, 4>6")


def test_columns_of_the_input():
    x = start()
    left, right = x.selected(np.array([0, 1])), x.selected(np.array([3, 2]))
    parts = [left.activated(TANH), right]
    check(Value.joined(parts), np.concatenate([np.tanh(X[:, :2]), X[:, [3, 2]]], 1),
          "concat([0:2], tanh | [2])")  # fmt: skip
    check(Value.joined([left, right]).linear(W), X[:, [0, 1, 3, 2]] @ W.T, "4>4")


# --- Statistics ----------------------------------------------------------------------------------


def test_a_mean_is_a_matrix_unless_it_centres():
    h = start().linear(W, B)
    z = X @ W.T + B
    mean = h.averaged()
    check(mean, z.mean(1, keepdims=True), "4>4, 4>1")
    check(mean.scaled(2.0, 1.0).activated(TANH).linear(V[:, :1]),
          np.tanh(2 * z.mean(1, keepdims=True) + 1) @ V[:, :1].T, "4>4, 4>1 tanh, 1>4")  # fmt: skip
    spread = mean.selected(np.zeros(4, int))
    centred = h.combined(spread.scaled(-1.0, 0.0), "add")
    check(centred, z - z.mean(1, keepdims=True), "4>4")
    check(h.combined(spread, "add"), z + z.mean(1, keepdims=True), "4>4, x + (4>4)")
    check(h.scaled(3.0, 0.0).combined(spread.scaled(-3.0, 0.0), "add"),
          3 * (z - z.mean(1, keepdims=True)), "4>4, scale")  # fmt: skip


def test_a_normalisation_keeps_its_numbers():
    h = start().linear(W)
    found = laid_out(h.normalised("layer", 1e-3, B, C).linear(V).resolved(), F8)
    assert text(found) == "4>4, norm, 4>4"
    assert (found[1].eps, same_bits(found[1].weight, B), same_bits(found[1].bias, C)) == (
        *(1e-3, True, True),
    )
    assert same_bits(found[2].weight, V)
    n = (X - X.mean(1, keepdims=True)) / np.sqrt(X.var(1, keepdims=True) + 1e-3)
    check(start().normalised("layer", 1e-3, B, C).scaled(C, B), (n * B + C) * C + B,
          "norm, scale*shift")  # fmt: skip
    # A scale behind it is its own; a shift of an RMS normalisation has no place in it.
    found = laid_out(h.normalised("rms", 1e-3).scaled(B, C).resolved(), F8)
    assert text(found) == "4>4, rms, shift"
    assert same_bits(found[1].weight, B)


# --- Networks ------------------------------------------------------------------------------------


def test_outputs_stand_side_by_side_by_their_names():
    x = start()
    h = x.linear(W).activated(TANH)
    both = {"a": h.linear(V[:2]), "b": add(x, h), "c": h.linear(U[:1])}
    found = network_of_several(both, F8)
    t = np.tanh(X @ W.T)
    expected = np.concatenate([t @ V[:2].T, X + t, t @ U[:1].T], 1)
    np.testing.assert_allclose(found(X), expected, atol=1e-13)
    names = ["a[0]", "a[1]", "b[0]", "b[1]", "b[2]", "b[3]", "c"]
    assert found.outputs == ln.Quantities(names)
    assert network_of_several(both, F8, named=False).outputs == ln.Quantities()
    twice = network_of_several({"a[0]": h.linear(V[:1]), "a": h.linear(V[:2])}, F8)
    assert twice.outputs == ln.Quantities()
    alone = network_of_several({"a": h.linear(V).ended("softmax")}, F8)
    assert (alone.outputs, alone.head) == (None, "softmax")
    with pytest.raises(ValueError, match="has several outputs, and a softmax over one of them"):
        network_of_several({"a": h, "b": h.ended("softmax")}, F8)


def test_what_a_network_needs_to_know_of_its_input():
    unknown = Value.input()
    with pytest.raises(ValueError, match="no layer says how many features the network takes"):
        network(unknown.activated(RELU).resolved(), F8)
    assert network(unknown.activated(RELU).resolved(), F8, in_features=3).in_features == 3
    sized = unknown.scaled(np.arange(1.0, 5), 0.0)
    assert network(sized.selected(np.array([2])).resolved(), F8).in_features == 4
    identity = network(start().resolved(), F8)
    assert identity.layers == (ln.Activation("identity"),)
    np.testing.assert_array_equal(identity(X), X)


def test_numbers_that_are_equal_are_one():
    scaled = network(start().activated(TANH).scaled(np.full(4, 2.0), B).resolved(), F8)
    assert (scaled.layers[1].scale, same_bits(scaled.layers[1].shift, B)) == (2.0, True)
    low, high = np.array([-np.inf, -1, -np.inf, 0]), np.full(4, np.inf)
    (clip,) = network(start().clipped(low, high).resolved(), F8).layers
    assert (clip.high, same_bits(clip.low, low)) == (None, True)
    (clip,) = network(start().clipped(np.full(4, np.inf), np.inf).resolved(), F8).layers
    assert (clip.low, clip.high) == (np.inf, None)


# --- Gates by parameters -------------------------------------------------------------------------


def test_layers_that_become_one():
    slopes = ln.Activation("leaky_relu", alpha=[0.1, 0.2, 0.3, 0.4])
    layers = [ln.Dense(W, B, slopes), ln.Select([3, 1])]
    (one,) = tidied(layers)
    np.testing.assert_array_equal(series([one], X), series(layers, X))
    assert len(tidied([ln.Rescale(2.0), ln.Rescale(low=-1.0)])) == 1
    for apart in ([ln.Rescale(2.0), ln.Rescale(3.0)], [ln.Rescale(low=0.0), ln.Rescale(high=-1.0)]):
        np.testing.assert_array_equal(series(tidied(apart), X), series(apart, X))


def test_float32():
    h = start().scaled(B, C).linear(W.astype("f4")).normalised("layer", 1e-5, B, C)
    found = laid_out(add(h, h.linear(V)).resolved(), np.dtype("f4"))
    assert {a.dtype for a in (found[0].weight, found[0].bias, found[1].weight, found[1].bias)} == {
        np.dtype("f4")
    }
    with pytest.raises(ValueError, match=re.escape("a weight of 1e+200 is too large for float32")):
        laid_out(start().linear(np.full((4, 4), 1e200)).resolved(), np.dtype("f4"))


REFUSED = {
    "another product": (
        lambda x: x.linear(W).combined(x.linear(V), "multiply"),
        "multiplies two different results",
    ),
    "other widths": (
        lambda x: x.linear(W[:2]).combined(x.linear(V), "add"),
        "combines values of different numbers of features",
    ),
    "a statistic": (
        lambda x: laid_out(x.linear(W).variance().scaled(1.0, 1e-5).resolved(), F8),
        "is given 1 t^2, which is no activation",
    ),
    "a norm of the wrong width": (
        lambda x: x.normalised("layer", 1e-5, np.ones(3)),
        "an array of shape (3,) does not fit 4 features",
    ),
    "no normalisation": (
        lambda x: x.combined(spread(x).scaled(1.0, 1e-3).power(-0.5), "multiply"),
        "multiplies two different results",
    ),
    "a statistic by what it is of": (
        lambda x: spread(x.power(2)).scaled(1.0, 1e-3).power(0.5).combined(x, "divide"),
        "divides one result by another",
    ),
    "a root of what is no statistic": (lambda x: x.power(0.5), "power 0.5 of t is no part of"),
    "an epsilon that is none": (lambda x: x.normalised("rms", -1.0), "has an epsilon of -1"),
    "bounds that cross": (
        lambda x: x.clipped(B, B - 1),
        "clips to bounds of which the upper is below the lower",
    ),
    "bounds that are none": (lambda x: x.clipped(np.full(4, np.nan), 1.0), "the lower, or NaN"),
    "too many bounds": (lambda x: x.clipped(np.zeros(3), 1.0), "bounds of shape (3,) do not fit"),
    "too many slopes": (lambda x: x.prelu(np.arange(3.0)), "has 3 slopes for 4 features"),
    "a variance of nothing": (lambda x: x.variance(4.0), "is the variance of 4 numbers, divided"),
    "deep branches": (
        lambda x: laid_out(_nested(x, 40).resolved(), F8),
        "has branches within branches, more than 32 deep",
    ),
}


def spread(x):
    """The mean of x, as often as there are features."""
    return x.averaged().selected(np.zeros(4, int))


def _nested(x, depth):
    for _ in range(depth):
        x = add(x, start_of(x).linear(W)).activated(TANH).linear(V)
    return x


def start_of(x):
    return Value(Form(x.form.source, x.form.source, 4))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        make(start())
