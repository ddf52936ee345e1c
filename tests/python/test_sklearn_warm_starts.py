"""laminet.sklearn goes on from a network with the parameters that were set since."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import laminet as ln
from laminet.sklearn import MLPRegressor

X = np.random.default_rng(1).standard_normal((60, 5))
Y = X[:, 0] * X[:, 1]
#: A number for each unit, which is trained.
ALPHA = ln.Activation("leaky_relu", alpha=np.linspace(0.1, 0.2, 5))


def gone_on(model, name="fit", **changed):
    """The layers after more training that moves nothing by more than rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        getattr(model.set_params(**changed), name)(X, Y)
    return model.to_mlp().layers


def regressor(activation):
    settings = {"hidden_layer_sizes": (5, 4), "max_iter": 2, "random_state": 0}
    model = MLPRegressor(activation=activation, warm_start=True, **settings)
    gone_on(model)
    return model.set_params(learning_rate_init=1e-300)


@pytest.mark.parametrize("name", ["fit", "partial_fit"])
def test_what_goes_on_takes_the_activation_and_dropout_of_now(name):
    model = regressor([ALPHA, "relu"])
    trained, second = model.to_mlp().layers[0], model.to_mlp().layers[1]
    assert trained.activation != ALPHA
    layers = gone_on(model, name, dropout=0.5)
    drop = ln.Dropout(0.5)
    assert layers == (trained, drop, second, drop, model.to_mlp().layers[-1])
    layers = gone_on(model, name, dropout=0.0, activation=[ALPHA, "tanh"])
    assert [layer.activation for layer in layers[:2]] == [trained.activation, ln.Activation("tanh")]
    layers = gone_on(model, name, activation="tanh")
    assert [layer.activation.name for layer in layers] == ["tanh", "tanh", "identity"]
    assert np.array_equal(layers[0].weight, trained.weight)
    # The optimiser has kept nothing for these numbers.
    assert gone_on(model, name, activation=[ALPHA, "tanh"])[0].activation == ALPHA


def test_hidden_layers_of_another_number_are_not_made_of_those_there_are():
    model = regressor("relu")
    before = model.to_mlp().layers
    said = r"hidden_layer_sizes is \(3,\), and the network of the fit before.* has \(5, 4\)"
    with pytest.warns(UserWarning, match=said):
        assert gone_on(model, hidden_layer_sizes=(3,), activation="tanh") == before
    assert gone_on(model, hidden_layer_sizes=(5, 4), activation="relu") == before


MOMENTUM = ln.optim.SGD(1e-300, momentum=0.9)
AVERAGED = ln.optim.SGD(1e-300, momentum=0.9, average=0.9)


@pytest.mark.parametrize(
    ("first", "then"),
    [(MOMENTUM, AVERAGED), (AVERAGED, MOMENTUM), (AVERAGED, "sgd"), ("sgd", AVERAGED)],
    ids=repr,
)
def test_an_average_begins_with_what_there_is_and_ends_as_it(first, then):
    """It began with zeros, as of a run that had made steps, or was refused by the core."""
    model = MLPRegressor(
        hidden_layer_sizes=5, solver=first, learning_rate_init=1e-300, alpha=0.0, random_state=0
    )
    before = gone_on(model, "partial_fit")
    for solver in (then, then, first):
        for old, new in zip(before, gone_on(model, "partial_fit", solver=solver), strict=True):
            np.testing.assert_allclose(new.weight, old.weight, rtol=1e-12)


@pytest.mark.parametrize("end", [True, np.True_])
def test_whatever_is_true_ends_training(end):
    """A comparison of NumPy's numbers gives a bool of NumPy."""
    model = MLPRegressor(
        hidden_layer_sizes=5, max_iter=9, random_state=0, callbacks=[lambda _: end]
    )
    gone_on(model)
    assert model.n_iter_ == 1
    gone_on(model, callbacks=[lambda _: not end, lambda _: 1, lambda _: None])
    assert model.n_iter_ == 9
