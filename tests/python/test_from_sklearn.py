"""from_sklearn against scikit-learn's own answers, labels included, and what is refused."""

from __future__ import annotations

import pickle
import re
import warnings

import joblib
import numpy as np
import pytest
from frameworks import assert_agrees
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from variants import same_bits

import laminet as ln
from laminet import reference

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 6)) * [1, 5, 0.1, 2, 1, 1] + [0, 3, 0, -2, 10, 0]
NEW = RNG.standard_normal((60, 6)) * [1, 5, 0.1, 2, 1, 1] + [0, 3, 0, -2, 10, 0]


def fitted(estimator, y, x=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)


def small(kind=MLPClassifier, **options):
    # Enough of training that every class is predicted somewhere.
    defaults = {"hidden_layer_sizes": (8, 5), "max_iter": 60, "learning_rate_init": 0.05}
    return kind(**{**defaults, "random_state": 0, **options})


def assert_same_probabilities(net, estimator, x):
    """The logarithms too, where scikit-learn's have not lost their digits."""
    proba = estimator.predict_proba(x)
    np.testing.assert_allclose(net.predict_proba(x), proba, rtol=1e-9, atol=1e-15)
    with np.errstate(divide="ignore"):  # scikit-learn takes the logarithm of 0
        got, expected = net.predict_log_proba(x), estimator.predict_log_proba(x)
    kept = proba > 1e-3
    np.testing.assert_allclose(got[kept], expected[kept], rtol=1e-9, atol=1e-12)


THREE = np.digitize(X[:, 0] + 0.1 * X[:, 1], [-0.5, 0.7])
TARGETS = {
    "binary ints": (THREE > 0).astype(int),
    "binary text": np.where(THREE > 0, "yes", "no"),
    "binary bools": THREE > 0,
    "binary of other numbers": np.where(THREE > 0, 7, -7),
    "multiclass ints": THREE,
    "multiclass text": np.array(["low", "middle", "high"])[THREE],
    "multiclass objects": np.array(["low", "middle", "high"], dtype=object)[THREE],
    "multiclass floats": THREE.astype(float),
    "multilabel": np.column_stack([X[:, 0] > 0, X[:, 1] > 3, X[:, 2] > 0]).astype(int),
}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("target", TARGETS)
def test_classifiers(target, activation, tmp_path):
    estimator = fitted(small(activation=activation), TARGETS[target])
    net = ln.from_sklearn(estimator)
    assert net.dtype == np.float64
    assert_same_probabilities(net, estimator, NEW)
    expected = estimator.predict(NEW)
    assert net.predict(NEW).dtype == expected.dtype
    assert (net.predict(NEW) == expected).all()
    assert len(np.unique(expected)) > 1
    assert same_bits(net(NEW), net.predict_proba(NEW))
    assert net.outputs.labels.tolist() == np.asarray(estimator.classes_).tolist()
    net.save(tmp_path / "net")
    assert ln.load(tmp_path / "net") == net
    assert (pickle.loads(pickle.dumps(net)).predict(NEW) == expected).all()


def test_weights_keep_their_bits():
    estimator = fitted(small(), THREE)
    net = ln.from_sklearn(estimator)
    for layer, w, b in zip(net.layers, estimator.coefs_, estimator.intercepts_, strict=True):
        assert same_bits(np.array(layer.weight), np.ascontiguousarray(w.T))
        assert same_bits(np.array(layer.bias), b)


def test_a_tie_goes_to_the_first_class():
    """A logistic output of 1/2 is not above 1/2, and the largest of equals is the first."""
    estimator = fitted(small(hidden_layer_sizes=(2,)), TARGETS["binary text"])
    estimator.coefs_ = [np.zeros_like(w) for w in estimator.coefs_]
    estimator.intercepts_ = [np.zeros_like(b) for b in estimator.intercepts_]
    net = ln.from_sklearn(estimator)
    assert (net.predict_proba(NEW) == 0.5).all()
    assert (net.predict(NEW) == estimator.predict(NEW)).all()
    assert set(net.predict(NEW)) == {"no"}


def test_extreme_probabilities_keep_their_logarithms():
    estimator = fitted(small(), TARGETS["binary ints"])
    estimator.intercepts_[-1] = np.array([1000.0])
    assert ln.from_sklearn(estimator).predict_log_proba(NEW)[:, 0].max() < -900


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_regressors(outputs, activation):
    y = X[:, 0] * X[:, 1] if outputs == 1 else X[:, :3] ** 2
    estimator = fitted(small(MLPRegressor, activation=activation), y)
    net = ln.from_sklearn(estimator)
    expected = estimator.predict(NEW)
    assert net.predict(NEW).shape == expected.shape
    np.testing.assert_allclose(net.predict(NEW), expected, rtol=1e-9, atol=1e-12)
    assert_agrees(net, NEW, expected.reshape(len(NEW), -1))


def test_float32():
    x = X.astype("float32")
    estimator = fitted(small(), THREE, x)
    net = ln.from_sklearn(estimator)
    assert net.dtype == np.float32
    new = NEW.astype("float32")
    np.testing.assert_allclose(net.predict_proba(new), estimator.predict_proba(new), atol=1e-5)
    assert ln.from_sklearn(estimator, dtype="float64").dtype == np.float64


