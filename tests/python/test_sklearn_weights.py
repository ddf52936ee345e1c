"""Weights of samples and classes in `laminet.sklearn`, and what is held out of few samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import laminet as ln
from laminet.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
SIDES = (CLASSES > 0).astype(int)
SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0}


def fitted(y: Any = CLASSES, weights: Any = None, eval_set: Any = None, **options: Any) -> Any:
    kind = MLPRegressor if np.asarray(y).dtype.kind == "f" else MLPClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(**{**SETTINGS, **options}).fit(X, y, weights, eval_set)


def test_weights_of_classes_that_some_samples_do_not_have() -> None:
    """A dict names some classes, and the others weigh 1: in a part of the samples, too."""
    some, of_two = CLASSES < 2, {2: 5.0}
    part = MLPClassifier(**SETTINGS, class_weight=of_two)
    part.partial_fit(X[some], CLASSES[some], classes=[0, 1, 2])
    plain = MLPClassifier(**SETTINGS).partial_fit(X[some], CLASSES[some], classes=[0, 1, 2])
    assert part.loss_ == pytest.approx(plain.loss_, rel=1e-12)
    held_out = (X[some], CLASSES[some])
    scores = fitted(eval_set=held_out, class_weight=of_two).validation_scores_
    model = fitted(class_weight=of_two)
    assert scores[-1] == model.score(*held_out)
    with pytest.raises(ValueError, match="are not in class_weight"):
        fitted(class_weight={9: 2.0})


@pytest.mark.parametrize("solver", ["adam", "lbfgs", ln.optim.LBFGS()], ids=str)
def test_weights_that_leave_nothing(solver: Any) -> None:
    nothing = "is 0 for all samples: there is nothing to"
    with pytest.raises(ValueError, match=f"{nothing} learn from"):
        fitted(class_weight={0: 0, 1: 0, 2: 0}, solver=solver)
    with pytest.raises(ValueError, match=f"{nothing} learn from"):
        fitted(SIDES, 1.0 * (SIDES == 0), class_weight={0: 0}, solver=solver)
    if solver != "lbfgs":
        held_out = (X[CLASSES == 0], CLASSES[CLASSES == 0])
        with pytest.raises(ValueError, match=f"{nothing} score with: look at eval_set"):
            fitted(eval_set=held_out, class_weight={0: 0}, solver=solver)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: -1.0}, "class_weight must be finite and at least 0, got -1"),
        ({0: np.nan}, "class_weight must be finite and at least 0, got nan"),
        ({1: np.inf}, "class_weight must be finite and at least 0, got inf"),
        ([1.0, 2.0, 3.0], "class_weight must be a dict by class, or 'balanced'"),
    ],
)
def test_weights_of_classes_that_are_none(weights: Any, message: str) -> None:
    for y in (CLASSES, SIDES):
        with pytest.raises(ValueError, match=message):
            fitted(y, class_weight=weights)


@pytest.mark.parametrize("y", [X[:, 0], CLASSES, SIDES], ids=["numbers", "classes", "sides"])
def test_large_weights_score_as_others(y: Any) -> None:
    """Their sum is infinite."""
    weights = RNG.integers(1, 4, 60) * 2.0**-4
    options = {"alpha": 0.0, "early_stopping": True}
    one, other = fitted(y, weights, **options), fitted(y, weights * 2.0**1022, **options)
    assert other.validation_scores_ == one.validation_scores_
    assert np.isfinite(one.validation_scores_).all()
    assert np.array_equal(one.coefs_[0], other.coefs_[0])
    classes = {} if y.dtype.kind == "f" else {"class_weight": {0: 2.0**1000}}
    assert np.isfinite(fitted(y, weights * 2.0**1022, **options, **classes).coefs_[0]).all()


def test_weights_beside_which_the_penalty_is_infinite() -> None:
    for solver in ("adam", "lbfgs"):
        with pytest.raises(ValueError, match=r"beside which alpha=0.0001 is not finite"):
            fitted(weights=np.full(60, 5e-324), solver=solver)
    assert np.isfinite(fitted(weights=np.full(60, 5e-324), alpha=0.0).loss_)


def test_what_cannot_be_held_out() -> None:
    """Said in the names of this estimator's parameters."""
    few, stop = np.arange(60) < 5, {"early_stopping": True}
    for y in (CLASSES, SIDES, X[:, 0]):
        with pytest.raises(ValueError, match=r"validation_fraction=0.1 of 5 samples holds out 1"):
            fitted(y, 1.0 * few, **stop)
        with pytest.raises(ValueError, match="validation_fraction=0 of 60 samples holds out 0"):
            fitted(y, validation_fraction=0, **stop)
        with pytest.raises(ValueError, match=r"validation_fraction=0.99 of 60 samples holds out 6"):
            fitted(y, validation_fraction=0.99, **stop)
    single = (np.arange(60) == 7).astype(int)
    with pytest.raises(ValueError, match="of each class, and of one there is but one sample"):
        fitted(single, **stop)


def test_callbacks_that_cannot_be_called_are_refused_before_anything_is_learnt() -> None:
    def never(_: Any) -> None:
        pytest.fail("the fit has begun")

    with pytest.raises(TypeError, match=r"callbacks\[1\] must be callable, got int"):
        fitted(callbacks=[never, 5])
