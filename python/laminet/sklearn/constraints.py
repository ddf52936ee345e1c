"""What parameters may be, in scikit-learn's terms: its own bounds, and what is more here."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from laminet.core.activation import ACTIVATIONS, Activation
from laminet.losses import Loss
from laminet.optim import FirstOrder, FullBatch
from laminet.optim.schedules import Schedule

__all__ = ["CLASSIFIER", "HIDDEN_ACTIVATIONS", "REGRESSOR", "REGRESSOR_LOSSES"]

#: Names of activations of hidden layers; "logistic" is scikit-learn's for sigmoid.
HIDDEN_ACTIVATIONS = {"logistic", *ACTIVATIONS}
REGRESSOR_LOSSES = {"squared_error", "poisson", "absolute_error", "huber", "quantile"}

_COUNT = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_BELOW_ONE = Interval(Real, 0, 1, closed="left")

_SHARED: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "activation": [StrOptions(HIDDEN_ACTIVATIONS), Activation, list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"}), FirstOrder, FullBatch],
    "alpha": [_NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), _COUNT],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
    "learning_rate_init": [_POSITIVE],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_BELOW_ONE],
    "beta_1": [_BELOW_ONE],
    "beta_2": [_BELOW_ONE],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_COUNT, Options(Real, {np.inf})],
    "max_fun": [_COUNT],
    "dropout": [_BELOW_ONE],
    "callbacks": [list, tuple],
    "dtype": [StrOptions({"float32", "float64"}), None],
}

CLASSIFIER = {
    **_SHARED,
    "loss": [StrOptions({"log_loss"}), Loss],
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
}
REGRESSOR = {**_SHARED, "loss": [StrOptions(REGRESSOR_LOSSES), Loss]}
