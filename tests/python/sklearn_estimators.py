"""Estimators of scikit-learn with an MLP, and the table that they are fitted to."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
NAMES = list("abcdef")


def table(rows):
    """Five columns of numbers and one of two categories, 1 and 3."""
    x = RNG.standard_normal((rows, 6)) * [1, 5, 0.1, 2, 1, 1] + [0, 3, 0, -2, 10, 0]
    x[:, 5] = np.where(x[:, 5] > 0, 3, 1)
    return pd.DataFrame(x, columns=NAMES)


FRAME, NEW = table(120), table(60)
X = FRAME.to_numpy()
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])
ONE = X[:, 0] * X[:, 1]
TWO = X[:, :2] ** 2 + 100
ALPHA = {"alpha": [0.1, 1.0]}  # what a search tries


def classifier():
    return MLPClassifier((6,), max_iter=30, learning_rate_init=0.05, random_state=0)


def regressor():
    return MLPRegressor(
        hidden_layer_sizes=(6,), max_iter=30, learning_rate_init=0.05, random_state=0
    )


def fitted(estimator, x=FRAME, y=CLASSES):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)
