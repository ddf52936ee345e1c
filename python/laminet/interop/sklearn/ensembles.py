"""Estimators of scikit-learn whose answer is a mean of others': by votes, and by bagging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from laminet.core.errors import FormatError
from laminet.interop.sklearn.maps import Map, in_series, selection, sized
from laminet.interop.sklearn.refusals import name_of
from laminet.interop.symbolic.joining import summed
from laminet.interop.symbolic.value import Value

__all__ = ["Member", "mean_of", "members"]

_REGRESSORS = ("VotingRegressor", "BaggingRegressor")
_CLASSIFIERS = ("VotingClassifier", "BaggingClassifier")


@dataclass(frozen=True)
class Member:
    """An estimator of an ensemble, the columns that it sees, and its share of the answer."""

    estimator: Any
    columns: Any
    share: float


def members(estimator: Any) -> list[Member] | None:
    """Return the estimators whose weighted mean an ensemble is; None for all else.

    Raises
    ------
    FormatError
        If it is an ensemble of classifiers.
    ValueError
        If it is not fitted.
    """
    name = name_of(type(estimator))
    kind = type(estimator).__name__
    if name in _CLASSIFIERS:
        raise FormatError(_of_classifiers(kind, getattr(estimator, "voting", "soft")))
    if name not in _REGRESSORS:
        return None
    if not hasattr(estimator, "estimators_"):
        raise ValueError(f"the {kind} is not fitted: call its fit() first")
    count, width = len(estimator.estimators_), int(estimator.n_features_in_)
    shares = [1 / count] * count
    columns = [np.arange(width)] * count
    if name == "BaggingRegressor":
        columns = list(estimator.estimators_features_)
    elif estimator.weights is not None:
        # One for each estimator that was given; those that were dropped are not among the fitted.
        given = zip(estimator.estimators, estimator.weights, strict=True)
        weights = [float(w) for (_, one), w in given if not isinstance(one, str)]
        total = sum(weights)
        if not np.isfinite(total) or total == 0:
            raise ValueError(f"the {kind} has weights whose sum is {total:g}: no mean has such")
        shares = [w / total for w in weights]
    parts = zip(estimator.estimators_, columns, shares, strict=True)
    return [Member(one, places, share) for one, places, share in parts]


def mean_of(maps: list[Map], found: list[Member], inputs: int) -> Map:
    """Return the mean of what the members' maps make of the columns that each of them sees."""

    def mean(x: Value) -> Value:
        x = sized(x, inputs)
        answers = [
            in_series([selection(member.columns, inputs), one])(x)
            for member, one in zip(found, maps, strict=True)
        ]
        shares = [member.share for member in found]
        if len(set(shares)) == 1:
            whole = Value(summed([answer.resolved() for answer in answers]))
            return whole.scaled(shares[0], 0.0)
        weighted = [a.scaled(share, 0.0) for a, share in zip(answers, shares, strict=True)]
        return Value(summed([answer.resolved() for answer in weighted]))

    return mean


def _of_classifiers(kind: str, voting: str) -> str:
    if voting == "hard":
        return (
            f"the {kind} counts the votes of its classifiers (voting='hard'), and no layer counts: "
            "import each of its estimators_ by itself, and count the labels of their predict"
        )
    return (
        f"the {kind} takes the mean of its classifiers' probabilities, and laminet has a softmax "
        "as the last step of a network only: import each of its estimators_ by itself "
        "(ln.from_sklearn(one)), and take the mean of their predict_proba"
    )
