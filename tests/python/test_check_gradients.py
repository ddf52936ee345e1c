"""`ln.check_gradients`: right gradients are found right, wrong ones wrong, beside kinks too."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from every_layer import network

import laminet as ln

CHECKS = importlib.import_module("laminet.training.check_gradients")

# Central differences in float64 are off by eps^(2/3) of the loss, some 4e-11, times what few
# operations add; gradients in float32 by some roundings of 6e-8.
NEAR = {"float64": 1e-8, "float32": 1e-5}


def samples(features=5, rows=6):
    return np.random.default_rng(1).standard_normal((rows, features))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("squared_error", np.linspace(-1, 1, 18).reshape(6, 3)),
        ("huber", np.linspace(-3, 3, 18).reshape(6, 3)),
        ("poisson", np.arange(18.0).reshape(6, 3)),
        ("cross_entropy", np.arange(6) % 3),
        (ln.losses.CrossEntropy(label_smoothing=0.1), np.arange(6) % 3),
        ("binary_cross_entropy", np.arange(18).reshape(6, 3) % 2),
    ],
)
def test_a_right_gradient(dtype, loss, y):
    net = ln.MLP.init([5, 7, 3], "silu", dtype=dtype, seed=0)
    weights = np.linspace(0.5, 2, 6)
    found = ln.check_gradients(net, samples(), y, loss, sample_weight=weights)
    assert found.max_error < NEAR[dtype] * found.scale
    assert found.loss_error < NEAR[dtype] * max(1.0, abs(found.loss))
    names = ["layers[0].weight", "layers[0].bias", "layers[1].weight", "layers[1].bias"]
    assert [one.parameter for one in found.parameters] == names
    assert [one.entries for one in found.parameters] == [35, 7, 21, 3]
    assert sum(one.kinks for one in found.parameters) == 0
    for one in found.parameters:
        assert abs(one.analytic - one.numerical) <= one.max_error + 2 * one.uncertainty
        assert one.parameter in str(found)
        assert str(one.index) in str(one)
    assert json.loads(json.dumps(found.to_dict()))["worst"]["parameter"] == found.worst.parameter


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
def test_networks_of_every_layer(head):
    net = network("float64", head=head)
    y = np.arange(4) % net.out_features
    found = ln.check_gradients(net, samples(net.in_features, 4), y, class_weight=None, entries=5)
    assert len(found.parameters) == len(ln.reference.parameters(net))
    assert found.max_error < NEAR["float64"] * max(one.scale for one in found.parameters)


def test_weights_of_classes_and_a_sigmoid_at_the_end():
    net = ln.MLP.init([5, 4, 3], "tanh", dtype="float64", seed=0)
    found = ln.check_gradients(net, samples(), np.arange(6) % 3, class_weight=[1.0, 5.0, 0.5])
    assert found.max_error < NEAR["float64"] * found.scale
    two = ln.MLP.init([5, 4, 1], "tanh", output_activation="sigmoid", dtype="float64", seed=0)
    two = two.with_outputs(ln.Classes(["no", "yes"]))
    found = ln.check_gradients(two, samples(), ["no", "yes"] * 3, None, class_weight={"yes": 3.0})
    assert found.max_error < NEAR["float64"] * found.scale


def test_dropout_drops_nothing():
    dense = ln.MLP.init([5, 8, 3], "tanh", dtype="float64", seed=0).layers
    net = ln.MLP([dense[0], ln.Dropout(0.5), dense[1]])
    found = ln.check_gradients(net, samples(), np.arange(6) % 3)
    assert found.max_error < NEAR["float64"] * found.scale


def wrong(monkeypatch, name, index, by):
    right = CHECKS.by_name

    def changed(arrays, places):
        found = {key: np.array(value) for key, value in right(arrays, places).items()}
        found[name][index] += by
        return found

    monkeypatch.setattr(CHECKS, "by_name", changed)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("by", [0.25, -1e-3])
def test_a_wrong_entry_is_found(monkeypatch, activation, by):
    net = ln.MLP.init([5, 7, 3], activation, dtype="float64", seed=0)
    wrong(monkeypatch, "layers[1].weight", (2, 4), by)
    found = ln.check_gradients(net, samples(), np.arange(6) % 3)
    assert (found.worst.parameter, found.worst.index) == ("layers[1].weight", (2, 4))
    assert found.max_error == found.worst.max_error == pytest.approx(abs(by), rel=1e-5)
    assert found.worst.analytic - found.worst.numerical == pytest.approx(by, rel=1e-5)
    others = [one for one in found.parameters if one is not found.worst]
    assert all(one.max_error < NEAR["float64"] * one.scale for one in others)


def test_a_nan_is_the_worst(monkeypatch):
    net = ln.MLP.init([5, 7, 3], "tanh", dtype="float64", seed=0)
    wrong(monkeypatch, "layers[0].bias", 3, np.nan)
    found = ln.check_gradients(net, samples(), np.arange(6) % 3, entries=2)
    assert (found.worst.parameter, found.worst.index) == ("layers[0].bias", (3,))
    assert np.isnan(found.max_error)


def test_an_infinite_loss_beside_is_no_agreement():
    """1.4 (1e308 + 4e307) overflows: a difference without end explains nothing."""
    net = ln.MLP([ln.Dense([[1e308]])], dtype="float64")
    found = ln.check_gradients(net, [[1.4]], [0.0], "absolute_error", step=4e307)
    assert found.parameters[0].numerical == np.inf
    assert np.isnan(found.max_error)


def test_the_largest_entry_is_among_few(monkeypatch):
    net = ln.MLP.init([40, 50, 3], "tanh", dtype="float64", seed=0)
    wrong(monkeypatch, "layers[0].weight", (17, 23), 9.0)
    found = ln.check_gradients(net, samples(40), np.arange(6) % 3, entries=3)
    assert [one.entries for one in found.parameters] == [3, 3, 3, 3]
    assert (found.worst.parameter, found.worst.index) == ("layers[0].weight", (17, 23))
    assert "3 of 2000" in str(found)


@pytest.mark.parametrize("t", [0.0, 0.1, 1 / 3, 0.4, 0.5, 0.7, 0.95, 1.0, 1.5])
@pytest.mark.parametrize("side", [1, -1])
def test_a_kink_explains_what_it_adds_at_any_distance(t, side):
    """Of relu(w - 1), beside 1, by a step of 1/4: as the notes derive it, for slopes 1 apart."""
    step, start = 0.25, 1.0 - 0.25 * side * t
    net = ln.MLP([ln.Dense([[start]], [-1.0], "relu")], dtype="float64")
    weight = ln.check_gradients(net, [[1.0]], [-1.0], "absolute_error", step=step).parameters[0]
    off = max(0.0, 1 - t) / 2
    may_be = (t + abs(3 * t - 1)) if t <= 0.5 else max(0.0, 2 * (1 - t))
    assert abs(weight.analytic - weight.numerical) == pytest.approx(off, abs=1e-14)
    assert weight.uncertainty == pytest.approx(may_be, abs=1e-14)
    assert weight.max_error < 1e-14
    assert weight.kinks == (t < 1)


def test_a_kink_at_the_very_point_is_told():
    """All inputs 0 and biases 0, as of a new network: the central difference is half a slope."""
    net = ln.MLP.init([3, 4, 1], "relu", dtype="float64", seed=0)
    found = ln.check_gradients(net, np.zeros((2, 3)), [1.0, 2.0], "squared_error")
    bias = found.parameters[1]
    assert bias.analytic == 0
    assert abs(bias.numerical) > 0.1
    assert bias.max_error == 0
    assert bias.kinks == 4


def test_refusals():
    net = ln.MLP.init([5, 4, 3], seed=0)
    y = np.arange(6) % 3
    with pytest.raises(ValueError, match="X has no samples"):
        ln.check_gradients(net, np.empty((0, 5)), [])
    with pytest.raises(ValueError, match="y has 5 rows, and X has 6"):
        ln.check_gradients(net, samples(), y[:5])
    with pytest.raises(ValueError, match="X must be finite: row 2 holds NaN"):
        ln.check_gradients(net, np.where(np.arange(6)[:, None] == 2, np.nan, samples()), y)
    with pytest.raises(ValueError, match="step must be a positive number"):
        ln.check_gradients(net, samples(), y, step=0.0)
    with pytest.raises(ValueError, match="entries must be at least 1, got 0"):
        ln.check_gradients(net, samples(), y, entries=0)
    with pytest.raises(ValueError, match="no parameters"):
        ln.check_gradients(ln.MLP([ln.Rescale(2.0)], in_features=5), samples(), samples())
