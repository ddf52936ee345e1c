"""scikit-learn: `from_sklearn`. scikit-learn is imported when it is called."""

from __future__ import annotations

from laminet.interop.sklearn.estimators import from_sklearn

__all__ = ["from_sklearn"]
