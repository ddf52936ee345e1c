"""From the graph of a model to the tree of its layers, and what is folded on the way."""

from __future__ import annotations

import re

import numpy as np
import pytest
from layer_trees import answer, series, text
from variants import normal, same_bits

from laminet.core.activation import Activation
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.layout import laid_out
from laminet.interop.symbolic.network import network, tree
from laminet.interop.symbolic.reading import BranchError, Reading
from laminet.interop.symbolic.value import Value

F8 = np.dtype("float64")
X = normal((9, 4), "f8") * 2
W, V, U = (normal((4, 4), "f8", seed=i) for i in (1, 2, 3))
B, C = normal((4,), "f8", seed=4), normal((4,), "f8", seed=5)
RELU, TANH = Activation("relu"), Activation("tanh")


def relu(x):
    return np.maximum(x, 0)


def start(width=4, blocks=True):
    return Value.input(width, reading=Reading(blocks))


def check(value, expected, layers):
    found = laid_out(value.resolved(), F8)
    assert text(found) == layers
    got = series(found, X)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())


def add(*values):
    total = values[0]
    for value in values[1:]:
        total = total.combined(value, "add")
    return total


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
    check(Value.joined([one.activated(TANH), two]), expected,
          "concat(x | 4>4 tanh), concat(concat([4], 4>4 | [4]), tanh | [4], 4>4)")  # fmt: skip


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
          "concat(4>4 tanh | x), concat([4] | [4], 4>4 relu | [4]), "
          "concat([4] | [4], 4>4 | [4], tanh | [1])")  # fmt: skip


def test_the_input_is_carried_whole():
    """However few of its columns what follows takes."""
    x = start()
    h = x.selected(np.array([0, 1])).activated(TANH)
    parts = [h.linear(V[:, :2]), h.activated(RELU), x.selected(np.array([2]))]
    t = np.tanh(X[:, :2])
    check(Value.joined(parts), np.concatenate([t @ V[:, :2].T, relu(t), X[:, [2]]], 1),
          "concat(x | [2], tanh), concat([2], 2>4 | [2], relu | [1])")  # fmt: skip


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
          "concat([2], tanh | [2])")  # fmt: skip
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
    found = tree({"a": h.linear(V), "b": add(x, h)}, F8, 4)
    t = np.tanh(X @ W.T)
    np.testing.assert_allclose(answer(found, X), np.concatenate([t @ V.T, X + t], 1), atol=1e-13)
    assert found.outputs == (("a", 4), ("b", 4))
    alone = tree({"a": h.linear(V).ended("softmax")}, F8, 4)
    assert (alone.outputs, alone.head) == ((), "softmax")


def test_a_chain_is_a_network_and_all_else_is_told():
    x = start()
    chain = x.scaled(B, C).linear(W).activated(TANH).linear(V)
    plain = start(blocks=False).scaled(B, C).linear(W).activated(TANH).linear(V)
    assert network(chain.resolved(), F8) == network(plain.resolved(), F8)
    message = "is no chain of dense layers: it has LayerNorm, Residual"
    with pytest.raises(ValueError, match=re.escape(message)):
        network(add(x, x.linear(W)).normalised("layer", 1e-5).resolved(), F8)


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
        "combines two results of different layers",
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
        "combines two results of different layers",
    ),
    "a statistic by what it is of": (
        lambda x: spread(x.power(2)).scaled(1.0, 1e-3).power(0.5).combined(x, "divide"),
        "combines two results of different layers",
    ),
    "a root of what is no statistic": (lambda x: x.power(0.5), "power 0.5 of t is no part of"),
    "an epsilon that is none": (lambda x: x.normalised("rms", -1.0), "has an epsilon of -1"),
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


def test_without_blocks_branches_are_refused_where_they_are_met():
    x = start(blocks=False)
    makes = (
        lambda: add(x, x.linear(W)),
        lambda: x.normalised("layer", 1e-5),
        lambda: joined([x.linear(W).activated(TANH).resolved(), x.resolved()]),
    )
    for make in makes:
        with pytest.raises(BranchError):
            make()
