"""Why parts of scikit-learn are no part of a network, and what to do about it."""

from __future__ import annotations

from typing import Any

__all__ = ["estimator_refused", "is_own", "name_of", "overridden", "step_refused"]

#: Where the estimators of laminet say that they are. Nobody but users imports them.
_OWN = "laminet.sklearn"

_BEFOREHAND = (
    ": do it beforehand (X = pipeline[:-1].transform(X)), and import the estimator alone "
    "(from_sklearn(pipeline[-1]))"
)
_STEPS = {
    "FunctionTransformer": "applies a function of Python",
    "Normalizer": "divides each sample by its own norm",
    "Binarizer": "compares with a threshold",
    "KBinsDiscretizer": "sorts numbers into bins",
    "PowerTransformer": "applies a power to each feature",
    "QuantileTransformer": "applies a distribution function to each feature",
    "PolynomialFeatures": "multiplies features with each other",
    "SplineTransformer": "applies splines to each feature",
    "OneHotEncoder": "encodes categories",
    "OrdinalEncoder": "encodes categories",
    "TargetEncoder": "encodes categories",
    "LabelBinarizer": "encodes categories",
    "DictVectorizer": "encodes categories",
    "SimpleImputer": "fills in missing values, and laminet has none",
    "KNNImputer": "fills in missing values, and laminet has none",
    "IterativeImputer": "fills in missing values, and laminet has none",
    "MissingIndicator": "tells missing values, and laminet has none",
}
_ONE_BY_ONE = "import those that it holds one by one, and combine their answers as it does"
_LINEAR = (
    "is a linear model, one layer without an importer: "
    "ln.MLP([ln.Dense(np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_))])"
)
_ESTIMATORS = {
    "CalibratedClassifierCV": f"maps probabilities by calibration curves: {_ONE_BY_ONE}",
    "FixedThresholdClassifier": "has a threshold of its own: import its estimator_, and compare "
    "predict_proba with the threshold",
    "TunedThresholdClassifierCV": "has a threshold of its own: import its estimator_, and compare "
    "predict_proba with the threshold",
    "OneVsRestClassifier": f"holds an estimator for each class: {_ONE_BY_ONE}",
    "OneVsOneClassifier": f"holds an estimator for each pair of classes: {_ONE_BY_ONE}",
    "OutputCodeClassifier": f"holds several estimators: {_ONE_BY_ONE}",
    "MultiOutputRegressor": f"holds an estimator for each output: {_ONE_BY_ONE} (an MLPRegressor "
    "has several outputs by itself)",
    "MultiOutputClassifier": f"holds an estimator for each output: {_ONE_BY_ONE}",
    "ClassifierChain": f"holds an estimator for each output: {_ONE_BY_ONE}",
    "RegressorChain": f"holds an estimator for each output: {_ONE_BY_ONE}",
}
_KINDS = {
    "Stacking": f"holds several estimators: {_ONE_BY_ONE}",
    "AdaBoost": f"holds several estimators: {_ONE_BY_ONE}",
    "Forest": "is made of trees",
    "Tree": "is made of trees",
    "Boosting": "is made of trees",
    "SV": "is a support vector machine",
    "Neighbors": "compares with its training data",
}


def step_refused(name: str, kind: str, why: str | None = None) -> str:
    """Return why a step of a pipeline is refused, and what to do."""
    reason = why or _STEPS.get(kind) or "is none of those that can be folded into a layer"
    text = f"step {name!r}: a {kind} cannot be folded into a layer: it {reason}"
    if "laminet has none" in reason:
        return (
            f"{text}. Where the data have none, leave the step out; else fill them in beforehand, "
            "and import the steps after it (from_sklearn(pipeline[1:]))"
        )
    return text + _BEFOREHAND


def estimator_refused(estimator: Any) -> str:
    """Return why an estimator is none that can be read, and what to do."""
    kind = type(estimator).__name__
    if isinstance(estimator, type):
        kind = f"the class {estimator.__name__}, not an object of it"
    text = (
        "estimator must be an MLPClassifier, an MLPRegressor, or a Pipeline, a search or a "
        f"TransformedTargetRegressor around one, got {kind}"
    )
    module = type(estimator).__module__
    if not module.startswith("sklearn."):
        changed = overridden(type(estimator))
        return f"{text}, which has {', '.join(changed)} of its own" if changed else text
    reason = _ESTIMATORS.get(kind)
    if reason is None and module.startswith("sklearn.linear_model"):
        reason = _LINEAR
    if reason is None:
        reason = next((why for part, why in _KINDS.items() if part in kind), None)
    return f"{text}, which {reason}" if reason else text


def overridden(kind: type) -> list[str]:
    """Return what a user's class redefines of the estimator's that may change its answers."""
    own: dict[str, Any] = {}
    for base in kind.__mro__:
        if _is_known(base):
            return sorted(name for name in own if hasattr(base, name) and not _harmless(name))
        own.update(vars(base))
    return []


def _harmless(name: str) -> bool:
    special = name.startswith(("__", "_abc_", "_sklearn_")) and name != "__getattribute__"
    return special or name.endswith("_request") or name in ("fit", "partial_fit", "score", "_fit")


def _is_known(kind: type) -> bool:
    return kind.__module__ == _OWN or kind.__module__.startswith("sklearn.")


def is_own(kind: type) -> bool:
    """Whether a class is of laminet's own estimators, or derived from one harmlessly."""
    return any(base.__module__ == _OWN for base in kind.__mro__) and not overridden(kind)


def name_of(kind: type) -> str:
    """Return the name of the estimator's class that a class is, or is derived from harmlessly."""
    for base in kind.__mro__:
        if _is_known(base):
            return "" if overridden(kind) else base.__name__
    return ""
