"""scikit-learn: `from_sklearn`. scikit-learn is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.activation import Activation
from laminet.dense import Dense
from laminet.initialization import as_dtype
from laminet.interop.chain import rounded
from laminet.mlp import MLP
from laminet.outputs import Classes, Labels, Outputs, Quantities

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["from_sklearn"]

Array = NDArray[Any]

# x -> A x + c, exact algebra of a transformer, in float64; A a vector where it is diagonal.
_Affine = tuple[Array, Array]

_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def from_sklearn(
    estimator: Any, *, dtype: DTypeLike | None = None, outputs: Outputs | None = None
) -> MLP:
    """Return the network that computes what an estimator of scikit-learn does.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or Pipeline
        Fitted. A pipeline may have ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``,
        ``RobustScaler`` and ``PCA`` before the estimator; they are folded into its first layer.
    dtype : {"float32", "float64"}, optional
        By default that of the estimator's weights, which is float64 unless it was fitted to
        float32.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for, in place of what the estimator says: the `Classes` or `Labels`
        of a classifier, the `Quantities` of a regressor.

    Returns
    -------
    MLP
        `predict`, `predict_proba` and `predict_log_proba` give what the estimator's give, labels
        included, but for rounding. ``net(x)`` are a classifier's probabilities. Two classes are two
        outputs with a softmax, the first logit 0: the same function as one logistic output.

    Raises
    ------
    TypeError
        If `estimator` is no estimator of the kinds above, with the step's name.
    ValueError
        If it is not fitted, or a step does what no matrix can, such as a MinMaxScaler that clips.

    Notes
    -----
    Weights are taken over bit by bit, but for those of the first layer where a pipeline is folded
    into it: they are multiplied out in float64 and rounded once. A feature whose mean is many
    standard deviations from 0 then loses as many digits in the first layer as its own rounding to
    the network's dtype costs; in float64 that is seldom of interest.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    estimator, preprocessing = _unwrapped(estimator)
    if type(estimator) not in (MLPClassifier, MLPRegressor):
        raise TypeError(
            "estimator must be an MLPClassifier, an MLPRegressor or a Pipeline that ends in one, "
            f"got {type(estimator).__name__}"
        )
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"the {type(estimator).__name__} is not fitted")
    weights = [np.asarray(w).T for w in estimator.coefs_]
    biases = [np.asarray(b) for b in estimator.intercepts_]
    target = as_dtype(weights[0].dtype if dtype is None else dtype)
    weights[0], biases[0] = _folded(preprocessing, weights[0], biases[0])

    hidden = _ACTIVATIONS.get(estimator.activation)
    if hidden is None:
        raise ValueError(f"the activation {estimator.activation!r} is not known")
    activations = [hidden] * (len(weights) - 1)
    if isinstance(estimator, MLPRegressor):
        if estimator.out_activation_ != "identity":
            raise ValueError(
                f"the {type(estimator).__name__} ends in {estimator.out_activation_!r} (loss "
                f"{estimator.loss!r}), which is no activation that laminet has"
            )
        layers = _layers(weights, biases, [*activations, "identity"], target)
        net = MLP(layers, outputs=Quantities())
    else:
        net = _classifier(estimator, weights, biases, activations, target)
    return net if outputs is None else net.with_outputs(outputs)


def _classifier(
    estimator: Any,
    weights: list[Array],
    biases: list[Array],
    activations: list[str],
    dtype: np.dtype[Any],
) -> MLP:
    labels = np.asarray(estimator.classes_)
    if len(labels) < 2:
        raise ValueError(
            f"the MLPClassifier knows {len(labels)} class; it takes two to choose from"
        )
    if estimator.out_activation_ == "softmax":
        layers = _layers(weights, biases, [*activations, "identity"], dtype)
        return MLP(layers, head="softmax", outputs=Classes(labels))
    if estimator.out_activation_ != "logistic":
        raise ValueError(f"the output activation {estimator.out_activation_!r} is not known")
    if estimator.n_outputs_ > 1:
        layers = _layers(weights, biases, [*activations, "sigmoid"], dtype)
        return MLP(layers, outputs=Labels(labels))
    # sigmoid(z) = exp(z) / (exp(0) + exp(z)): a softmax of the logits 0 and z.
    weights[-1] = np.concatenate([np.zeros_like(weights[-1]), weights[-1]])
    biases[-1] = np.concatenate([np.zeros_like(biases[-1]), biases[-1]])
    layers = _layers(weights, biases, [*activations, "identity"], dtype)
    return MLP(layers, head="softmax", outputs=Classes(labels))


