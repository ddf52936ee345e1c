"""laminet.sklearn trains as scikit-learn does, step by step, and does what that does not."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import laminet as ln
import laminet.sklearn

RNG = np.random.default_rng(1)
X = RNG.standard_normal((120, 5))
TARGETS = {
    "binary": ("MLPClassifier", (X[:, 0] * X[:, 1] > 0).astype(int)),
    "multi": ("MLPClassifier", np.digitize(X[:, 0], [-0.5, 0.5])),
    "labels": ("MLPClassifier", (X[:, :3] > 0).astype(int)),
    "number": ("MLPRegressor", X[:, 0] * X[:, 1]),
    "numbers": ("MLPRegressor", X[:, :2] ** 2),
}
TEXT = np.where(X[:, 0] > 0, "yes", "no")
SGD = {"solver": "sgd", "learning_rate_init": 0.02}


def fitted(kind, x, y, weights=None, **settings):
    given = {"hidden_layer_sizes": (7, 4), "max_iter": 30, "random_state": 3, "activation": "tanh"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(**{**given, **settings}).fit(x, y, weights)


def both(task, weights=None, **settings):
    name, y = TARGETS[task]
    modules = (laminet.sklearn, neural_network)
    return [fitted(getattr(module, name), X, y, weights, **settings) for module in modules]


def farthest(ours, theirs):
    pairs = zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True)
    return max(np.abs(one - other).max() for one, other in pairs)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize(
    "settings",
    [
        SGD,
        {**SGD, "nesterovs_momentum": False},
        {**SGD, "momentum": 0.0},
        {**SGD, "learning_rate": "invscaling", "learning_rate_init": 0.3, "power_t": 0.4},
        {**SGD, "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2, "max_iter": 60},
        {**SGD, "activation": "logistic"},
        {**SGD, "early_stopping": True, "validation_fraction": 1 / 3, "n_iter_no_change": 5},
    ],
    ids=str,
)
def test_sgd_makes_the_same_steps(task, settings):
    """Batches of 40 of the 120 samples: then all have the same weight in the L2 term."""
    ours, theirs = both(task, shuffle=False, batch_size=40, alpha=0.1, **settings)
    # Some 100 steps whose roundings are of numbers near 1.
    assert farthest(ours, theirs) < 1e-12
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    # The L2 term within an epoch is taken as even between its ends.
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-3)
    if settings.get("early_stopping"):
        assert ours.best_loss_ is theirs.best_loss_ is None
    else:
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-3)


@pytest.mark.parametrize("task", TARGETS)
def test_the_loss_of_a_full_batch_is_theirs_to_the_last_digits(task):
    weights = RNG.uniform(0.5, 2, 120)
    ours, theirs = both(task, weights, shuffle=False, batch_size=120, alpha=0.5, **SGD)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("task", TARGETS)
def test_adam_makes_the_same_steps_where_epsilon_is_nothing(task):
    settings = {"shuffle": False, "batch_size": 40, "learning_rate_init": 0.01, "alpha": 0.1}
    ours, theirs = both(task, **settings, epsilon=1e-14)
    assert farthest(ours, theirs) < 1e-9
    ours, theirs = both(task, **settings)  # which stands elsewhere in the formula
    assert farthest(ours, theirs) < 1e-3


def test_counts_and_their_loss():
    name, y = "MLPRegressor", TARGETS["numbers"][1]
    settings = {"shuffle": False, "batch_size": 120, "loss": "poisson", **SGD}
    modules = (laminet.sklearn, neural_network)
    ours, theirs = (fitted(getattr(m, name), X, y, **settings) for m in modules)
    assert farthest(ours, theirs) < 1e-12
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    np.testing.assert_allclose(np.exp(ours.to_mlp()(X)), ours.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="at least 0 for Poisson"):
        ours.fit(X, -y)


@pytest.mark.parametrize("task", ["binary", "multi", "labels", "number"])
def test_lbfgs_walks_the_same_way(task):
    ours, theirs = both(task, solver="lbfgs", max_iter=8, alpha=0.1)
    assert farthest(ours, theirs) < 1e-10
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-12)


def test_lbfgs_of_many_outputs_ends_where_its_objective_is_least():
    """No warning, which would be an error: the line search finds what the gradient promises."""
    y = TARGETS["numbers"][1]
    model = laminet.sklearn.MLPRegressor(
        hidden_layer_sizes=(7,), activation="tanh", solver="lbfgs", random_state=3
    ).set_params(alpha=1.0, max_iter=2000, tol=1e-5)
    model.fit(X, y)

    def objective():
        penalty = sum((weight**2).sum() for weight in model.coefs_) / (2 * 120)
        return ((model.predict(X) - y) ** 2).sum(axis=1).mean() / 2 + penalty

    least = objective()
    for array in [*model.coefs_, *model.intercepts_]:
        kept = array.copy()
        for change in (0.03, -0.03):
            array[...] = kept + change
            assert objective() > least
        array[...] = kept


def test_limits_are_told():
    y = TARGETS["number"][1]
    with pytest.warns(ConvergenceWarning, match="adam reached max_iter=3"):
        laminet.sklearn.MLPRegressor(max_iter=3).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"lbfgs reached a limit \(max_iter=3"):
        laminet.sklearn.MLPRegressor(max_iter=3, solver="lbfgs").fit(X, y)
    with pytest.warns(UserWarning, match="batch_size is 500, and there are 120 samples"):
        laminet.sklearn.MLPRegressor(batch_size=500, tol=10).fit(X, y)


SETS = {
    "digits": ("MLPClassifier", load_digits, {"hidden_layer_sizes": (32,)}),
    "breast cancer": ("MLPClassifier", load_breast_cancer, {"hidden_layer_sizes": (16,)}),
    "diabetes": ("MLPRegressor", load_diabetes, {"hidden_layer_sizes": (16,), "max_iter": 30}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SETS)
def test_scores_on_real_data_are_theirs_within_the_noise_of_seeds(name, dtype):
    kind, load, settings = SETS[name]
    x, y = load(return_X_y=True)
    if kind == "MLPRegressor":
        y = (y - y.mean()) / y.std()
    x, other, y, expected = train_test_split(StandardScaler().fit_transform(x), y, random_state=0)
    settings = {"max_iter": 60, "learning_rate_init": 0.01, "activation": "relu", **settings}
    scores = {}
    for module, more in ((laminet.sklearn, {"dtype": dtype}), (neural_network, {})):
        found = [
            fitted(getattr(module, kind), x, y, **{**settings, **more, "random_state": seed}).score(
                other, expected
            )
            for seed in range(5)
        ]
        scores[module] = np.array(found)
    ours, theirs = scores.values()
    # Four standard errors of the difference of two means, and what one sample more or less is.
    noise = 4 * np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 5) + 2 / len(expected)
    assert abs(ours.mean() - theirs.mean()) < noise
    assert ours.mean() > (0.25 if kind == "MLPRegressor" else 0.95)


def test_streams():
    y = TARGETS["multi"][1]
    kinds = (laminet.sklearn.MLPClassifier, neural_network.MLPClassifier)
    models = [k((6,), random_state=0, shuffle=False, **SGD) for k in kinds]
    for start in range(0, 120, 30):
        part = slice(start, start + 30)
        for model in models:
            classes = {"classes": [0, 1, 2]} if start == 0 else {}
            model.partial_fit(X[part], y[part], **classes)
    ours, theirs = models
    assert farthest(ours, theirs) < 1e-13  # momentum goes on from call to call
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_) == (1, 120)
    assert len(ours.loss_curve_) == 4
    with pytest.raises(ValueError, match="classes is"):
        ours.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="that are not in classes_"):
        ours.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        laminet.sklearn.MLPClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        laminet.sklearn.MLPRegressor(early_stopping=True).partial_fit(X, X[:, 0])
    with pytest.raises(AttributeError, match="partial_fit"):
        laminet.sklearn.MLPRegressor(solver="lbfgs").partial_fit(X, X[:, 0])
    with pytest.raises(ValueError, match="balanced"):
        laminet.sklearn.MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_a_warm_start_goes_on():
    y = TARGETS["multi"][1]
    ours, theirs = both("multi", warm_start=True, shuffle=False, batch_size=40, **SGD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours.fit(X, y)
        theirs.fit(X, y)
    assert farthest(ours, theirs) < 1e-12
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 60
    with pytest.raises(ValueError, match="not in classes_"):
        ours.fit(X, y + 1)


def test_a_warm_start_may_take_another_solver():
    y = TARGETS["number"][1]
    model = fitted(laminet.sklearn.MLPRegressor, X, y, solver="lbfgs", warm_start=True)
    for more in ({"solver": "adam"}, {"early_stopping": True}, {"early_stopping": False}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(max_iter=2, **more).fit(X, y)
        assert len(model.loss_curve_) == 2
        assert (model.best_loss_ is None) == model.early_stopping
    model.partial_fit(X.astype(np.float32), y)
    assert model.coefs_[0].dtype == np.float32


def test_an_average_goes_on_from_call_to_call():
    y = TARGETS["number"][1]
    settings = {"solver": ln.optim.AdamW(0.01, average=0.9), "shuffle": False, "max_iter": 2}
    model = fitted(laminet.sklearn.MLPRegressor, X, y, **settings)
    model.partial_fit(X, y)
    at_once = fitted(laminet.sklearn.MLPRegressor, X, y, **{**settings, "max_iter": 3})
    assert farthest(model, at_once) == 0


def test_labels_may_be_text_where_training_stops_early():
    model = fitted(
        laminet.sklearn.MLPClassifier, X, TEXT, early_stopping=True, learning_rate_init=0.05
    )
    assert set(model.predict(X)) == {"yes", "no"}
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) == model.best_validation_score_


def test_a_run_that_diverges_is_an_error_or_keeps_its_best():
    y = TARGETS["number"][1] * 1e3
    wild = {"solver": "sgd", "learning_rate_init": 1e3, "activation": "identity"}
    with pytest.raises(ValueError, match=r"training diverged: the loss is not finite in epoch \d"):
        fitted(laminet.sklearn.MLPRegressor, X, y, **wild)
    # It diverges in a later epoch: by then there was a score.
    slow = {**wild, "learning_rate_init": 1.0, "early_stopping": True}
    model = laminet.sklearn.MLPRegressor(random_state=3, n_iter_no_change=500, **slow)
    with pytest.warns(ConvergenceWarning, match="the network of the best score is kept"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_sparse_samples_are_written_out():
    y = TARGETS["multi"][1]
    kept = np.where(np.abs(X) > 0.5, X, 0)
    dense = fitted(laminet.sklearn.MLPClassifier, kept, y)
    model = fitted(laminet.sklearn.MLPClassifier, sparse.csr_matrix(kept), y)
    np.testing.assert_array_equal(model.predict(sparse.csc_matrix(kept)), dense.predict(kept))


def test_dtypes():
    y = TARGETS["number"][1]
    for given, dtype, expected in [
        (np.float64, None, np.float64),
        (np.float32, None, np.float32),
        (np.float64, "float32", np.float32),
        (np.float32, "float64", np.float64),
    ]:
        model = fitted(laminet.sklearn.MLPRegressor, X.astype(given), y, dtype=dtype)
        assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(expected)}
        assert model.predict(X.astype(given)).dtype == expected


# --- What theirs has not ----------------------------------------------------------------------


def test_class_weights_are_sample_weights():
    y = TARGETS["multi"][1]
    settings = {"solver": "lbfgs", "max_iter": 10}
    model = fitted(
        laminet.sklearn.MLPClassifier, X, y, class_weight={0: 1.0, 1: 3.0, 2: 0.5}, **settings
    )
    weights = np.array([1.0, 3.0, 0.5])[y]
    same = fitted(laminet.sklearn.MLPClassifier, X, y, weights, **settings)
    assert farthest(model, same) == 0
    share = len(y) / (3 * np.bincount(y))
    balanced = fitted(laminet.sklearn.MLPClassifier, X, y, class_weight="balanced", **settings)
    assert farthest(balanced, fitted(type(model), X, y, share[y], **settings)) == 0


def test_an_activation_for_each_layer():
    activations = ["gelu", ln.Activation("leaky_relu", alpha=0.2)]
    model = fitted(laminet.sklearn.MLPRegressor, X, X[:, 0], activation=activations)
    assert [layer.activation.name for layer in model.to_mlp().layers] == [
        *("gelu", "leaky_relu", "identity")
    ]
    np.testing.assert_array_equal(model.to_mlp()(X)[:, 0], model.predict(X))


@pytest.mark.parametrize(
    "loss", ["absolute_error", "huber", "quantile", ln.losses.Quantile([0.1, 0.5, 0.9])], ids=str
)
def test_losses_of_ours(loss):
    y = X[:, 0] + RNG.standard_normal(120)
    settings = {"loss": loss, "max_iter": 200, "early_stopping": True, "shuffle": True}
    model = fitted(laminet.sklearn.MLPRegressor, X, y, **settings)
    expected = ln.reference.loss(loss, model.to_mlp()(X), y)
    start = fitted(laminet.sklearn.MLPRegressor, X, y, **{**settings, "max_iter": 1})
    assert expected < ln.reference.loss(loss, start.to_mlp()(X), y)
    if isinstance(loss, ln.losses.Quantile):
        assert model.predict(X).shape == (120, 3)
        assert (np.diff(model.predict(X).mean(axis=0)) > 0).all()
    with pytest.raises(ValueError, match="MLPClassifier takes it"):
        laminet.sklearn.MLPRegressor(loss=ln.losses.CrossEntropy()).fit(X, y)


def test_smoothed_labels():
    y = TARGETS["multi"][1]
    loss = ln.losses.CrossEntropy(label_smoothing=0.3)
    model = fitted(laminet.sklearn.MLPClassifier, X, y, loss=loss, solver="lbfgs", max_iter=500)
    sharp = fitted(laminet.sklearn.MLPClassifier, X, y, solver="lbfgs", max_iter=500)
    assert model.predict_proba(X).max() < 0.95 < sharp.predict_proba(X).max()


@pytest.mark.parametrize(
    "constant", [ln.optim.AdamW(0.01, weight_decay=0.1), ln.optim.Muon(0.02)], ids=repr
)
def test_optimisers_and_schedules_of_ours(constant):
    """They are those of ln.Trainer: the same network after the same epochs."""
    y = TARGETS["number"][1]
    schedule = ln.optim.schedules.Cosine()
    optimizer = dataclasses.replace(constant, schedule=schedule)
    settings = {"shuffle": False, "batch_size": 40, "max_iter": 5, "tol": 0.0}
    model = fitted(laminet.sklearn.MLPRegressor, X, y, solver=optimizer, **settings)
    start = laminet.sklearn.MLPRegressor(
        hidden_layer_sizes=(7, 4), activation="tanh", random_state=3, solver="lbfgs", max_iter=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start.set_params(max_fun=1, tol=1e9).fit(X, y)
    trainer = ln.Trainer(start.to_mlp(), "squared_error", optimizer, total_steps=15)
    for _ in range(5):
        trainer.epoch(X, y, 40, shuffle=False)
    np.testing.assert_array_equal(model.predict(X), trainer.network(X)[:, 0])
    apart = {"solver": constant, "learning_rate": schedule}
    again = fitted(laminet.sklearn.MLPRegressor, X, y, **apart, **settings)
    assert farthest(again, model) == 0


def test_samples_to_score_and_callbacks():
    y = TARGETS["multi"][1]
    seen = []

    def after(model):
        seen.append((model.n_iter_, model.score(X[80:], y[80:]), model.validation_scores_[-1]))
        return model.n_iter_ == 4

    model = laminet.sklearn.MLPClassifier((6,), random_state=0, callbacks=[after])
    model.fit(X[:80], y[:80], eval_set=(X[80:], y[80:]))
    assert [n for n, *_ in seen] == [1, 2, 3, 4]
    assert all(score == pytest.approx(noted) for _, score, noted in seen)
    assert model.validation_scores_ == [noted for *_, noted in seen]
    assert len(model.loss_curve_) == 4
    with pytest.raises(ValueError, match="eval_set must be"):
        model.fit(X, y, eval_set=X)
    with pytest.raises(ValueError, match="solvers that go step by step, and solver='lbfgs'"):
        model.set_params(solver="lbfgs").fit(X, y)


def test_progress_and_interruption(capsys):
    y = TARGETS["number"][1]
    fitted(laminet.sklearn.MLPRegressor, X, y, verbose=True, max_iter=2, early_stopping=True)
    told = capsys.readouterr().out
    assert "Iteration 2, loss = " in told
    assert "Validation score: " in told

    def interrupt(model):
        raise KeyboardInterrupt

    model = laminet.sklearn.MLPRegressor(callbacks=[interrupt])
    with pytest.warns(UserWarning, match="Interrupted"):
        model.fit(X, y)
    assert model.n_iter_ == 1
