"""The algebra of the importers: features that are selected and joined, and still one chain."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from variants import normal, same_bits

import laminet as ln
from laminet.core.activation import Activation
from laminet.interop.symbolic import forms
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.network import network

F8 = np.dtype("float64")
X = normal((9, 6), "float64")
W = normal((4, 6), "float64", seed=1)
V = normal((3, 4), "float64", seed=2)
B = normal((4,), "float64", seed=3)
TANH = Activation("tanh")


def answer(form, x=X):
    return network(form, F8)(x)


def check(form, expected):
    np.testing.assert_allclose(answer(form), expected, rtol=0, atol=1e-14)


INDICES = {
    "one": [2],
    "some": [1, 3],
    "another order": [3, 0, 2],
    "all, another order": [5, 4, 3, 2, 1, 0],
    "twice": [1, 1, 4],
}


@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
def test_of_the_input(indices):
    part = Form.input(6).selected(np.array(indices))
    check(part, X[:, indices])
    w = normal((2, len(indices)), "float64")
    check(part.linear(w), X[:, indices] @ w.T)
    check(part.activated(TANH), np.tanh(X[:, indices]))
    check(part.scaled(2.0, 1.0).linear(w), (2 * X[:, indices] + 1) @ w.T)
    check(part.activated(TANH).linear(w), np.tanh(X[:, indices]) @ w.T)


def test_weights_of_selected_inputs_keep_their_bits():
    part = Form.input(6).selected(np.array([4, 1]))
    selection, layer = network(part.linear(W[:, :2].astype("f4")), np.dtype("f4")).layers
    assert selection == ln.Select([1, 4])
    assert same_bits(np.ascontiguousarray(layer.weight[:, [1, 0]]), W[:, :2].astype("f4"))


def test_what_is_left_out_of_a_sample_may_be_anything():
    """A weight of 0 would make NaN of it."""
    x = X.copy()
    x[:, [0, 2, 3, 5]] = [np.nan, np.inf, -np.inf, np.nan]
    got = answer(Form.input(6).selected(np.array([4, 1, 4])).linear(W[:, :3]), x)
    np.testing.assert_allclose(got, x[:, [4, 1, 4]] @ W[:, :3].T, rtol=0, atol=1e-14)


def test_of_a_scaled_input():
    scale, shift = np.arange(1.0, 7), np.arange(6.0)
    whole = Form.input(6).scaled(scale, shift)
    check(whole.selected(np.array([5, 2])), (scale * X + shift)[:, [5, 2]])
    check(Form.input(6).scaled(3.0, 0.0).selected(np.array([5, 2])), 3 * X[:, [5, 2]])


@pytest.mark.parametrize("indices", [[2], [3, 0], [1, 1, 2]])
def test_of_a_layer(indices):
    z = X @ W.T + B
    layer = Form.input().linear(W, B)
    check(layer.selected(np.array(indices)), z[:, indices])
    a = layer.activated(TANH)
    check(a.selected(np.array(indices)), np.tanh(z)[:, indices])
    scaled = a.scaled(np.arange(4.0), 1.0)
    check(scaled.selected(np.array(indices)), (np.tanh(z) * np.arange(4) + 1)[:, indices])
    # The rows of the layer that nobody takes are gone.
    assert network(a.selected(np.array(indices)), F8).sizes == (6, len(indices))


def test_selections_of_selections():
    part = Form.input(6).selected(np.array([5, 3, 1])).selected(np.array([2, 0]))
    check(part, X[:, [1, 5]])
    layer = Form.input().linear(W, B).selected(np.array([3, 1])).selected(np.array([1]))
    check(layer, (X @ W.T + B)[:, [1]])


def test_all_in_order_is_the_value_itself():
    for whole in (Form.input(6), Form.input().linear(W, B), Form.input().linear(W).activated(TANH)):
        assert whole.selected(np.arange(whole.width)) is whole


def test_parts_are_joined_again():
    whole = Form.input(6)
    left, right = whole.selected(np.arange(4)), whole.selected(np.arange(4, 6))
    assert joined([left, right]) is whole
    check(joined([right, left]), X[:, [4, 5, 0, 1, 2, 3]])
    check(joined([right, right]), X[:, [4, 5, 4, 5]])
    layer = Form.input().linear(W, B).activated(TANH)
    halves = [layer.selected(np.arange(2)), layer.selected(np.arange(2, 4))]
    assert joined(halves) is layer
    assert joined([layer]) is layer


def test_layers_over_the_same_value_are_joined():
    hidden = Form.input().linear(W, B).activated(TANH)
    both = joined([hidden.linear(V), hidden.linear(V[:2], np.ones(2))])
    a = np.tanh(X @ W.T + B)
    check(both, np.concatenate([a @ V.T, a @ V[:2].T + 1], axis=1))
    whole = Form.input(6)
    of_inputs = joined([whole.selected(np.arange(3)).linear(V[:, :3]), whole.linear(W)])
    check(of_inputs, np.concatenate([X[:, :3] @ V[:, :3].T, X @ W.T], axis=1))


def test_the_algebra_knows_no_framework():
    """Frameworks are tables over it."""
    folder = Path(forms.__file__).parent
    files = sorted(folder.glob("*.py"))
    assert len(files) > 10
    for path in files:
        found = re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(), re.MULTILINE)
        others = {name for name in found if name.startswith("laminet.interop")}
        assert all(name.startswith("laminet.interop.symbolic") for name in others), path.name
        assert not {"torch", "onnx", "keras", "sklearn"} & {n.partition(".")[0] for n in found}


REFUSED = {
    "two inputs": (
        lambda: joined([Form.input(name="a").linear(W), Form.input(name="b").linear(W)]),
        "joins results of different inputs",
    ),
    "two widths": (
        lambda: joined([(x := Form.input()).linear(W), x.linear(V)]),
        "take different numbers of features",
    ),
    "of unknown width": (
        lambda: Form.input().selected(np.array([0])),
        "an unknown number of features",
    ),
    "outside": (lambda: Form.input(3).selected(np.array([3])), "selects feature 3 of 3"),
    "none": (lambda: Form.input(3).selected(np.array([], int)), "selects 0 features"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_what_needs_no_activation_is_one_layer():
    whole = Form.input(6)
    left, right = whole.selected(np.arange(4)).scaled(2.0, 1.0), whole.selected(np.arange(4, 6))
    check(joined([left, right]), np.concatenate([2 * X[:, :4] + 1, X[:, 4:]], axis=1))
    check(joined([whole, whole.linear(W, B)]), np.concatenate([X, X @ W.T + B], axis=1))
