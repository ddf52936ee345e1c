"""laminet.sklearn with `LBFGS` and `LevenbergMarquardt`: iterations over all samples."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor as OfScikitLearn

import laminet as ln
from laminet.optim import LBFGS, LevenbergMarquardt
from laminet.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 3))
NUMBER = np.sin(2 * X[:, 0]) + X[:, 1] ** 2
NOISY = NUMBER + 0.3 * RNG.standard_normal(120)
TWO = np.column_stack([NOISY, X[:, 2] * 3])
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
WEIGHTS = RNG.integers(0, 4, 120).astype(float)
SOLVERS = [LBFGS(), LevenbergMarquardt()]


def regressor(solver, **options):
    settings = {"hidden_layer_sizes": (5,), "activation": "tanh", "random_state": 0}
    return MLPRegressor(solver=solver, **{**settings, "max_iter": 40, **options})


def fitted(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **more)


def start_of(model, y):
    """The network that its fit starts from: that of scikit-learn for the same random_state."""
    sizes = {"hidden_layer_sizes": model.hidden_layer_sizes, "activation": model.activation}
    theirs = OfScikitLearn(**sizes, solver="sgd", random_state=0, max_iter=1)
    theirs.set_params(learning_rate_init=1e-300, alpha=0.0)
    return ln.from_sklearn(fitted(theirs, X, y))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_they_are_those_of_fit(solver):
    """The same network after the same iterations, and losses as scikit-learn counts them."""
    model = fitted(regressor(solver), X, TWO)
    fit = ln.fit(
        start_of(model, TWO), X, TWO, loss="squared_error", optimizer=solver, epochs=40, seed=0
    )
    np.testing.assert_array_equal(model.predict(X), fit.network(X))
    assert model.n_iter_ == len(fit.history) == len(model.loss_curve_)
    # Half of the mean square, summed in another order: a few roundings.
    np.testing.assert_allclose(model.loss_curve_, 0.5 * np.array(fit.history.loss), rtol=1e-15)
    half = 0.5 * np.mean((model.predict(X) - TWO) ** 2)
    assert model.loss_ == model.loss_curve_[-1] == pytest.approx(half, rel=1e-12)
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.t_ == model.n_iter_ * len(X)
    assert np.array_equal(model.coefs_[0].T, model.to_mlp().layers[0].weight)


def test_an_end_that_is_reached_is_no_warning():
    model = regressor(LevenbergMarquardt(tolerance_change=1e-4), max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, NOISY)
    assert model.n_iter_ < 500


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
@pytest.mark.parametrize(("most", "own"), [(3, 200), (200, 3)], ids=["estimator's", "its own"])
def test_the_smaller_number_of_iterations_counts(solver, most, own):
    model = regressor(type(solver)(own), max_iter=most)
    words = f"{type(solver).__name__} stopped after 3 iterations, before its tolerances were met"
    with pytest.warns(ConvergenceWarning, match=words):
        model.fit(X, NOISY)
    assert model.n_iter_ == len(model.loss_curve_) == 3


@pytest.mark.parametrize("y", [CLASSES > 0, CLASSES, np.eye(3, dtype=int)[CLASSES]])
def test_classes(y):
    options = {"activation": "tanh", "random_state": 0, "max_iter": 60}
    model = fitted(MLPClassifier((6,), solver=LBFGS(weight_decay=1e-3), **options), X, y)
    assert model.score(X, y) > 0.95
    # At its end the gradient of loss and decay together is small, on all of the weights.
    net = model.to_mlp()
    proba = net(X)
    wanted = (CLASSES[:, None] == np.arange(3)) if proba.shape[1] == 3 else (CLASSES > 0)[:, None]
    # The mean of losses over samples, and over labels.
    outputs = 1 if model.out_activation_ == "softmax" else proba.shape[1]
    d = (proba - wanted) / (len(X) * outputs)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    slope = hidden.T @ d + 1e-3 * model.coefs_[1]
    assert abs(slope).max() < 2e-3


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_weights_are_repeated_rows(solver):
    """In the first iterations: later ones enlarge what rounding leaves."""
    weighted = fitted(regressor(solver, max_iter=4), X, NOISY, WEIGHTS)
    rows = np.repeat(np.arange(len(X)), WEIGHTS.astype(int))
    repeated = fitted(regressor(solver, max_iter=4), X[rows], NOISY[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_early_stopping_keeps_the_best(solver):
    model = regressor(solver, early_stopping=True, n_iter_no_change=5, hidden_layer_sizes=(20,))
    fitted(model.set_params(max_iter=200), X, NOISY)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ < 200
    assert model.best_validation_score_ == max(scores) > scores[-1]
    assert model.best_loss_ is None
    best = int(np.argmax(scores)) + 1
    shorter = regressor(solver, early_stopping=True, hidden_layer_sizes=(20,), max_iter=best)
    np.testing.assert_array_equal(fitted(shorter, X, NOISY).predict(X), model.predict(X))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_samples_to_score_and_callbacks(solver):
    seen = []

    def after(model):
        seen.append((model.n_iter_, model.score(X[80:], NOISY[80:]), model.loss_))
        return model.n_iter_ == 3

    model = regressor(solver, callbacks=[after])
    model.fit(X[:80], NOISY[:80], eval_set=(X[80:], NOISY[80:]))
    assert [n for n, *_ in seen] == [1, 2, 3]
    assert model.validation_scores_ == pytest.approx([score for _, score, _ in seen])
    assert model.loss_curve_ == [loss for *_, loss in seen]
    assert model.score(X[80:], NOISY[80:]) == pytest.approx(seen[-1][1])


def test_quantiles_are_scored_by_their_loss():
    loss = ln.losses.Quantile([0.1, 0.9])
    model = fitted(regressor(LBFGS(), loss=loss, early_stopping=True, max_iter=5), X, NOISY)
    assert np.isfinite(model.validation_scores_).all()
    assert model.predict(X).shape == (120, 2)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_a_warm_start_goes_on(solver):
    model = fitted(regressor(solver, max_iter=3, warm_start=True), X, NOISY)
    before = model.loss_
    fitted(model, X, NOISY)
    assert model.n_iter_ == 3
    assert len(model.loss_curve_) == 6
    assert model.loss_ < before


@pytest.mark.parametrize("solver", [*SOLVERS, "lbfgs"], ids=str)
def test_steps_after_it_begin_anew(solver):
    """Without the moments of steps that were made before it."""
    model = fitted(regressor("adam", max_iter=3, warm_start=True), X, NOISY)
    fitted(model.set_params(solver=solver), X, NOISY)
    other = fitted(regressor(solver, max_iter=1), X, NOISY)
    other.coefs_ = [array.copy() for array in model.coefs_]
    other.intercepts_ = [array.copy() for array in model.intercepts_]
    for one in (model, other):
        one.set_params(solver="adam").partial_fit(X, NOISY)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.name)
def test_float32(solver):
    model = fitted(regressor(solver), X.astype("f4"), NOISY.astype("f4"))
    assert model.coefs_[0].dtype == np.float32
    assert model.score(X, NOISY) > 0.8


def test_tools_of_scikit_learn():
    model = regressor(LevenbergMarquardt(50, damping=0.1))
    assert clone(model).get_params() == model.get_params()
    assert clone(model).solver == LevenbergMarquardt(50, damping=0.1)
    fitted(model, X, NOISY)
    again = pickle.loads(pickle.dumps(model))
    assert again.solver == model.solver
    assert again.loss_curve_ == model.loss_curve_
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    solvers = [LBFGS(max_iterations=1), LevenbergMarquardt(20), "adam"]
    search = GridSearchCV(regressor("adam"), {"solver": solvers}, cv=3)
    fitted(search, X, NUMBER)
    assert search.best_params_ == {"solver": LevenbergMarquardt(20)}
    assert ln.from_sklearn(search) == search.best_estimator_.to_mlp()


def test_progress_and_interruption(capsys):
    def interrupt(model):
        if model.n_iter_ == 2:
            raise KeyboardInterrupt

    for solver in SOLVERS:
        model = regressor(solver, callbacks=[interrupt], verbose=True)
        with pytest.warns(UserWarning, match="Interrupted"):
            model.fit(X, NOISY)
        assert model.n_iter_ == 2
        assert model.loss_ == pytest.approx(0.5 * np.mean((model.predict(X) - NOISY) ** 2))
        assert f"Iteration 2, loss = {model.loss_:.8f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (
            lambda: MLPClassifier(solver=LevenbergMarquardt()).fit(X, CLASSES),
            ValueError,
            "solver=LevenbergMarquardt(max_iterations=1000) makes squares of errors small, and the "
            "loss is cross_entropy: take ln.optim.LBFGS()",
        ),
        (
            lambda: regressor(LevenbergMarquardt(), loss="huber").fit(X, NOISY),
            ValueError,
            "makes squares of errors small, and the loss is huber",
        ),
        (
            lambda: regressor(LBFGS(), dropout=0.1).fit(X, NOISY),
            ValueError,
            "dropout is for solvers that go step by step: with it the loss is another at each "
            "look, and solver=LBFGS(max_iterations=200) compares losses",
        ),
        (
            lambda: regressor(LBFGS(), learning_rate=ln.optim.schedules.Cosine()).fit(X, NOISY),
            ValueError,
            "a schedule of learning_rate is for solvers that go step by step, and solver=LBFGS(",
        ),
        (
            lambda: regressor(LevenbergMarquardt()).partial_fit(X, NOISY),
            AttributeError,
            "has no attribute 'partial_fit'",
        ),
        (
            lambda: regressor(LBFGS()).fit(1e200 * X, 1e200 * NOISY),
            ValueError,
            "training cannot begin: the loss is not finite at the start",
        ),
    ],
)
def test_what_does_not_go_together(act, error, match):
    with pytest.raises(error, match=re.escape(match)):
        act()
