"""What differs between the releases of scikit-learn that serve: 1.3 and later."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method

    def validate_data(estimator: Any, /, X: Any, y: Any = "no_validation", **how: Any) -> Any:
        """Return X, or X and y, as arrays; note or compare the features' number and names."""
        return estimator._validate_data(X, y, **how)


__all__ = ["validate_data"]
