"""`ln.fit` on the data sets that come with scikit-learn, beside what scikit-learn makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import laminet as ln

SEEDS = range(3)


def parts(load, **options):
    return train_test_split(*load(return_X_y=True), random_state=0, **options)


def assert_not_worse(ours, theirs):
    """Of losses sample by sample: no more than three standard errors of their mean difference.

    And half a sample more, for two that agree on all but very few.
    """
    difference = np.asarray(ours, float) - np.asarray(theirs, float)
    noise = 3 * difference.std() / np.sqrt(len(difference)) + 0.5 / len(difference)
    assert difference.mean() < noise


# So many passes are meant.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_digits():
    X, other, y, expected = parts(load_digits, test_size=0.3)
    theirs = MLPClassifier((64, 32), max_iter=60, learning_rate_init=0.003, random_state=0)
    wrong = theirs.fit(X / 16, y).predict(other / 16) != expected
    for seed in SEEDS:
        net = ln.MLP.init([64, 64, 32, 10], "relu", seed=seed, outputs=ln.Classes(range(10)))
        fit = ln.fit(
            *(net, X, y),
            optimizer=ln.optim.AdamW(0.003),
            batch_size=32,
            epochs=60,
            validation=0.15,
            patience=20,
            standardize=True,
            seed=seed,
        )
        errors = fit.network.predict(other) != expected
        assert errors.mean() < 0.04
        assert_not_worse(errors, wrong)
        # What was held out tells what to expect: within four standard errors of a share.
        told = fit.history.metrics["accuracy"][fit.best_epoch - 1]
        share = 1 - errors.mean()
        spread = np.sqrt(max(share * (1 - share), 0.01) * (1 / len(other) + 1 / (0.15 * len(X))))
        assert abs(told - share) < 4 * spread


@pytest.mark.parametrize("outputs", [1, 2])
def test_breast_cancer(outputs):
    X, other, y, expected = parts(load_breast_cancer, test_size=0.3)
    scaler = StandardScaler().fit(X)
    theirs = LogisticRegression().fit(scaler.transform(X), y)
    wrong = theirs.predict(scaler.transform(other)) != expected
    labels = np.array(["malignant", "benign"])
    for seed in SEEDS:
        net = ln.MLP.init([30, 16, outputs], "silu", seed=seed, outputs=ln.Classes(labels))
        fit = ln.fit(
            *(net, X, labels[y]),
            optimizer=ln.optim.AdamW(0.005, weight_decay=1.0),
            batch_size=32,
            epochs=40,
            standardize=True,
            class_weight="balanced",
            seed=seed,
        )
        errors = fit.network.predict(other) != labels[expected]
        assert errors.mean() < 0.07
        assert_not_worse(errors, wrong)


@pytest.mark.parametrize(
    ("optimizer", "epochs"),
    [
        (ln.optim.AdamW(0.003, weight_decay=3.0, average=0.99), 60),
        (ln.optim.LBFGS(weight_decay=0.3), 100),
    ],
    ids=["AdamW", "LBFGS"],
)
def test_diabetes(optimizer, epochs):
    """442 rows of noise beside little that curves: a ridge regression is hard to beat."""
    X, other, y, expected = parts(load_diabetes, test_size=0.3)
    theirs = RidgeCV(np.logspace(-3, 3, 13)).fit(X, y).predict(other)
    for seed in SEEDS:
        net = ln.MLP.init([10, 16, 1], "tanh", dtype="float64", seed=seed)
        net = net.with_outputs(ln.Quantities(["progression"]))
        fit = ln.fit(
            *(net, X, y),
            optimizer=optimizer,
            batch_size=32,
            epochs=epochs,
            standardize="both",
            seed=seed,
        )
        ours = fit.network(other)[:, 0]
        assert_not_worse((ours - expected) ** 2, (theirs - expected) ** 2)
        r2 = 1 - ((ours - expected) ** 2).mean() / expected.var()
        assert r2 > 0.3


@pytest.mark.parametrize(
    ("outputs", "loss"),
    [(ln.Quantities(["u", "v"]), "squared_error"), (ln.Labels(["u", "v"]), "binary_cross_entropy")],
)
def test_targets_in_another_order_than_the_outputs_are_refused(outputs: Any, loss: str) -> None:
    x, y = np.eye(4), np.array([[0.0, 1.0], [1, 1], [0, 0], [1, 0]])
    net = ln.MLP.init([4, 2], seed=0, outputs=outputs)
    with pytest.raises(ValueError, match="y has the columns v, u, and the outputs of the network"):
        ln.fit(net, x, pandas.DataFrame(y, columns=["v", "u"]), loss=loss, epochs=1, progress=False)
    for columns in (["u", "v"], ["a", "b"]):
        table = pandas.DataFrame(y, columns=columns)
        fit = ln.fit(net, x, table, loss=loss, epochs=1, progress=False, seed=0)
        assert fit.network == ln.fit(net, x, y, loss=loss, epochs=1, progress=False, seed=0).network


def test_a_metric_that_is_no_number_is_named() -> None:
    x = np.eye(4)
    with pytest.raises(TypeError, match=r"the metric 'q' must return a number, got an array"):
        ln.fit(
            ln.MLP.init([4, 1], seed=0),
            x,
            x[:, :1],
            validation=0.5,
            metrics={"q": lambda outputs, targets: abs(outputs - targets)},
            epochs=1,
            progress=False,
        )


def test_damaged_states_are_refused_in_words() -> None:
    trainer = ln.Trainer(ln.MLP.init([4, 8, 2], seed=0), "squared_error", seed=0)
    trainer.step(np.eye(4), np.eye(4)[:, :2])
    for name, message in (("format", "no whole number"), ("loss", "not what `state` wrote")):
        with pytest.raises(ValueError, match=rf"state is damaged: '{name}' is {message}"):
            ln.Trainer.restore({**trainer.state(), name: "junk"})
    state = trainer.state()
    del state["network/0.bias"]
    with pytest.raises(ValueError, match=r"has 'first/layers\[0\]\.bias', and of its network that"):
        ln.Trainer.restore(state)
