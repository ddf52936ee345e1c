"""`from_sklearn`: an MLP of scikit-learn, and what is around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from laminet.core.activation import Activation, activation_named
from laminet.core.floating_point import silent
from laminet.core.initialization import as_dtype
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels, Quantities
from laminet.interop.origin import is_of
from laminet.interop.sklearn.ensembles import Member, mean_of, members
from laminet.interop.sklearn.maps import Map, in_series
from laminet.interop.sklearn.refusals import estimator_refused, is_own, name_of
from laminet.interop.sklearn.transformers import (
    affine_maps,
    inverse_map,
    keeps_columns,
    own_steps,
)
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import beside_zero
from laminet.interop.symbolic.network import network
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.core.outputs import Outputs

__all__ = ["from_sklearn"]

#: What an estimator makes of its scores, the head after it, and what the outputs stand for.
_Ending: TypeAlias = "tuple[Form, str | None, Outputs | None]"

_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


@silent
def from_sklearn(
    estimator: Any, *, dtype: DTypeLike | None = None, outputs: Outputs | None = None
) -> MLP:
    """Return the network that computes what an estimator of scikit-learn does.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or such in a Pipeline, search, ensemble or the like
        Fitted; of scikit-learn or of `laminet.sklearn`, whose dropouts come along. A search
        (``GridSearchCV`` and its like) stands for its ``best_estimator_``. A pipeline may have
        before the estimator ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``,
        ``RobustScaler``, ``PCA``, ``TruncatedSVD`` and other projections, selections of features,
        and a ``ColumnTransformer`` or ``FeatureUnion`` of those; they are folded into its first
        layer, but for scalers that clip, which are layers of their own. A
        ``TransformedTargetRegressor`` whose transformer is a scaler is folded into the last. A
        ``VotingRegressor`` or ``BaggingRegressor`` of these is a `Parallel` of their networks.
    dtype : {"float32", "float64"}, optional
        By default that of the estimator's weights, which is float64 unless it was fitted to
        float32.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for, in place of what the estimator says.

    Returns
    -------
    MLP
        `predict`, `predict_proba` and `predict_log_proba` give what the estimator's give, labels
        included, but for rounding. ``net(x)`` are a classifier's probabilities. Two classes are two
        outputs with a softmax, the first logit 0: the same function as one logistic output (an
        estimator of `laminet.sklearn` has that: its network is what its ``to_mlp`` gives). Names
        of features that the estimator has seen are the network's `feature_names`.

    Raises
    ------
    TypeError
        If `estimator` is no estimator of the kinds above, or a step is of a kind that no layer can
        do, with the step's name.
    ValueError
        If it is not fitted, or a step is set to do what no layer can.
    FormatError
        If it is a ``VotingClassifier`` or ``BaggingClassifier``, whose probabilities are means of
        softmaxes: laminet has a softmax as the last step of a network only.

    Notes
    -----
    Weights are taken over bit by bit, but for those of the first and last layer where something is
    folded into them: they are multiplied out in float64 and rounded once. A feature whose mean is
    many standard deviations from 0 then loses as many digits in the first layer as its own rounding
    to the network's dtype costs; in float64 that is seldom of interest.

    A ``OneHotEncoder`` of a column of numbers with two categories is the line through both, and an
    ``OrdinalEncoder`` of categories at equal distances likewise. Other values, for which
    scikit-learn raises an error, get what lies on that line.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> y = np.repeat(["low", "high"], 5)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier([4], solver="lbfgs", random_state=0))
    >>> net = ln.from_sklearn(model.fit(X, y))
    >>> bool((net.predict(X) == model.predict(X)).all())
    True
    """
    parts = _unwrapped(estimator)
    target = as_dtype(parts.stored if dtype is None else dtype)
    form, head, meaning = parts.ending(_map(parts)(Value.input()).resolved())
    net = network(form, target, head, outputs=meaning, feature_names=parts.names)
    return net if outputs is None else net.with_outputs(outputs)


def _scores(mlp: Any) -> Map:
    """Return what an MLP computes but for a classifier's output activation."""
    layers = list(zip(mlp.coefs_, mlp.intercepts_, strict=True))
    hidden = activation_named(_ACTIVATIONS[mlp.activation])

    def scores(x: Value) -> Value:
        (weight, bias), *others = layers
        value = x.linear(np.asarray(weight).T, np.asarray(bias), merged=True)
        for weight, bias in others:
            value = value.activated(hidden)
            value = value.linear(np.asarray(weight).T, np.asarray(bias))
        return value

    return scores


def _map(parts: _Parts) -> Map:
    """Return what an estimator computes, with what is before and after it."""

    def computed(x: Value) -> Value:
        try:
            value = in_series([*parts.before, parts.scores])(x)
        except ValueError as error:
            if str(error).startswith("a step before "):  # of a member of an ensemble
                raise
            raise ValueError(f"a step before the {parts.kind} {error}") from None
        return in_series(parts.after)(value)

    return computed


def _numbers(outputs: Form) -> _Ending:
    return outputs, None, Quantities()


def _classified(estimator: Any, scores: Form) -> _Ending:
    """Return what a classifier makes of its scores."""
    labels = np.asarray(estimator.classes_)
    if len(labels) < 2:
        raise ValueError(
            f"the MLPClassifier knows {len(labels)} class; it takes two to choose from"
        )
    if estimator.out_activation_ == "softmax":
        return scores, "softmax", Classes(labels)
    if estimator.out_activation_ != "logistic":
        raise ValueError(f"the output activation {estimator.out_activation_!r} is not known")
    if estimator.n_outputs_ > 1:
        return scores.activated(Activation("sigmoid")), None, Labels(labels)
    return beside_zero(scores), "softmax", Classes(labels)