PIPELINES = {
    "StandardScaler": [StandardScaler()],
    "without mean": [StandardScaler(with_mean=False)],
    "without std": [StandardScaler(with_std=False)],
    "neither": [StandardScaler(with_mean=False, with_std=False)],
    "MinMaxScaler": [MinMaxScaler()],
    "of another range": [MinMaxScaler((-2, 5))],
    "MaxAbsScaler": [MaxAbsScaler()],
    "RobustScaler": [RobustScaler()],
    "RobustScaler without": [RobustScaler(with_centering=False, with_scaling=False)],
    "PCA": [PCA(3)],
    "PCA that whitens": [PCA(3, whiten=True)],
    "all": [StandardScaler(), "passthrough", MinMaxScaler(), PCA(4, whiten=True), None],
    "nested": [make_pipeline(StandardScaler(), PCA(4)), MinMaxScaler()],
}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name):
    steps = [(f"step{i}", step) for i, step in enumerate(PIPELINES[name])]
    for last, y in ((small(), THREE), (small(MLPRegressor), X[:, 0])):
        estimator = fitted(Pipeline([*steps, ("mlp", last)]), y)
        net = ln.from_sklearn(estimator)
        assert net.sizes[1:-1] == (8, 5)
        assert net.in_features == 6
        if isinstance(net.outputs, ln.Classes):
            assert_same_probabilities(net, estimator, NEW)
            assert (net.predict(NEW) == estimator.predict(NEW)).all()
        else:
            expected = estimator.predict(NEW)
            np.testing.assert_allclose(net.predict(NEW), expected, rtol=1e-9, atol=1e-12)


def test_a_pipeline_that_ends_in_a_pipeline():
    inner = make_pipeline(MinMaxScaler(), small())
    estimator = fitted(make_pipeline(StandardScaler(), inner), TARGETS["binary text"])
    assert_same_probabilities(ln.from_sklearn(estimator), estimator, NEW)


def test_the_estimator_is_left_alone():
    estimator = fitted(make_pipeline(StandardScaler(), small()), THREE)
    before = estimator.predict_proba(NEW)
    net = ln.from_sklearn(estimator)
    assert same_bits(estimator.predict_proba(NEW), before)
    estimator[-1].coefs_[0][:] = 0
    np.testing.assert_allclose(net.predict_proba(NEW), before, rtol=1e-9, atol=1e-15)


REFUSED = {
    "another estimator": (
        lambda: fitted(LinearRegression(), X[:, 0]),
        TypeError,
        "LinearRegression",
    ),
    "a subclass": (
        lambda: type("Own", (MLPClassifier,), {"predict": lambda self, x: x})(),
        TypeError,
        "got Own, which has predict of its own",
    ),
    "not fitted": (small, ValueError, "the MLPClassifier is not fitted"),
    "not fitted in a pipeline": (
        lambda: Pipeline([("scale", StandardScaler()), ("mlp", fitted(small(), THREE))]),
        ValueError,
        "step 'scale': the StandardScaler is not fitted",
    ),
    "another last step": (
        lambda: fitted(make_pipeline(StandardScaler(), LinearRegression()), X[:, 0]),
        TypeError,
        "got LinearRegression",
    ),
    "a step without algebra": (
        lambda: fitted(make_pipeline(Normalizer(), small()), THREE),
        TypeError,
        "step 'normalizer': a Normalizer cannot be folded into a layer",
    ),
    "a function": (
        lambda: fitted(make_pipeline(FunctionTransformer(np.log1p), small()), THREE, abs(X)),
        TypeError,
        "step 'functiontransformer': a FunctionTransformer cannot be folded",
    ),
    "one class": (
        lambda: fitted(small(), np.zeros(len(X))),
        ValueError,
        "knows 1 class",
    ),
    "poisson": (
        lambda: fitted(small(MLPRegressor, loss="poisson"), abs(X[:, 0])),
        ValueError,
        "ends in 'exp' (loss 'poisson')",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, kind, message = REFUSED[name]
    with pytest.raises(kind, match=re.escape(message)):
        ln.from_sklearn(make())


def test_joblib(tmp_path):
    """A network in a worker of joblib's own processes, and in a file of its own."""
    net = ln.from_sklearn(fitted(small(), TARGETS["multiclass text"]))
    expected = net.predict_proba(NEW)
    with joblib.parallel_config("loky", n_jobs=2):
        answers = joblib.Parallel()(joblib.delayed(net.predict_proba)(part) for part in (NEW, NEW))
    assert all(same_bits(answer, expected) for answer in answers)
    joblib.dump(net, tmp_path / "net.joblib")
    again = joblib.load(tmp_path / "net.joblib")
    assert again == net
    assert same_bits(again.predict_proba(NEW), expected)
    mapped = joblib.load(tmp_path / "net.joblib", mmap_mode="r")
    assert mapped == net
    assert joblib.hash(net) == joblib.hash(again)


def test_a_network_in_a_step_of_a_pipeline():
    net = ln.MLP.init([6, 8, 4], "tanh", dtype="float64", seed=0)
    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(net), LinearRegression())
    fitted(pipeline, X[:, 0])
    again = pickle.loads(pickle.dumps(pipeline))
    assert same_bits(again.predict(NEW), pipeline.predict(NEW))


def test_pickles_are_small():
    net = ln.MLP.init([100, 100, 100], seed=0)
    size = net.num_parameters * net.dtype.itemsize
    assert len(pickle.dumps(net)) < size + 1000


def test_derivatives_of_probabilities():
    """What is imported is a network in every respect: the Jacobian is of its probabilities."""
    net = ln.from_sklearn(fitted(small(activation="tanh"), TARGETS["binary text"]))
    jacobian = net.jacobian(NEW)
    exact = reference.numerical_jacobian(net, NEW)
    np.testing.assert_allclose(jacobian, exact, atol=1e-7 * max(1.0, float(np.abs(exact).max())))
    np.testing.assert_allclose(jacobian.sum(axis=1), 0, atol=1e-12)  # they sum to 1 everywhere
