"""`ln.fit` on the data sets that come with scikit-learn, beside what scikit-learn makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
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


@pytest.mark.parametrize("wanted", [False, "inputs", "both"])
def test_factors_are_by_layers_of_the_network_that_is_given(wanted: Any) -> None:
    """Where data is standardised, a layer comes before them."""
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    block = ln.Residual([ln.MLP.init([3, 3], "tanh", seed=1).layers[0]])
    net = ln.MLP([block, *ln.MLP.init([3, 8, 1], "tanh", seed=0).layers])

    def same(factors: Any) -> list[bool]:
        """Which layers a run leaves as they are."""
        optimizer = ln.optim.SGD(0.1, learning_rate_factors=factors)
        options = {"epochs": 2, "seed": 0, "progress": False, "standardize": wanted}
        made = ln.fit(net, x, x.sum(axis=1), optimizer=optimizer, **options).network
        layers = made.layers[1:] if wanted else made.layers
        return [a == b for a, b in zip(net.layers, layers, strict=False)]

    assert same([0.0, 1.0, 0.0]) == [True, False, True]
    assert same({"layers[0]": 0.0}) == [True, False, False]
    assert same({"layers[0].layers[0]": 0.0, "layers[2]": 0.0}) == [True, False, True]
    assert same({"layers[1]": 0.0}) == [False, True, False]
    with pytest.raises(ValueError, match="has 4 numbers, the network has 3 layers"):
        same([1.0] * 4)
    with pytest.raises(ValueError, match=r"no parameters in 'layers\[3\]', expected layers\[0\]"):
        same({"layers[3]": 1.0})


def test_labels_come_as_whatever_holds_text() -> None:
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    labels = np.where(x[:, 0] > 0, "yes", "no")
    net = ln.MLP.init([3, 2], seed=0, outputs=ln.Classes(["no", "yes"]))
    texts: list[Any] = labels.tolist()
    arrow = pyarrow.array(texts)
    options: dict[str, Any] = {"epochs": 1, "seed": 0, "progress": False}
    expected = ln.fit(net, x, labels, **options).network
    for y in (
        *(texts, tuple(texts), [[text] for text in texts], labels.astype(object)),
        *(pandas.Series(texts, index=range(40, 80)), pandas.Series(texts, dtype="category")),
        *(polars.Series(texts), polars.DataFrame({"y": texts}), pandas.DataFrame({"y": texts})),
        *(arrow, pyarrow.chunked_array([texts[:9], texts[9:]]), arrow.dictionary_encode()),
        *(pyarrow.table({"y": texts}), pyarrow.record_batch({"y": texts})),
    ):
        assert ln.fit(net, x, y, **options).network == expected, type(y)
    with pytest.raises(ValueError, match=r"must hold the network's labels.*row 7 holds None"):
        ln.fit(net, x, pyarrow.array([*texts[:7], None, *texts[8:]]), **options)
    with pytest.raises(ValueError, match="row 3 holds 'maybe'"):
        ln.fit(net, x, [[text] for text in [*texts[:3], "maybe", *texts[4:]]], **options)
    quantities = ln.MLP.init([3, 1], seed=0, outputs=ln.Quantities())
    with pytest.raises(TypeError, match="y must hold real numbers, got Arrow's type string"):
        ln.fit(quantities, x, arrow, **options)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "levenberg_marquardt", "quantiles"])
def test_metrics_are_in_the_units_of_the_targets_given(optimizer: str) -> None:
    """Where fit standardises them, too: a metric of one's own cannot know by what."""
    x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    y = np.column_stack([100 + 10 * x.sum(axis=1), 5 - x[:, 0]]).astype(np.float32)
    loss = ln.losses.Quantile([0.2, 0.5, 0.8]) if optimizer == "quantiles" else "squared_error"
    levels = 3 if optimizer == "quantiles" else 1
    net = ln.MLP.init([3, 8, 2 * levels], "tanh", seed=0)

    def error(outputs: Any, targets: Any) -> float:
        assert np.array_equal(targets, y[:20])
        return float(np.abs(outputs - np.repeat(targets, levels, axis=1)).mean())

    method = "adam" if optimizer == "quantiles" else optimizer
    options: dict[str, Any] = {"optimizer": method, "epochs": 3, "seed": 0, "progress": False}
    held_out = x[:20], y[:20]
    options |= {"loss": loss, "validation": held_out, "metrics": {"error": error}}
    for wanted in (False, "inputs", "both"):
        seen: list[float] = []

        def note(epoch: ln.training.Epoch, seen: list[float] = seen) -> None:
            seen.append(error(epoch.network(x[:20]), y[:20]))

        found = ln.fit(net, x, y, standardize=wanted, callbacks=note, **options)
        np.testing.assert_allclose(found.history.metrics["error"], seen, rtol=1e-5)
    if levels == 1:
        options["metrics"] = "mean_absolute_error"
        found = ln.fit(net, x, y, standardize="both", **options)
        np.testing.assert_allclose(found.history.metrics["mean_absolute_error"], seen, rtol=1e-5)
