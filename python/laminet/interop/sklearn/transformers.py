"""The transformers of scikit-learn that are affine maps, one function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.interop.sklearn.columns import column_indices
from laminet.interop.sklearn.fitted import held, held_scale
from laminet.interop.sklearn.maps import (
    Array,
    Map,
    beside,
    clipped,
    diagonal,
    full,
    in_series,
    selection,
)
from laminet.interop.sklearn.refusals import name_of, step_refused
from laminet.interop.symbolic.exact import as_wide as _wide

__all__ = ["affine_maps", "inverse_map", "keeps_columns", "own_steps"]


class _RefusedError(ValueError):
    """What a transformer does cannot be folded; the message says what that is."""


def affine_maps(name: str, step: Any) -> list[Map]:
    """Return the maps that a step is, the first one first; none for one that changes nothing.

    Raises
    ------
    TypeError
        If the step is of a kind that no matrix can do.
    ValueError
        If it is not fitted, or set to do what no matrix can do.
    """
    if _passes(step):
        return []
    steps = own_steps(step)
    if steps is not None:
        return [m for inner, s in steps for m in affine_maps(f"{name}.{inner}", s)]
    kind = type(step).__name__
    transformer = _TRANSFORMERS.get(name_of(type(step)))
    if transformer is None and _selects(step):
        transformer = _selector
    if transformer is None:
        why = None
        if name_of(type(step)) == "FunctionTransformer":
            why = f"applies a function of Python ({_name(step.func)})"
        raise TypeError(step_refused(name, kind, why))
    _require_fitted(name, step)
    try:
        return [transformer(step)]
    except _RefusedError as error:
        raise ValueError(step_refused(name, kind, str(error))) from None
    except AttributeError:
        raise ValueError(f"step {name!r}: the {kind} is not fitted") from None
    except ValueError as error:
        if str(error).startswith("step "):
            raise
        raise ValueError(f"step {name!r}: the {kind} {error}") from None


def own_steps(step: Any) -> list[tuple[str, Any]] | None:
    """Return the steps of a pipeline, None for all else."""
    from sklearn.pipeline import Pipeline

    if not isinstance(step, Pipeline) or name_of(type(step)) != "Pipeline":
        return None
    return list(step.steps)


def keeps_columns(step: Any) -> bool:
    """Whether a step gives just what it is given."""
    steps = own_steps(step)
    if steps is not None:
        return all(keeps_columns(inner) for _, inner in steps)
    return _passes(step)


def inverse_map(name: str, step: Any) -> list[Map]:
    """Return the maps that undo a transformer, the first one first.

    Raises
    ------
    TypeError, ValueError
        As for `affine_maps`.
    """
    kind = type(step).__name__
    steps = own_steps(step)
    if steps is not None:
        return [m for inner, s in reversed(steps) for m in inverse_map(f"{name}.{inner}", s)]
    if name_of(type(step)) == "FunctionTransformer":
        if step.inverse_func is None:
            return []
        raise TypeError(
            f"{name}: applies {_name(step.inverse_func)} to the predictions, and no layer of "
            "laminet does: import its regressor_, and apply the function to the answers"
        )
    if _passes(step):
        return []
    inverse = _INVERSES.get(name_of(type(step)))
    if inverse is None:
        raise TypeError(
            f"{name}: the inverse of a {kind} cannot be folded into a layer: import its "
            "regressor_, and apply transformer_.inverse_transform to the answers"
        )
    _require_fitted(name, step)
    try:
        scale, shift = inverse(step)
    except AttributeError:
        raise ValueError(f"{name}: the {kind} is not fitted") from None
    except ValueError as error:
        raise ValueError(f"{name}: the {kind} {error}") from None
    return [diagonal(scale, shift)]


def _require_fitted(name: str, step: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(step)
    except NotFittedError:
        raise ValueError(f"step {name!r}: the {type(step).__name__} is not fitted") from None


def _passes(step: Any) -> bool:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return True
    return name_of(type(step)) == "FunctionTransformer" and step.func is None


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


# --- Scalers ----------------------------------------------------------------------------------


def _standardized(scale: Array, center: Array) -> Map:
    """Return ``(x - center) / scale``."""
    inverse = 1 / scale
    return diagonal(inverse, -center * inverse)


def _standard(step: Any) -> Map:
    return _standardized(*_standard_inverse(step))


def _standard_inverse(step: Any) -> tuple[Array, Array]:
    n = int(step.n_features_in_)
    scale = held_scale(step, "scale_", n) if step.with_std else np.ones(n)
    return scale, held(step, "mean_", n) if step.with_mean else np.zeros(n)


def _min_max(step: Any) -> Map:
    n = int(step.n_features_in_)
    scaled = diagonal(held_scale(step, "scale_", n), held(step, "min_", n))
    return clipped(scaled, *map(float, step.feature_range)) if step.clip else scaled


def _min_max_inverse(step: Any) -> tuple[Array, Array]:
    n = int(step.n_features_in_)
    scale = 1 / held_scale(step, "scale_", n)
    return scale, -held(step, "min_", n) * scale


def _robust(step: Any) -> Map:
    return _standardized(*_robust_inverse(step))


def _robust_inverse(step: Any) -> tuple[Array, Array]:
    n = int(step.n_features_in_)
    scale = held_scale(step, "scale_", n) if step.with_scaling else np.ones(n)
    return scale, held(step, "center_", n) if step.with_centering else np.zeros(n)


def _max_abs(step: Any) -> Map:
    scale, zero = _max_abs_inverse(step)
    scaled = diagonal(1 / scale, zero)
    return clipped(scaled, -1.0, 1.0) if getattr(step, "clip", False) else scaled


def _max_abs_inverse(step: Any) -> tuple[Array, Array]:
    scale = held_scale(step, "scale_", int(step.n_features_in_))
    return scale, np.zeros_like(scale)


# --- Projections and choices of columns -------------------------------------------------------


def _pca(step: Any) -> Map:
    matrix = held(step, "components_", None, int(step.n_features_in_))
    if step.whiten:
        held(step, "explained_variance_", len(matrix))
        # As scikit-learn does, which guards against components without variance.
        deviation = np.sqrt(step.explained_variance_)
        deviation = np.maximum(deviation, np.finfo(deviation.dtype).eps)
        matrix = matrix / _wide(deviation)[:, None]
    mean = held(step, "mean_", matrix.shape[1])
    return full(matrix, -(matrix @ mean))


def _projection(step: Any) -> Map:
    """Return what `components_` alone do: of TruncatedSVD and random projections."""
    matrix = held(step, "components_", None, int(step.n_features_in_))
    return full(matrix, np.zeros(len(matrix)))


def _ica(step: Any) -> Map:
    matrix = held(step, "components_", None, int(step.n_features_in_))
    mean = held(step, "mean_", matrix.shape[1]) if step.whiten else np.zeros(matrix.shape[1])
    return full(matrix, -(matrix @ mean))


def _discriminant(step: Any) -> Map:
    n = int(step.n_features_in_)
    matrix = held(step, "scalings_", n, None)[:, : step._max_components].T
    mean = held(step, "xbar_", n) if step.solver == "svd" else np.zeros(n)
    return full(matrix, -(matrix @ mean))


def _selects(step: Any) -> bool:
    from sklearn.feature_selection import SelectorMixin

    return isinstance(step, SelectorMixin) and bool(name_of(type(step)))


def _selector(step: Any) -> Map:
    support = np.asarray(step.get_support())
    if not support.any():
        raise ValueError("selects no feature")
    return selection(np.flatnonzero(support), len(support))


def _polynomial(step: Any) -> Map:
    powers = np.asarray(step.powers_, np.float64)
    if (powers.sum(axis=1) > 1).any():
        raise _RefusedError("multiplies features with each other")
    return full(powers, (powers.sum(axis=1) == 0).astype(np.float64))


# --- Categories -------------------------------------------------------------------------------


def _one_hot(step: Any) -> Map:
    """Return the lines through both values of columns that have two.

    One of one category is 1, of two the other one's distance. Three values do not lie on a line.
    """
    _require_strict(step)
    drops = [None] * len(step.categories_) if step.drop_idx_ is None else step.drop_idx_
    maps = []
    for column, (categories, drop) in enumerate(zip(step.categories_, drops, strict=True)):
        values = _numbers(categories)
        if len(values) > 2:
            raise _RefusedError(
                f"encodes {len(values)} categories of column {column}, and no line goes through "
                "more than two"
            )
        kept = [i for i in range(len(values)) if i != drop]
        if len(values) == 1:
            slopes, shifts = np.zeros(1), np.ones(1)
        else:
            slopes = np.array([-1.0, 1.0]) / (values[1] - values[0])
            shifts = np.array([values[1], -values[0]]) / (values[1] - values[0])
        if kept:
            line = full(slopes[kept, None], shifts[kept])
            maps.append(in_series([selection([column], len(drops)), line]))
    return beside(maps, len(drops))


def _ordinal(step: Any) -> Map:
    """Return the lines through the values of columns where they are at equal distances."""
    _require_strict(step)
    slopes, shifts = [], []
    for column, categories in enumerate(step.categories_):
        values = _numbers(categories)
        distance = values[1] - values[0] if len(values) > 1 else 1.0
        if not (values == values[0] + distance * np.arange(len(values))).all():
            raise _RefusedError(
                f"numbers the categories of column {column}, which no line goes through"
            )
        slopes.append(1 / distance if len(values) > 1 else 0.0)
        shifts.append(-values[0] / distance if len(values) > 1 else 0.0)
    return diagonal(slopes, shifts)


def _require_strict(step: Any) -> None:
    """Refuse an encoder that has an answer for values that are no category."""
    if step.handle_unknown != "error":
        raise _RefusedError(
            f"gives unknown values a code of their own (handle_unknown={step.handle_unknown!r})"
        )
    if step.min_frequency is not None or step.max_categories is not None:
        raise _RefusedError("joins rare categories")


def _numbers(categories: Any) -> Array:
    array = np.asarray(categories)
    if array.dtype.kind == "O" and all(isinstance(v, (bool, int, float)) for v in array):
        array = array.astype(np.float64)
    if array.dtype.kind not in "biuf" or not np.isfinite(array.astype(np.float64)).all():
        raise _RefusedError("encodes text or missing values, and laminet takes numbers")
    return array.astype(np.float64)


# --- Several transformers side by side --------------------------------------------------------


def _column_transformer(step: Any) -> Map:
    inputs = int(step.n_features_in_)
    names = getattr(step, "feature_names_in_", None)
    weights = step.transformer_weights or {}
    maps = []
    for name, transformer, columns in step.transformers_:
        indices = column_indices(columns, inputs, names)
        if len(indices) == 0 or (isinstance(transformer, str) and transformer == "drop"):
            continue
        own = [selection(indices, inputs), *affine_maps(name, transformer)]
        maps.append(in_series([*own, _weighted(weights.get(name, 1.0))]))
    if not maps:
        raise ValueError("gives no feature")
    return beside(maps, inputs)


def _feature_union(step: Any) -> Map:
    weights = step.transformer_weights or {}
    maps = [
        in_series([*affine_maps(name, transformer), _weighted(weights.get(name, 1.0))])
        for name, transformer in step.transformer_list
        if not (isinstance(transformer, str) and transformer == "drop")
    ]
    if not maps:
        raise ValueError("gives no feature")
    return beside(maps, int(step.n_features_in_))


def _weighted(factor: float) -> Map:
    return lambda x: x.scaled(factor, 0.0)


_TRANSFORMERS: dict[str, Callable[[Any], Map]] = {
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _robust,
    "PCA": _pca,
    "IncrementalPCA": _pca,
    "TruncatedSVD": _projection,
    "GaussianRandomProjection": _projection,
    "SparseRandomProjection": _projection,
    "FastICA": _ica,
    "LinearDiscriminantAnalysis": _discriminant,
    "PolynomialFeatures": _polynomial,
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _feature_union,
}

_INVERSES: dict[str, Callable[[Any], tuple[Array, Array]]] = {
    "StandardScaler": _standard_inverse,
    "MinMaxScaler": _min_max_inverse,
    "MaxAbsScaler": _max_abs_inverse,
    "RobustScaler": _robust_inverse,
}
