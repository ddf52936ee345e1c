"""What is around an MLP of scikit-learn: transformers, columns, searches, transformed targets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes it importable
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn_estimators import (
    ALPHA,
    CLASSES,
    FRAME,
    NAMES,
    NEW,
    ONE,
    TWO,
    X,
    classifier,
    fitted,
    regressor,
)
from variants import same_bits

import laminet as ln


def assert_same(estimator, named=True):
    net = ln.from_sklearn(estimator)
    new = NEW if named else NEW.to_numpy()
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    got, expected = getattr(net, method)(new), getattr(estimator, method)(new)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
    assert net.feature_names == (tuple(NAMES) if named else None)
    return net


UNION = FeatureUnion(
    [("a", StandardScaler()), ("b", TruncatedSVD(2)), ("c", "passthrough"), ("d", "drop")],
    transformer_weights={"a": 2.0},
)

MAX_ABS_CLIPS = "clip" in MaxAbsScaler().get_params()  # of newer versions alone

TRANSFORMERS = {
    "MinMaxScaler that clips": MinMaxScaler((-0.5, 0.25), clip=True),
    **({"MaxAbsScaler that clips": MaxAbsScaler(clip=True)} if MAX_ABS_CLIPS else {}),
    "StandardScaler before one that clips": make_pipeline(
        StandardScaler(), MinMaxScaler(clip=True)
    ),
    "IncrementalPCA": IncrementalPCA(3, whiten=True),
    "TruncatedSVD": TruncatedSVD(3),
    "FastICA": FastICA(3, random_state=0),
    "FastICA without whitening": FastICA(whiten=False, random_state=0),
    "GaussianRandomProjection": GaussianRandomProjection(3, random_state=0),
    "SparseRandomProjection": SparseRandomProjection(3, random_state=0),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "its eigenvalues": LinearDiscriminantAnalysis(solver="eigen"),
    "VarianceThreshold": VarianceThreshold(0.5),
    "SelectKBest": SelectKBest(k=3),
    "SelectFromModel": SelectFromModel(Ridge()),
    "RFE": RFE(Ridge(), n_features_to_select=2),
    "a constant": PolynomialFeatures(1),
    "a function that is none": FunctionTransformer(),
    "FeatureUnion": UNION,
    "scalers only": FeatureUnion([("a", StandardScaler()), ("b", "passthrough")]),
}


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name):
    step = TRANSFORMERS[name]
    net = assert_same(fitted(make_pipeline(step, classifier())))
    assert net.in_features == 6
    assert_same(fitted(make_pipeline(StandardScaler(), step, classifier()), X), named=False)


COLUMNS = {
    "places": [
        ("a", StandardScaler(), [0, 2]),
        ("b", MinMaxScaler(), slice(3, 5)),
        ("c", "passthrough", [-1]),
        ("d", "drop", [1]),
    ],
    "a mask": [("a", StandardScaler(), [True, False, True, False, False, False])],
    "a mask, the rest dropped": [("a", StandardScaler(), np.array([1, 0, 1, 0, 0, 0], bool))],
    "names": [
        ("a", StandardScaler(), ["c", "a"]),
        ("b", make_pipeline(RobustScaler(), TruncatedSVD(1)), ["e", "f"]),
    ],
    "a slice of names": [("a", StandardScaler(), slice("b", "d"))],
    "a selector": [("a", StandardScaler(), make_column_selector(pattern="[abc]"))],
    "twice, and none": [
        ("a", StandardScaler(), ["a", "b"]),
        ("b", MinMaxScaler(), ["a"]),
        ("c", StandardScaler(), []),
    ],
    "one-hot of two numbers": [("a", OneHotEncoder(), ["f"]), ("b", StandardScaler(), ["a"])],
    "one of two numbers": [("a", OneHotEncoder(drop="if_binary"), ["f"])],
    "the first dropped": [("a", OneHotEncoder(drop="first"), ["f"]), ("b", MinMaxScaler(), ["a"])],
    "ordinal": [("a", OrdinalEncoder(), ["f"]), ("b", StandardScaler(), ["a"])],
}


@pytest.mark.parametrize("remainder", ["drop", "passthrough", MaxAbsScaler()], ids=str)
@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name, remainder):
    columns = ColumnTransformer(COLUMNS[name], remainder=remainder)
    net = assert_same(fitted(make_pipeline(columns, classifier())))
    assert net.in_features == 6


def test_weights_of_columns():
    parts = [("a", StandardScaler(), ["a", "b"]), ("b", "passthrough", ["c"])]
    columns = ColumnTransformer(parts, transformer_weights={"a": 3.0, "b": 0.5})
    assert_same(fitted(make_pipeline(columns, classifier())))


def test_what_only_moves_columns_keeps_the_bits_of_weights():
    columns = ColumnTransformer([("a", "passthrough", ["c", "a"]), ("b", "passthrough", ["f"])])
    estimator = fitted(make_pipeline(columns, classifier()), FRAME.astype("f4"))
    net = ln.from_sklearn(estimator)
    weight, bias = np.array(estimator[-1].coefs_[0].T, order="C"), estimator[-1].intercepts_[0]
    assert net.dtype == weight.dtype == np.float32
    assert same_bits(
        np.ascontiguousarray(net.layers[0].weight[:, [2, 0, 5]]), np.array(weight, order="C")
    )
    assert (net.layers[0].weight[:, [1, 3, 4]] == 0).all()
    assert same_bits(np.array(net.layers[0].bias), bias)


SEARCHES = {
    "GridSearchCV": lambda: GridSearchCV(classifier(), ALPHA, cv=2),
    "RandomizedSearchCV": lambda: RandomizedSearchCV(classifier(), ALPHA, n_iter=2, cv=2),
    "HalvingGridSearchCV": lambda: HalvingGridSearchCV(
        classifier(), ALPHA, cv=2, min_resources=60, random_state=0
    ),
    "of a pipeline": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), classifier()), {"mlpclassifier__alpha": [0.1, 1.0]}, cv=2
    ),
    "in a pipeline": lambda: make_pipeline(
        StandardScaler(), GridSearchCV(classifier(), ALPHA, cv=2)
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches(name):
    assert_same(fitted(SEARCHES[name]()))


TARGETS = {
    "StandardScaler": (StandardScaler(), ONE),
    "StandardScaler without mean": (StandardScaler(with_mean=False), ONE),
    "MinMaxScaler": (MinMaxScaler((-1, 3)), ONE),
    "MaxAbsScaler": (MaxAbsScaler(), ONE),
    "RobustScaler": (RobustScaler(), ONE),
    "two outputs": (StandardScaler(), TWO),
    "a pipeline": (make_pipeline(RobustScaler(), MinMaxScaler()), TWO),
    "nothing": (None, ONE),
    "a function that is none": (FunctionTransformer(), TWO),
}


@pytest.mark.parametrize("name", TARGETS)
def test_transformed_targets(name):
    transformer, y = TARGETS[name]
    estimator = fitted(TransformedTargetRegressor(regressor(), transformer=transformer), y=y)
    net = assert_same(estimator)
    assert net.outputs == ln.Quantities()
    assert len(net.layers) == 2
    inner = make_pipeline(MinMaxScaler(), regressor())
    assert_same(fitted(TransformedTargetRegressor(inner, transformer=transformer), y=y))
    outer = TransformedTargetRegressor(regressor(), transformer=transformer)
    assert_same(fitted(make_pipeline(MinMaxScaler(), outer), y=y))


def test_a_search_over_a_pipeline_with_a_transformed_target():
    inner = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    grid = {"transformedtargetregressor__regressor__alpha": [0.1, 1.0]}
    assert_same(fitted(GridSearchCV(make_pipeline(MinMaxScaler(), inner), grid, cv=2), y=ONE))


def test_names_of_features():
    """Those of the table that the outermost step has seen, where it has names."""
    for step in (None, "passthrough", FunctionTransformer(), StandardScaler()):
        assert_same(fitted(Pipeline([("step", step), ("mlp", classifier())])))
    frame = FRAME.set_axis([*NAMES[:-1], "a"], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = fitted(make_pipeline(MinMaxScaler(), classifier()), frame.to_numpy())
    estimator[0].feature_names_in_ = frame.columns.to_numpy()
    assert ln.from_sklearn(estimator).feature_names is None
    pandas_inside = make_pipeline(TruncatedSVD(3), classifier()).set_output(transform="pandas")
    assert_same(fitted(pandas_inside))
    assert_same(fitted(pandas_inside, X), named=False)  # the names that the MLP has seen are others


class Own(MLPClassifier):
    def __init__(self, hidden_layer_sizes=(6,), max_iter=30, random_state=0):
        super().__init__(hidden_layer_sizes, max_iter=max_iter, random_state=random_state)

    def explain(self):
        raise NotImplementedError


def test_a_class_of_the_users_own_that_predicts_the_same():
    assert_same(fitted(Own()))


def test_partial_fit():
    estimator = classifier()
    estimator.partial_fit(FRAME, CLASSES, classes=[0, 1, 2])
    assert_same(estimator)


def test_what_the_outputs_stand_for_in_place_of_the_estimators():
    labels = ln.Classes(["low", "middle", "high"])
    net = ln.from_sklearn(fitted(classifier()), outputs=labels)
    assert net.outputs == labels
