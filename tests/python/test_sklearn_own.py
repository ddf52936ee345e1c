"""from_sklearn of laminet's own estimators: the network of `to_mlp`, and what is around it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, VotingRegressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn_estimators import ALPHA, CLASSES, NAMES, NEW, ONE, TWO, X, fitted
from sklearn_estimators import regressor as of_scikit_learn

import laminet as ln
from laminet.sklearn import MLPClassifier, MLPRegressor

#: An activation for each hidden layer, one of them with a number for each unit.
BY_LAYER = [ln.Activation("leaky_relu", alpha=np.linspace(0, 0.5, 6)), "gelu"]
BINARY = np.where(CLASSES > 0, "yes", "no")
LABELS = np.column_stack([CLASSES > 0, ONE > 0]).astype(int)


def classifier(**options):
    return MLPClassifier(
        **{"hidden_layer_sizes": (6, 5), "max_iter": 10, "random_state": 0, **options}
    )


def regressor(**options):
    return MLPRegressor(
        **{"hidden_layer_sizes": (6, 5), "max_iter": 10, "random_state": 0, **options}
    )


ALONE = {
    "two classes": (classifier(), BINARY),
    "three classes": (classifier(activation=BY_LAYER, dropout=0.25), CLASSES),
    "labels": (classifier(activation="tanh"), LABELS),
    "one number": (regressor(activation=BY_LAYER, dropout=0.25), ONE),
    "two numbers": (regressor(activation="identity"), TWO),
    "a matrix alone": (regressor(hidden_layer_sizes=()), ONE),
    "quantiles": (regressor(loss=ln.losses.Quantile([0.1, 0.9])), ONE),
    "float32": (regressor(dtype="float32"), ONE),
}


@pytest.mark.parametrize("name", ALONE)
def test_alone_it_is_what_to_mlp_gives(name):
    estimator, y = ALONE[name]
    fitted(estimator, y=y)
    net, given = ln.from_sklearn(estimator), estimator.to_mlp()
    assert net == given  # layers, dropouts, every weight, head, outputs, names, dtype
    assert [type(layer) for layer in net.layers] == [type(layer) for layer in given.layers]
    assert net.feature_names == tuple(NAMES)
    assert np.array_equal(net.predict(NEW), estimator.predict(NEW))
    assert ln.from_sklearn(estimator, dtype="float32").dtype == np.float32


AROUND = {
    "a pipeline": (make_pipeline(PCA(4), classifier(activation=BY_LAYER)), BINARY),
    "a search": (GridSearchCV(classifier(), ALPHA, cv=2), CLASSES),
    "a random search of pipelines": (
        RandomizedSearchCV(
            make_pipeline(StandardScaler(), classifier()),
            {"mlpclassifier__activation": ["tanh", "mish"]},
            n_iter=2,
            cv=2,
            random_state=0,
        ),
        LABELS,
    ),
    "a transformed target": (
        TransformedTargetRegressor(
            make_pipeline(MinMaxScaler(clip=True), regressor(activation=BY_LAYER)),
            transformer=StandardScaler(),
        ),
        TWO,
    ),
    "votes": (VotingRegressor([("a", regressor()), ("b", of_scikit_learn())]), ONE),
    "bagged": (
        BaggingRegressor(regressor(activation="silu"), 2, max_features=4, random_state=0),
        ONE,
    ),
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_it(name):
    estimator, y = AROUND[name]
    fitted(estimator, y=y)
    net = ln.from_sklearn(estimator)
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    got, expected = getattr(net, method)(NEW), getattr(estimator, method)(NEW)
    # What is folded are further roundings of float64, far below 1e-10 of the largest.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * abs(expected).max())
    assert net.feature_names == tuple(NAMES)
    assert net.in_features == len(NAMES)


def test_a_projection_is_folded_into_the_first_layer():
    estimator = fitted(make_pipeline(PCA(4), regressor()), y=ONE)
    assert [type(layer) for layer in ln.from_sklearn(estimator).layers] == [ln.Dense] * 3


def test_dropouts_stay_where_they_are():
    """In pipelines, where numbers are folded into the first and the last layer."""
    inner = make_pipeline(MinMaxScaler((-1, 1), clip=True), regressor(dropout=0.25))
    estimator = TransformedTargetRegressor(inner, transformer=StandardScaler())
    net = ln.from_sklearn(fitted(estimator, y=ONE))
    kinds = [ln.Rescale, ln.Dense, ln.Dropout, ln.Dense, ln.Dropout, ln.Dense]
    assert [type(layer) for layer in net.layers] == kinds
    assert [layer.rate for layer in net.layers if isinstance(layer, ln.Dropout)] == [0.25, 0.25]


def test_changed_coefficients_count():
    estimator = fitted(regressor(), X, ONE)
    estimator.intercepts_[-1][:] = 100
    assert np.array_equal(ln.from_sklearn(estimator).layers[-1].bias, [100.0])


class _Doubled(MLPRegressor):
    def predict(self, X):
        return 2 * super().predict(X)


class _Named(MLPRegressor):
    """Changes nothing that answers depend on."""

    def fit(self, X, y):
        return super().fit(X, y)


def test_derived_classes_that_change_nothing():
    estimator = fitted(_Named(max_iter=5, random_state=0), X, ONE)
    assert ln.from_sklearn(estimator) == estimator.to_mlp()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (regressor, ValueError, "the MLPRegressor is not fitted: call its fit() first"),
        (
            lambda: fitted(regressor(loss="poisson"), X, abs(ONE)),
            ValueError,
            "ends in 'exp' (loss 'poisson'), which is no activation that laminet has: its to_mlp()",
        ),
        (
            lambda: fitted(_Doubled(max_iter=5), X, ONE),
            TypeError,
            "got _Doubled, which has predict of its own",
        ),
        (
            lambda: fitted(BaggingClassifier(classifier(), 2), X, CLASSES),
            ln.FormatError,
            "takes the mean of its classifiers' probabilities",
        ),
        (
            lambda: fitted(classifier(), X, np.zeros(len(X))),
            ValueError,
            "takes two labels or more, got 1",
        ),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=re.escape(match)):
        ln.from_sklearn(make())
