"""laminet.sklearn as scikit-learn sees it: its checks, parameters, attributes and tools."""

from __future__ import annotations

import doctest
import inspect
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator
from test_documentation import docstring_examples

import laminet as ln
from laminet.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 5))
BINARY = np.where(X[:, 0] * X[:, 1] > 0, "yes", "no")
MULTI = np.digitize(X[:, 0], [-0.5, 0.5])
LABELS = (X[:, :3] > 0).astype(int)
NUMBER = X[:, 0] * X[:, 1]

#: Checks that a variant cannot pass, each with its reason. The estimators as they are pass all.
STABLE = "log probabilities are finite where the probability itself is 0 in float64, its log -inf"
SATURATED = "a sigmoid of a network without noise to fit is 1 in float64, the check wants less"
EXPECTED = {
    "lbfgs": {
        "check_classifiers_train": STABLE,
        "check_classifiers_multilabel_output_format_predict_proba": SATURATED,
    }
}


def quick(kind, **parameters):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0}
    return kind(**{**settings, **parameters})


def fitted(kind, y, x=X, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return quick(kind, **parameters).fit(x, y)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (MLPClassifier(), {}),
        (MLPRegressor(), {}),
        (MLPClassifier(solver="lbfgs"), EXPECTED["lbfgs"]),
        (MLPRegressor(solver="lbfgs"), {}),
    ],
    ids=["classifier", "regressor", "classifier lbfgs", "regressor lbfgs"],
)
def test_all_checks_of_scikit_learn_pass(estimator, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the checks provoke
        results = check_estimator(
            estimator, expected_failed_checks=expected, on_skip=None, on_fail=None
        )
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(expected)
    assert sum(r["status"] == "passed" for r in results) > 55


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_are_theirs_with_their_defaults_in_their_places(name):
    theirs = inspect.signature(getattr(neural_network, name)).parameters
    ours = inspect.signature(globals()[name]).parameters
    for key, parameter in theirs.items():
        assert (ours[key].default, ours[key].kind) == (parameter.default, parameter.kind)
    positional = [k for k, p in theirs.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(positional)] == positional
    assert all(p.kind is p.KEYWORD_ONLY for k, p in ours.items() if k not in positional)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "wrong",
    [
        {"activation": "sign"},
        {"solver": "newton"},
        {"alpha": -1},
        {"batch_size": 0},
        {"learning_rate": "cosine"},
        {"learning_rate_init": 0},
        {"max_iter": 0},
        {"tol": -1},
        {"momentum": 1.5},
        {"validation_fraction": 1.0},
        {"beta_1": 1.0},
        {"epsilon": 0},
        {"n_iter_no_change": 0},
        {"loss": "hinge"},
        {"dropout": 1.0},
        {"dtype": "float16"},
        {"callbacks": print},
    ],
    ids=str,
)
def test_wrong_parameters_are_their_error(kind, wrong):
    (name,) = wrong
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {kind.__name__}"):
        kind(**wrong).fit(X, MULTI)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must be integers > 0"),
        ({"hidden_layer_sizes": (8, 4), "activation": ["relu"]}, "activation has 1 entries"),
        ({"activation": ["step"]}, "activation must be one of"),
        ({"loss": ln.losses.SquaredError()}, "CrossEntropy for 3 classes"),
        ({"loss": ln.losses.BinaryCrossEntropy()}, "CrossEntropy for 3 classes"),
    ],
    ids=str,
)
def test_what_only_makes_no_sense_together_is_refused_in_words(wrong, message):
    with pytest.raises(ValueError, match=message):
        quick(MLPClassifier, **wrong).fit(X, MULTI)


TARGETS = {
    "binary": (MLPClassifier, BINARY, 1, "logistic"),
    "multi": (MLPClassifier, MULTI, 3, "softmax"),
    "labels": (MLPClassifier, LABELS, 3, "logistic"),
    "number": (MLPRegressor, NUMBER, 1, "identity"),
    "numbers": (MLPRegressor, X[:, :2] ** 2, 2, "identity"),
}


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_attributes_and_answers_are_theirs_for_the_same_coefficients(task, dtype):
    kind, y, outputs, ending = TARGETS[task]
    x = X.astype(dtype)
    sizes = {"hidden_layer_sizes": (7, 4), "activation": "tanh"}
    ours = fitted(kind, y, x, **sizes)
    theirs = fitted(getattr(neural_network, kind.__name__), y, x, **sizes)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_iter_", "t_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert (ours.n_outputs_, ours.out_activation_) == (outputs, ending)
    assert vars(theirs).keys() - vars(ours).keys() <= {
        *("_label_binarizer", "_optimizer", "_best_coefs", "_best_intercepts"),
        "_no_improvement_count",
    }
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    bound = 200 * float(np.finfo(dtype).eps)  # a few dozen roundings of numbers near 1
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, method):
            got, expected = getattr(ours, method)(x), getattr(theirs, method)(x)
            assert got.shape == expected.shape
            assert got.dtype == expected.dtype
            if got.dtype.kind == "f":
                np.testing.assert_allclose(got, expected, bound, bound)
            else:
                np.testing.assert_array_equal(got, expected)
    assert ours.score(x, y) == pytest.approx(theirs.score(x, y), abs=bound)


