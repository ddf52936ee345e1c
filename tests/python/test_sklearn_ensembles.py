"""Means of scikit-learn's estimators, by votes and by bagging, as `Parallel`: against their own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn_estimators import FRAME, NAMES, NEW, ONE, TWO, X, fitted, regressor

import laminet as ln


def scaled():
    return make_pipeline(StandardScaler(), regressor())


def clipped():
    return make_pipeline(MinMaxScaler(clip=True), regressor())


def bagged(estimator, count=3, **options):
    return BaggingRegressor(estimator, count, random_state=0, **options)


def voting(*estimators, **options):
    named = [(f"m{i}", one) for i, one in enumerate(estimators)]
    return VotingRegressor(named, **options)


ENSEMBLES = {
    "votes": (voting(regressor(), scaled()), ONE),
    "weighted votes": (voting(regressor(), "drop", scaled(), weights=[1, 7, 3]), ONE),
    "a vote without weight": (voting(regressor(), scaled(), weights=[0, 2]), ONE),
    "one vote": (voting(scaled()), ONE),
    "bagged": (bagged(regressor(), 4), ONE),
    "one bagged": (bagged(regressor(), 1), ONE),
    "bagged columns": (bagged(scaled(), max_features=0.5), ONE),
    "bagged columns that come twice": (bagged(scaled(), bootstrap_features=True), TWO),
    "after a scaler": (make_pipeline(StandardScaler(), bagged(regressor(), max_features=4)), TWO),
    "clipped": (bagged(clipped(), max_features=4), ONE),
    "targets of members": (
        bagged(TransformedTargetRegressor(scaled(), transformer=StandardScaler())),
        ONE,
    ),
    "the target of all": (
        TransformedTargetRegressor(
            voting(bagged(scaled(), max_features=0.5), regressor(), weights=[1, 2]),
            transformer=StandardScaler(),
        ),
        ONE,
    ),
}


@pytest.mark.parametrize("name", ENSEMBLES)
def test_means_of_estimators(name):
    estimator, y = ENSEMBLES[name]
    fitted(estimator, FRAME, y)
    net = ln.from_sklearn(estimator)
    expected = estimator.predict(NEW)
    # Scalers and shares are folded: further roundings of float64, far below 1e-10 of the largest.
    np.testing.assert_allclose(net.predict(NEW), expected, rtol=0, atol=1e-10 * abs(expected).max())
    assert net.outputs == ln.Quantities()
    assert net.feature_names == tuple(NAMES)
    assert net.dtype == np.float64


def test_members_alike_stand_side_by_side():
    net = ln.from_sklearn(fitted(bagged(regressor(), 4), FRAME, ONE))
    (mean,) = net.layers
    assert isinstance(mean, ln.Parallel)
    assert mean.join == "mean"
    assert len(mean.branches) == 4


def test_float32_where_all_members_are():
    estimator = fitted(voting(regressor(), scaled()), X.astype(np.float32), ONE)
    assert ln.from_sklearn(estimator).dtype == np.float32
    assert ln.from_sklearn(estimator, dtype="float64").dtype == np.float64


def test_a_member_is_named_that_takes_other_features():
    estimator = fitted(voting(regressor(), regressor()), FRAME, ONE)
    member = estimator.estimators_[1]
    member.coefs_[0] = member.coefs_[0][:5]
    with pytest.raises(ValueError, match=r"^a step before the MLPRegressor a weight of shape"):
        ln.from_sklearn(estimator)
