"""Features on another scale, and within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.floating_point import rounded
from laminet.core.layers.arrays import as_vectors, number_or_array
from laminet.core.layers.by_feature import ByFeature
from laminet.core.public_module import named_in

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

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
        If the shape of an array is wrong, a number is NaN, or one of `low` above that of `high`.
    TypeError
        If an argument does not hold real numbers; bool is none.

    Notes
    -----
    A NaN stays one. Bounds may be infinite; a `scale` or a `shift` that is goes where IEEE 754
    arithmetic takes it. The derivative is `scale` between the bounds and at them, as of
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
        read = {k: None if v is None else number_or_array(v, k) for k, v in given.items()}
        numbers = {k: v for k, v in read.items() if isinstance(v, float)}
        arrays = as_vectors(**{k: v for k, v in read.items() if not isinstance(v, float)})
        self._set(**numbers, **arrays)
        for name in self._fields:
            if getattr(self, name) is not None and np.isnan(getattr(self, name)).any():
                raise ValueError(f"{name} must be a number or infinity, got NaN")
        if self.low is not None and self.high is not None and np.any(self.low > self.high):
            raise ValueError("low must not be above high")

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "rescale", self.scale, self.shift, self.low, self.high

    def _rounded(self, dtype: np.dtype[Any]) -> Self:
        arrays = {}
        for name, value in self._arguments().items():
            if value is None:
                continue
            with np.errstate(all="ignore"):
                # A bound too large for the dtype is infinity: so is what it would cut off.
                bound = name in ("low", "high")
                array = np.asarray(value)
                number = array.astype(dtype) if bound else rounded(array, dtype, name)
            if isinstance(value, np.ndarray):
                arrays[name] = number.copy()
        return self._again(**arrays)

    def _brief(self) -> str:
        return "rescale" if self.low is None and self.high is None else "rescale, clip"

    def _ending(self, before: str) -> str:
        free = self.low is None and self.high is None and before == "identity"
        return "identity" if free else "rescale"