# --- What is around the estimator -------------------------------------------------------------


@dataclass
class _Parts:
    """What an estimator computes, the maps before and after it, and the names of the inputs."""

    kind: str
    scores: Map
    stored: np.dtype[Any]  # of the weights
    ending: Callable[[Form], _Ending] = _numbers
    before: list[Map] = field(default_factory=list)
    after: list[Map] = field(default_factory=list)
    names: list[str] | None = None


def _unwrapped(estimator: Any) -> _Parts:
    """Return what nested pipelines, searches and transformed targets hold."""
    if not is_of(estimator, "sklearn"):
        raise TypeError(estimator_refused(estimator))
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = type(estimator).__name__
    steps = own_steps(estimator)
    if steps is not None:
        return _of_pipeline(steps)
    if isinstance(estimator, GridSearchCV.__mro__[1]):  # the base of all searches, which is private
        if not hasattr(estimator, "best_estimator_"):
            fitted = hasattr(estimator, "cv_results_")
            how = (
                "it was told not to refit its best (refit=False)" if fitted else "it is not fitted"
            )
            raise ValueError(f"the {kind} has no best_estimator_: {how}")
        return _unwrapped(estimator.best_estimator_)
    if name_of(type(estimator)) == "FrozenEstimator":
        return _unwrapped(estimator.estimator)
    if isinstance(estimator, TransformedTargetRegressor) and name_of(type(estimator)):
        if not hasattr(estimator, "regressor_"):
            raise ValueError(f"the {kind} is not fitted: call its fit() first")
        parts = _unwrapped(estimator.regressor_)
        parts.after += inverse_map("the target's transformer", estimator.transformer_)
        parts.names = _names(estimator) or parts.names
        return parts
    if is_own(type(estimator)):
        return _of_own(estimator)
    found = members(estimator)
    if found is not None:
        return _of_ensemble(estimator, found)
    if not isinstance(estimator, (MLPClassifier, MLPRegressor)) or not name_of(type(estimator)):
        raise TypeError(estimator_refused(estimator))
    return _of_mlp(estimator)


def _of_mlp(mlp: Any) -> _Parts:
    kind = type(mlp).__name__
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"the {kind} is not fitted: call its fit() first")
    if mlp.activation not in _ACTIVATIONS:
        raise ValueError(f"the activation {mlp.activation!r} is none that laminet has")
    regressor = name_of(type(mlp)) == "MLPRegressor"
    if regressor and mlp.out_activation_ != "identity":
        raise ValueError(
            f"the {kind} ends in {mlp.out_activation_!r} (loss {mlp.loss!r}), which is no "
            "activation that laminet has: fit it with the loss 'squared_error'"
        )
    stored = np.asarray(mlp.coefs_[0]).dtype
    ending = _numbers if regressor else partial(_classified, mlp)
    return _Parts(kind, _scores(mlp), stored, ending, names=_names(mlp))


def _of_own(mlp: Any) -> _Parts:
    """Return an estimator of `laminet.sklearn`, which makes a network of itself."""
    kind = type(mlp).__name__
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"the {kind} is not fitted: call its fit() first")
    if mlp.out_activation_ == "exp":
        raise ValueError(
            f"the {kind} ends in 'exp' (loss {mlp.loss!r}), which is no activation that laminet "
            "has: its to_mlp() is the network of the logarithms"
        )
    net: MLP = mlp.to_mlp()

    def computed(x: Value) -> Value:
        form = x.resolved()
        for k, layer in enumerate(net.layers):
            if isinstance(layer, Dropout):
                form = form.dropped(layer.rate)
            else:
                assert isinstance(layer, Dense)  # these two are what its fit makes
                form = form.linear(layer.weight, layer.bias, merged=k == 0)
                form = form.activated(layer.activation)
        return Value(form)

    def ending(outputs: Form) -> _Ending:
        return outputs, net.head, net.outputs

    return _Parts(kind, computed, net.dtype, ending, names=_names(mlp))


def _of_ensemble(ensemble: Any, found: list[Member]) -> _Parts:
    parts = [_unwrapped(member.estimator) for member in found]
    mean = mean_of([_map(one) for one in parts], found, int(ensemble.n_features_in_))
    stored = np.result_type(*[one.stored for one in parts])
    return _Parts(type(ensemble).__name__, mean, stored, names=_names(ensemble))


def _of_pipeline(steps: list[tuple[str, Any]]) -> _Parts:
    *others, (_, last) = steps
    parts = _unwrapped(last)
    names = parts.names
    for name, step in reversed(others):
        parts.before[:0] = affine_maps(name, step)
        own = _names(step)
        if own is not None or not keeps_columns(step):
            names = own
    parts.names = names
    return parts


def _names(step: Any) -> list[str] | None:
    """Return the names of the columns of the table that an estimator was fitted to.

    None without a table, and where its names do not tell the columns apart.
    """
    inner = own_steps(step)
    if inner is not None:
        return next((_names(s) for _, s in inner if not keeps_columns(s)), None)
    names = [str(name) for name in getattr(step, "feature_names_in_", ())]
    return names if all(names) and len(set(names)) == len(names) > 0 else None
