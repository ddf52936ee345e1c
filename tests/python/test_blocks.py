"""Layers of every kind: as values, what they refuse, and how they fit together."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from every_layer import F4, dense, every_kind
from variants import same_bits

import laminet as ln
from laminet import reference

# --- Layers as values ----------------------------------------------------------------------------


@pytest.mark.parametrize("layer", every_kind(), ids=lambda layer: type(layer).__name__)
def test_copies_and_pickles_are_equal(layer):
    for again in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        assert again == layer
        assert type(again) is type(layer)
    assert layer != dense(4, 4)
    assert layer != "a"
    assert f"{type(layer).__name__}(" in repr(layer)


@pytest.mark.parametrize(
    "layer", [x for x in every_kind() if not isinstance(x, ln.Activation)], ids=repr
)
def test_layers_never_change_and_have_no_hash(layer):
    with pytest.raises(AttributeError, match="never changes"):
        setattr(layer, layer._fields[0], None)
    with pytest.raises(AttributeError, match="never changes"):
        delattr(layer, layer._fields[0])
    with pytest.raises(TypeError, match="unhashable"):
        hash(layer)
    assert "<table>" in layer._repr_html_()


def test_equality_is_of_bits():
    assert ln.Rescale(shift=0.0) != ln.Rescale(shift=-0.0)
    assert ln.LayerNorm(np.zeros(2, F4)) != ln.LayerNorm(-np.zeros(2, F4))
    assert ln.LayerNorm(np.zeros(2, F4)) != ln.LayerNorm(np.zeros(2))
    nan = np.array([np.nan], F4)
    assert ln.RMSNorm(nan) == ln.RMSNorm(nan.copy())
    assert ln.Rescale([1.0, 2.0]) != ln.Rescale(1.0)
    assert ln.Select(slice(0, 2)) != ln.Select([0, 1])
    layers = [dense(2, 2)]
    assert ln.Residual(layers) == ln.Residual(layers) != ln.Residual([dense(2, 2, "relu")])
    assert ln.Parallel([layers], "sum") != ln.Parallel([layers], "mean")


class OwnDropout(ln.Dropout):
    """Of another class, and so another layer."""


def test_layers_of_other_classes_are_others():
    assert OwnDropout(0.5) == OwnDropout(0.5) != ln.Dropout(0.5)
    assert isinstance(pickle.loads(pickle.dumps(OwnDropout(0.5))), OwnDropout)


def test_arrays_are_referred_to_and_read_only():
    weight = np.ones(3, F4)
    for layer in (ln.LayerNorm(weight), ln.RMSNorm(weight), ln.Rescale(weight)):
        array = layer._arrays()[0]
        assert np.shares_memory(array, weight)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2


def test_dtypes():
    assert ln.LayerNorm(np.ones(2, np.float16)).dtype == np.float32
    assert ln.LayerNorm(np.ones(2, F4), [1.0, 2.0]).dtype == np.float64
    assert ln.LayerNorm().dtype is ln.Rescale(2.0).dtype is ln.Select([0]).dtype is None
    assert ln.Residual([ln.Dropout(0.1)]).dtype is None
    assert ln.Parallel([[dense(2, 2)], [dense(2, 2, dtype=float)]]).dtype == np.float64
    assert ln.MLP([dense(2, 2), ln.RMSNorm([1.0, 1.0])]).dtype == np.float64
    assert ln.MLP([ln.Dropout(0.1)], in_features=2).dtype == np.float32
    assert ln.MLP([ln.Dropout(0.1)], in_features=2, dtype="float64").dtype == np.float64
    with pytest.raises(ValueError, match=r"a weight of 1e\+300 is too large for float32"):
        ln.MLP([ln.RMSNorm([1e300])], dtype="float32")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ln.Rescale([[1.0]]), ValueError, r"scale must have shape \(features,\)"),
        (lambda: ln.Rescale([]), ValueError, r"scale must have shape \(features,\)"),
        (lambda: ln.Rescale([1, 2], [1, 2, 3]), ValueError, "shift has 3 numbers, scale has 2"),
        (lambda: ln.Rescale(low=1.0, high=0.0), ValueError, "low must not be above high"),
        (lambda: ln.Rescale(low=np.nan), ValueError, "low must be a number or infinity, got NaN"),
        (lambda: ln.Rescale("a"), TypeError, "scale"),
        (lambda: ln.Rescale(True), TypeError, "scale must be a real number, got bool"),
        (lambda: ln.Rescale(None), TypeError, "scale must be a number, got None"),
        (lambda: ln.LayerNorm(np.ones((2, 2))), ValueError, r"weight must have shape \(features,"),
        (lambda: ln.LayerNorm([1, 2], [1]), ValueError, "bias has 1 numbers, weight has 2"),
        (lambda: ln.LayerNorm(eps=-1.0), ValueError, "eps must be a finite number of at least 0"),
        (lambda: ln.RMSNorm(eps=np.inf), ValueError, "eps must be a finite number of at least 0"),
        (lambda: ln.RMSNorm(eps="a"), TypeError, "eps must be a real number, got str"),
        (lambda: ln.Select([]), ValueError, "columns is empty"),
        (lambda: ln.Select(3), TypeError, "columns must be a slice or a sequence of integers"),
        (lambda: ln.Select([True, False]), TypeError, "got one of bool"),
        (lambda: ln.Select([1.0]), TypeError, "got one of float"),
        (lambda: ln.Select("ab"), TypeError, "got str"),
        (lambda: ln.Select(slice(0.5)), TypeError, "stop of the slice must be an integer"),
        (lambda: ln.Select(slice(0, 1, 0)), ValueError, "the step of the slice is 0"),
        (lambda: ln.Residual([]), ValueError, "needs at least one layer"),
        (lambda: ln.Residual(ln.Dropout(0)), TypeError, "layers must be a list of layers"),
        (lambda: ln.Residual([5]), TypeError, r"layers\[0\] must be a layer, .* got int"),
        (lambda: ln.Residual(["relu"]), TypeError, r"ln.Activation\('relu'\)\?"),
        (lambda: ln.Parallel([]), ValueError, "branches is empty"),
        (lambda: ln.Parallel([dense(2, 2)]), TypeError, r"branches\[0\] must be a list of layers"),
        (lambda: ln.Parallel([[], [1]]), TypeError, r"branches\[1\]\[0\] must be a layer"),
        (lambda: ln.Parallel([[]], "add"), ValueError, "unknown join 'add', did you mean 'sum'"),
        (lambda: ln.Parallel([[]], "x"), ValueError, "expected one of concat, sum, mean"),
        (lambda: ln.Parallel([[]], 1), TypeError, "join must be a str"),
        (lambda: ln.Dropout(1.0), ValueError, "rate must be at least 0 and less than 1, got 1.0"),
        (lambda: ln.Dropout(np.nan), ValueError, "rate must be at least 0"),
        (lambda: ln.Dropout(False), TypeError, "rate must be a real number, got bool"),
    ],
)
def test_what_layers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- Activations as layers and with parameters by unit -------------------------------------------


def test_activation_by_unit():
    alpha = np.array([0.5, 0.25, 2.0])
    prelu = ln.Activation("leaky_relu", alpha=alpha)
    alpha[:] = 0
    assert prelu == ln.Activation("leaky_relu", alpha=[0.5, 0.25, 2])
    assert prelu != ln.Activation("leaky_relu", alpha=0.5)
    assert len({prelu, ln.Activation("leaky_relu", alpha=[0.5, 0.25, 2])}) == 1
    assert prelu.in_features == 3
    assert ln.Activation("leaky_relu").in_features is None
    assert str(prelu) == "leaky_relu(alpha by unit)"
    assert repr(prelu) == "Activation('leaky_relu', alpha=[0.5, 0.25, 2.0])"
    for again in (prelu, pickle.loads(pickle.dumps(prelu)), copy.deepcopy(prelu)):
        assert again == prelu
        with pytest.raises(ValueError, match="read-only"):
            again.alpha[0] = 1
    x = np.array([[-2.0, 4.0, -1.0]], F4)
    layer = ln.Dense(np.eye(3, dtype=F4), None, prelu)
    for net in (ln.MLP([layer]), ln.MLP([prelu])):
        assert same_bits(net(x), np.array([[-1.0, 4.0, -2.0]], F4))
        np.testing.assert_array_equal(net.jacobian(x)[0], np.diag([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ln.Activation("elu", alpha=[[1.0]]), ValueError, r"got shape \(1, 1\)"),
        (lambda: ln.Activation("elu", alpha=[]), ValueError, r"got shape \(0,\)"),
        (lambda: ln.Activation("elu", alpha=[1.0, np.inf]), ValueError, "alpha must be finite"),
        (lambda: ln.Activation("elu", alpha=[True]), TypeError, "alpha must hold real numbers"),
        (lambda: ln.Activation("elu", alpha=["a"]), TypeError, "alpha"),
        (
            lambda: ln.Activation("hard_sigmoid", alpha=[1.0], beta=[1.0, 2.0]),
            ValueError,
            "alpha has 1 numbers, beta 2",
        ),
        (
            lambda: ln.Dense(np.ones((2, 2)), None, ln.Activation("elu", alpha=[1.0])),
            ValueError,
            "activation has parameters for 1 units, the layer has 2",
        ),
        (
            lambda: ln.linear([1.0], [[1.0]], None, ln.Activation("elu", alpha=[1.0])),
            ValueError,
            "linear takes parameters of elu that are numbers",
        ),
    ],
)
def test_what_activations_by_unit_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- How layers fit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [dense(3, 4), ln.LayerNorm(np.ones(5))],
            r"layers\[1\] takes 5 features, layers\[0\] gives 4",
        ),
        (
            [ln.LayerNorm(np.ones(5)), ln.Rescale(np.ones(6))],
            r"layers\[1\] takes 6 features, layers\[0\] gives 5",
        ),
        (
            [dense(3, 4), ln.Dropout(0), ln.Parallel([[], [dense(5, 1)]])],
            r"layers\[2\].branches\[1\]\[0\] takes 5 features, layers\[1\] gives 4",
        ),
        (
            [ln.Residual([dense(3, 4), ln.Residual([dense(4, 3), dense(2, 4)])])],
            r"layers\[0\].layers\[1\].layers\[1\] takes 2 features, "
            r"layers\[0\].layers\[1\].layers\[0\] gives 3",
        ),
        ([ln.Residual([dense(3, 4)])], r"layers\[0\] makes 4 features of 3, and cannot add them"),
        (
            [ln.Parallel([[dense(3, 4)], [dense(3, 5)]], "sum")],
            r"layers\[0\].branches\[1\] gives 5 features, layers\[0\].branches\[0\] gives 4: "
            "join='sum'",
        ),
        (
            [ln.Parallel([[dense(3, 4)], [dense(2, 5)]])],
            r"layers\[0\].branches\[1\]\[0\] takes 2 features, the input has 3",
        ),
        ([dense(3, 4), ln.Select([0, 4])], r"layers\[1\] selects column 4 of 4"),
        ([dense(3, 4), ln.Select([-5])], r"layers\[1\] selects column -5 of 4"),
        ([dense(3, 4), ln.Select(slice(4, 9))], r"layers\[1\] selects no columns of 4"),
        (
            [dense(3, 2), ln.Activation("elu", alpha=[1.0])],
            r"layers\[1\] takes 1 features, layers\[0\] gives 2",
        ),
    ],
)
def test_what_does_not_fit(layers, message):
    with pytest.raises(ValueError, match=message):
        ln.MLP(layers)
    with pytest.raises(ValueError, match=message):
        reference.forward(layers, np.zeros(3))


def test_who_says_the_width():
    assert ln.MLP([ln.Activation("relu"), ln.Residual([ln.RMSNorm(np.ones(3))])]).in_features == 3
    assert ln.MLP([ln.Parallel([[], [dense(3, 4)]])]).sizes == (3, 7)
    assert ln.MLP([ln.Select([1])], in_features=4).sizes == (4, 1)
    for layers in ([ln.Select([1]), dense(1, 2)], [ln.Activation("relu")], [ln.Parallel([[]])]):
        with pytest.raises(ValueError, match=r"do not say how many features .* in_features="):
            ln.MLP(layers)
    with pytest.raises(ValueError, match=r"layers\[0\] takes 3 features, in_features is 4"):
        ln.MLP([dense(3, 4)], in_features=4)
    with pytest.raises(ValueError, match="in_features must be at least 1"):
        ln.MLP([ln.Select([0])], in_features=0)
    with pytest.raises(TypeError, match="in_features must be an integer"):
        ln.MLP([ln.Select([0])], in_features="3")
    assert ln.MLP([ln.Select([1])], in_features=2, feature_names=["a", "b"])([1, 2]) == 2
    with pytest.raises(ValueError, match="feature_names has 1 names, the network takes 2"):
        ln.MLP([ln.Select([1])], in_features=2, feature_names=["a"])