def _layers(
    weights: list[Array], biases: list[Array], activations: list[str], dtype: np.dtype[Any]
) -> list[Dense]:
    return [
        Dense(rounded(w, dtype, "weight"), rounded(b, dtype, "bias"), Activation(name))
        for w, b, name in zip(weights, biases, activations, strict=True)
    ]


# --- Pipelines --------------------------------------------------------------------------------


def _unwrapped(estimator: Any) -> tuple[Any, list[_Affine]]:
    """Return the estimator at the end of nested pipelines, and the affine maps before it."""
    from sklearn.pipeline import Pipeline

    if type(estimator) is not Pipeline:
        return estimator, []
    *steps, (_, last) = estimator.steps
    maps = [m for name, step in steps for m in _affine_maps(name, step)]
    final, more = _unwrapped(last)
    return final, maps + more


def _affine_maps(name: str, step: Any) -> list[_Affine]:
    from sklearn.pipeline import Pipeline

    if step is None or (isinstance(step, str) and step == "passthrough"):
        return []
    if type(step) is Pipeline:
        return [m for inner, s in step.steps for m in _affine_maps(f"{name}.{inner}", s)]
    kind = type(step)
    transformer = _TRANSFORMERS.get(kind.__name__)
    if transformer is None or not kind.__module__.startswith("sklearn."):
        raise TypeError(f"step {name!r}: a {kind.__name__} cannot be folded into a layer")
    try:
        return [transformer(step)]
    except AttributeError as error:
        raise ValueError(f"step {name!r}: the {kind.__name__} is not fitted ({error})") from None
    except ValueError as error:
        raise ValueError(f"step {name!r}: the {kind.__name__} {error}") from None


def _wide(array: Any) -> Array:
    return np.asarray(array, np.float64)


def _standard(step: Any) -> _Affine:
    n = step.n_features_in_
    scale = 1 / _wide(step.scale_) if step.with_std else np.ones(n)
    mean = _wide(step.mean_) if step.with_mean else np.zeros(n)
    return scale, -mean * scale


def _min_max(step: Any) -> _Affine:
    scale, shift = _wide(step.scale_), _wide(step.min_)
    if step.clip:
        raise ValueError("clips (clip=True), which no matrix does")
    return scale, shift


def _robust(step: Any) -> _Affine:
    n = step.n_features_in_
    scale = 1 / _wide(step.scale_) if step.with_scaling else np.ones(n)
    center = _wide(step.center_) if step.with_centering else np.zeros(n)
    return scale, -center * scale


def _max_abs(step: Any) -> _Affine:
    if getattr(step, "clip", False):
        raise ValueError("clips (clip=True), which no matrix does")
    scale = 1 / _wide(step.scale_)
    return scale, np.zeros_like(scale)


def _pca(step: Any) -> _Affine:
    matrix = _wide(step.components_)
    if step.whiten:
        # As scikit-learn does, which guards against components without variance.
        deviation = np.sqrt(step.explained_variance_)
        deviation = np.maximum(deviation, np.finfo(deviation.dtype).eps)
        matrix = matrix / _wide(deviation)[:, None]
    mean = np.zeros(matrix.shape[1]) if step.mean_ is None else _wide(step.mean_)
    return matrix, -(matrix @ mean)


_TRANSFORMERS: dict[str, Callable[[Any], _Affine]] = {
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _robust,
    "PCA": _pca,
}


def _folded(maps: list[_Affine], weight: Array, bias: Array) -> tuple[Array, Array]:
    """Return weight and bias of ``W (A x + c) + b`` for all the maps, the last one first."""
    for matrix, shift in reversed(maps):
        weight, bias = _wide(weight), _wide(bias)
        if weight.shape[1] != len(shift):
            raise ValueError(
                f"a step gives {len(shift)} features, and the next one takes {weight.shape[1]}"
            )
        bias = bias + weight @ shift
        weight = weight * matrix if matrix.ndim == 1 else weight @ matrix
    return weight, bias
