"""Estimators with scikit-learn's names, parameters and attributes, trained by laminet.

Extra ``sklearn``. A script that imports its MLPs from here instead of ``sklearn.neural_network``
runs as it is:

>>> from laminet.sklearn import MLPClassifier, MLPRegressor
"""

from __future__ import annotations

try:
    import sklearn as _sklearn  # noqa: F401 - only whether it is there
except ImportError as error:
    raise ImportError(
        "laminet.sklearn needs scikit-learn 1.3 or later: pip install laminet[sklearn]"
    ) from error

from laminet.sklearn.classifier import MLPClassifier
from laminet.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
