"""Features on another scale, and within bounds."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.arrays import as_vectors
from laminet.core.layers.by_feature import ByFeature
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Value = float | NDArray[Any]

__all__ = ["Rescale"]


@named_in("laminet")
class Rescale(ByFeature):
    """Features on another scale, and within bounds: ``clip(scale * x + shift, low, high)``.

    What normalises observations (``scale = 1 / sigma``, ``shift = -mu / sigma``), and takes the
    outputs of a policy to the range of its actions.

    Parameters
    ----------
    scale : float or array_like of shape (features,), default 1
    shift : float or array_like of shape (features,), default 0
    low, high : float or array_like of shape (features,), optional
        No result is below or above them.

    Attributes
    ----------
    scale, shift : float, or ndarray of shape (features,), read-only
    low, high : float, or ndarray of shape (features,), read-only, or None
    in_features, out_features : int or None
        None where all are numbers: of as many features as come.
    dtype : numpy.dtype or None
        As of `Dense`, of the arrays; None where there are none.

    Raises
    ------
    ValueError
        If the shape of an array is wrong, a bound is NaN, or one of `low` above that of `high`.
    TypeError
        If an argument does not hold real numbers; bool is none.

    Notes
    -----
    A NaN stays one. The derivative is `scale` between the bounds and at them, as of
    ``torch.clamp``, and 0 beyond. Arrays of the layer's dtype are referred to, not copied, as by
    `Dense`.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.Rescale([0.5, 2.0], low=-1.0, high=1.0)])([1.0, 3.0])
    array([0.5, 1. ])
    """

    __slots__ = ("high", "low", "scale", "shift")
    _fields = ("scale", "shift", "low", "high")

    scale: Value
    shift: Value
    low: Value | None
    high: Value | None

    def __init__(
        self,
        scale: ArrayLike = 1.0,
        shift: ArrayLike = 0.0,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        given = {"scale": scale, "shift": shift, "low": low, "high": high}
        if scale is None or shift is None:
            raise TypeError(f"{'scale' if scale is None else 'shift'} must be a number, got None")
        numbers = {k: as_number(v, k) for k, v in given.items() if v is not None and _is_one(v)}
        arrays = as_vectors(**{k: v for k, v in given.items() if k not in numbers})
        self._set(**numbers, **arrays)
        for name in ("low", "high"):
            if getattr(self, name) is not None and np.isnan(getattr(self, name)).any():
                raise ValueError(f"{name} must be a number or infinity, got NaN")
        if self.low is not None and self.high is not None and np.any(self.low > self.high):
            raise ValueError("low must not be above high")

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "rescale", self.scale, self.shift, self.low, self.high

    def _brief(self) -> str:
        return "rescale" if self.low is None and self.high is None else "rescale, clip"

    def _ending(self, before: str) -> str:
        free = self.low is None and self.high is None and before == "identity"
        return "identity" if free else "rescale"


def _is_one(value: Any) -> bool:
    """Whether an argument is one number, and not one for each feature."""
    return isinstance(value, Real) or (isinstance(value, np.ndarray) and value.ndim == 0)