@pytest.mark.parametrize("task", TARGETS)
def test_pickles_and_clones(task):
    kind, y, *_ = TARGETS[task]
    ours = fitted(kind, y)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict(X), ours.predict(X))
    ours.partial_fit(X, y)
    again.partial_fit(X, y)
    for one, other in zip(again.coefs_, ours.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not hasattr(clone(ours), "coefs_")
    assert kind.__module__ == "laminet.sklearn"


def test_coefficients_may_be_changed_in_place_and_replaced():
    model = fitted(MLPRegressor, NUMBER)
    before = model.predict(X)
    model.intercepts_[-1] += 1.0
    np.testing.assert_allclose(model.predict(X), before + 1, rtol=1e-12)
    model.coefs_ = [c * 0 for c in model.coefs_]
    np.testing.assert_array_equal(model.predict(X), np.full(120, model.intercepts_[-1][0]))
    model.coefs_ = model.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ has 1 and intercepts_ 2 arrays"):
        model.predict(X)


def test_names_of_features_and_the_network():
    frame = pd.DataFrame(X, columns=list("abcde"))
    for task, (kind, y, *_) in TARGETS.items():
        model = fitted(kind, y, frame)
        assert list(model.feature_names_in_) == list("abcde")
        net = model.to_mlp()
        assert net.feature_names == tuple("abcde")
        if task == "labels":
            np.testing.assert_allclose(net(X), model.predict_proba(frame), rtol=1e-12)
        elif kind is MLPClassifier:
            np.testing.assert_array_equal(net.predict(frame), model.predict(frame))
            np.testing.assert_allclose(
                net.predict_proba(frame), model.predict_proba(frame), rtol=1e-12
            )
        else:
            np.testing.assert_array_equal(np.squeeze(net(X)), model.predict(frame))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="two labels or more"):
        fitted(MLPClassifier, np.zeros(120)).to_mlp()
    with pytest.raises(NotFittedError):
        MLPClassifier().to_mlp()


def test_tags():
    tags = get_tags(MLPClassifier())
    assert tags.classifier_tags.multi_label
    assert tags.input_tags.sparse
    assert get_tags(MLPRegressor()).estimator_type == "regressor"


def threads_of_a_worker(estimator, x, y):
    estimator.predict(x)
    return float(ln.get_num_threads())


def test_a_search_in_two_processes_takes_no_more_threads_than_cpus():
    pipeline = make_pipeline(StandardScaler(), quick(MLPClassifier, max_iter=5))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2], "mlpclassifier__hidden_layer_sizes": [4, (4, 4)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, scoring=threads_of_a_worker)
        search.set_params(error_score="raise")
        # workers have filters of their own
        search.fit(X, BINARY)
    most = max(1, ln.get_num_threads() // 2)
    assert search.cv_results_["mean_test_score"].tolist() == [most] * 4
    assert set(search.predict(X)) <= {"yes", "no"}


def test_their_tools_take_it():
    model = quick(MLPClassifier, solver="lbfgs", max_iter=2000, alpha=1.0)
    scores = cross_val_score(make_pipeline(StandardScaler(), model), X, BINARY, cv=3)
    assert scores.mean() > 0.6
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, BINARY)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-12)


def test_weights_are_routed():
    weights = RNG.uniform(0.5, 2, 120)
    with config_context(enable_metadata_routing=True):
        model = quick(MLPRegressor, solver="lbfgs", max_iter=500).set_fit_request(
            sample_weight=True
        )
        model = model.set_score_request(sample_weight=True)
        results = cross_validate(
            model, X, NUMBER, cv=2, params={"sample_weight": weights}, return_estimator=True
        )
    (rows, _), *_ = [(np.arange(60, 120), 0)]
    direct = clone(model).fit(X[rows], NUMBER[rows], sample_weight=weights[rows])
    np.testing.assert_array_equal(direct.coefs_[0], results["estimator"][0].coefs_[0])


def test_the_library_is_not_imported_before_it_is_asked_for():
    code = (
        "import sys, laminet; assert 'sklearn' not in sys.modules; import laminet.sklearn, sklearn"
    )
    code += "; assert sklearn.__name__ == 'sklearn' and 'laminet' not in sklearn.__file__"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_library_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None\nimport laminet.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install laminet[sklearn]" in done.stderr


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_docstring_examples(name):
    runner = doctest.DocTestRunner()
    for example in docstring_examples(f"laminet.sklearn.{name}"):
        runner.run(example)
    assert runner.tries > 4
    assert runner.failures == 0


def test_dropout():
    """It drops while training alone, as the seed says; predictions are of the whole network."""
    options = {"hidden_layer_sizes": (30, 20), "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain, one, two = (
            MLPRegressor(dropout=rate, **options).fit(X, NUMBER) for rate in (0.0, 0.2, 0.2)
        )
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    assert np.abs(one.predict(X) - plain.predict(X)).max() > 0
    dropouts = [layer for layer in one.to_mlp().layers if isinstance(layer, ln.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.2, 0.2]
    np.testing.assert_allclose(one.to_mlp()(X)[:, 0], one.predict(X))
    with pytest.raises(ValueError, match="dropout is for solvers that go step by step"):
        MLPRegressor(solver="lbfgs", dropout=0.2).fit(X, NUMBER)
