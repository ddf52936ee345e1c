"""What around an MLP of scikit-learn is refused, and what the message says to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, FastICA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, VotingClassifier, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn_estimators import ALPHA, CLASSES, FRAME, ONE, classifier, fitted, regressor

import laminet as ln


def columns_of(*parts):
    return lambda: fitted(make_pipeline(ColumnTransformer(list(parts)), classifier()))


def text_encoded():
    frame = FRAME.assign(g=np.where(CLASSES > 0, "u", "v"))
    columns = ColumnTransformer([("text", OneHotEncoder(), ["g"]), ("b", StandardScaler(), ["a"])])
    return fitted(make_pipeline(columns, classifier()), frame)


def three_encoded(encoder):
    frame = FRAME.assign(a=np.array([1.0, 2.0, 5.0])[CLASSES])
    columns = ColumnTransformer([("code", encoder, ["a"]), ("b", StandardScaler(), ["b"])])
    return lambda: fitted(make_pipeline(columns, classifier()), frame)


def steps_of(step, x=FRAME):
    return lambda: fitted(make_pipeline(step, classifier()), x)


def target_of(**options):
    return lambda: fitted(TransformedTargetRegressor(regressor(), **options), y=abs(ONE))


BEFOREHAND = ": do it beforehand (X = pipeline[:-1].transform(X)), and import the estimator alone"
REFUSED = {
    "a function": (
        steps_of(FunctionTransformer(np.tanh)),
        TypeError,
        "step 'functiontransformer': a FunctionTransformer cannot be folded into a layer: it "
        "applies a function of Python (tanh)" + BEFOREHAND,
    ),
    "a function of columns": (
        columns_of(("log", FunctionTransformer(np.tanh), ["a"]), ("b", StandardScaler(), ["b"])),
        TypeError,
        "step 'log': a FunctionTransformer",
    ),
    "products": (steps_of(PolynomialFeatures(2)), ValueError, "it multiplies features with each"),
    "powers": (steps_of(PowerTransformer()), TypeError, "a PowerTransformer cannot be folded"),
    "quantiles": (
        steps_of(QuantileTransformer(n_quantiles=10)),
        TypeError,
        "it applies a distribution function to each feature" + BEFOREHAND,
    ),
    "a threshold": (steps_of(Binarizer()), TypeError, "it compares with a threshold"),
    "missing values": (
        steps_of(SimpleImputer()),
        TypeError,
        "it fills in missing values, and laminet has none. Where the data have none, leave the "
        "step out; else",
    ),
    "another projection": (steps_of(KernelPCA(2)), TypeError, "step 'kernelpca': a KernelPCA"),
    "text": (text_encoded, ValueError, "step 'text': a OneHotEncoder cannot be folded"),
    "three categories": (
        three_encoded(OneHotEncoder()),
        ValueError,
        "it encodes 3 categories of column 0, and no line goes through more than two",
    ),
    "three categories in order": (
        three_encoded(OrdinalEncoder()),
        ValueError,
        "it numbers the categories of column 0, which no line goes through",
    ),
    "unknown categories": (
        columns_of(("code", OneHotEncoder(handle_unknown="ignore"), ["f"])),
        ValueError,
        "it gives unknown values a code of their own (handle_unknown='ignore')",
    ),
    "rare categories": (
        columns_of(("code", OneHotEncoder(min_frequency=2), ["f"])),
        ValueError,
        "it joins rare categories",
    ),
    "not refitted": (
        lambda: fitted(GridSearchCV(classifier(), ALPHA, cv=2, refit=False)),
        ValueError,
        "the GridSearchCV has no best_estimator_: it was told not to refit its best (refit=False)",
    ),
    "a search not fitted": (
        lambda: GridSearchCV(classifier(), ALPHA),
        ValueError,
        "the GridSearchCV has no best_estimator_: it is not fitted",
    ),
    "a function of the target": (
        target_of(func=np.log1p, inverse_func=np.expm1),
        TypeError,
        "the target's transformer: applies expm1 to the predictions",
    ),
    "quantiles of the target": (
        target_of(transformer=QuantileTransformer(n_quantiles=10)),
        TypeError,
        "the target's transformer: the inverse of a QuantileTransformer cannot be folded",
    ),
    "a target not fitted": (
        lambda: TransformedTargetRegressor(regressor()),
        ValueError,
        "the TransformedTargetRegressor is not fitted",
    ),
    "a linear model": (
        lambda: LogisticRegression(),
        TypeError,
        "got LogisticRegression, which is a linear model, one layer without an importer: ln.MLP(",
    ),
    "CalibratedClassifierCV": (
        lambda: CalibratedClassifierCV(classifier()),
        TypeError,
        "got CalibratedClassifierCV, which maps probabilities by calibration curves: import those",
    ),
    "OneVsRestClassifier": (
        lambda: OneVsRestClassifier(classifier()),
        TypeError,
        "got OneVsRestClassifier, which holds an estimator for each class",
    ),
    "MultiOutputRegressor": (
        lambda: MultiOutputRegressor(regressor()),
        TypeError,
        "(an MLPRegressor has several outputs by itself)",
    ),
    "a mean of probabilities": (
        lambda: VotingClassifier([("a", classifier())], voting="soft"),
        ln.FormatError,
        "the VotingClassifier takes the mean of its classifiers' probabilities, and laminet has a "
        "softmax as the last step of a network only: import each of its estimators_ by itself",
    ),
    "a count of votes": (
        lambda: VotingClassifier([("a", classifier())]),
        ln.FormatError,
        "the VotingClassifier counts the votes of its classifiers (voting='hard'), and no layer",
    ),
    "BaggingClassifier": (
        lambda: BaggingClassifier(classifier()),
        ln.FormatError,
        "the BaggingClassifier takes the mean of its classifiers' probabilities",
    ),
    "votes not fitted": (
        lambda: VotingRegressor([("a", regressor())]),
        ValueError,
        "the VotingRegressor is not fitted: call its fit() first",
    ),
    "votes of other models": (
        lambda: fitted(VotingRegressor([("a", regressor()), ("b", LinearRegression())]), y=ONE),
        TypeError,
        "got LinearRegression, which is a linear model",
    ),
    "weights without a sum": (
        lambda: fitted(VotingRegressor([("a", regressor())], weights=[0.0]), y=ONE),
        ValueError,
        "the VotingRegressor has weights whose sum is 0: no mean has such",
    ),
    "a step of a member": (
        lambda: fitted(
            VotingRegressor([("a", make_pipeline(PolynomialFeatures(2), regressor()))]), y=ONE
        ),
        ValueError,
        "step 'polynomialfeatures': a PolynomialFeatures cannot be folded into a layer",
    ),
    "a class": (lambda: MLPClassifier, TypeError, "got the class MLPClassifier, not an object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, kind, message = REFUSED[name]
    with pytest.raises(kind, match=re.escape(message)):
        ln.from_sklearn(make())


SIX = np.ones(6)
DAMAGED = {
    "too short": (StandardScaler(), "scale_", SIX[:5], "scale_ has shape (5,), not (6,)"),
    "too deep": (StandardScaler(), "mean_", SIX[:, None], "mean_ has shape (6, 1), not (6,)"),
    "NaN": (StandardScaler(), "mean_", np.append(SIX[:5], np.nan), "mean_[5] is nan"),
    "infinite": (RobustScaler(), "center_", np.append(np.inf, SIX[:5]), "center_[0] is inf"),
    "0": (MinMaxScaler(), "scale_", np.arange(6.0), "scale_[0] is 0"),
    "a 0 among others": (RobustScaler(), "scale_", 2.0 - np.arange(6), "scale_[2] is 0"),
    "text": (MinMaxScaler(), "min_", np.array(list("abcdef")), "min_ holds no real numbers"),
    "nothing": (MaxAbsScaler(), "scale_", None, "scale_ holds no real numbers"),
    "PCA": (PCA(2), "mean_", SIX[:5], "mean_ has shape (5,), not (6,)"),
    "its matrix": (PCA(2), "components_", np.ones((2, 5)), "has shape (2, 5), not (any, 6)"),
    "its whitening": (PCA(2, whiten=True), "explained_variance_", SIX, "has shape (6,), not (2,)"),
    "no component": (TruncatedSVD(2), "components_", np.ones((0, 6)), "has shape (0, 6)"),
    "FastICA": (
        FastICA(2, random_state=0),
        "components_",
        np.full((2, 6), np.nan),
        "components_[0, 0] is nan",
    ),
    "LDA": (LinearDiscriminantAnalysis(), "scalings_", SIX, "shape (6,), not (6, any)"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_transformers(name):
    step, attribute, value, message = DAMAGED[name]
    pipeline = fitted(make_pipeline(step, classifier()))
    setattr(pipeline[0], attribute, value)
    words = f"the {type(step).__name__} is damaged: its "
    with pytest.raises(ValueError, match=f"^step .*: {re.escape(words)}.*{re.escape(message)}"):
        ln.from_sklearn(pipeline)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), MaxAbsScaler()], ids=str)
def test_damaged_transformers_of_the_target(scaler):
    estimator = fitted(TransformedTargetRegressor(regressor(), transformer=scaler), y=ONE)
    estimator.transformer_.scale_ = np.ones(2)
    words = f"the target's transformer: the {type(scaler).__name__} is damaged: its scale_ has"
    with pytest.raises(ValueError, match=re.escape(f"{words} shape (2,), not (1,)")):
        ln.from_sklearn(estimator)
    del estimator.transformer_.scale_
    with pytest.raises(ValueError, match=r"^the target.s transformer: the .* is not fitted$"):
        ln.from_sklearn(estimator)
