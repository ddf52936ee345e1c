"""Samples brought to one scale: layer normalisation, and by the root mean square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.arrays import as_vectors
from laminet.core.layers.by_feature import ByFeature
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

__all__ = ["LayerNorm", "Norm", "RMSNorm"]


class Norm(ByFeature):
    """A norm over the features of each sample: `LayerNorm` or `RMSNorm`."""

    __slots__ = ()

    def _num_parameters(self) -> int:
        return sum(array.size for array in self._arrays())

    def _ending(self, before: str) -> str:
        return "identity"


@named_in("laminet")
class LayerNorm(Norm):
    """Layer normalisation, over the features of each sample [1]_.

    ``weight * (x - mean) / sqrt(var + eps) + bias``, with the mean and the variance (divided by
    their number) of the sample's features, as ``torch.nn.LayerNorm`` of one axis.

    Parameters
    ----------
    weight : array_like of shape (features,), optional
        1 without.
    bias : array_like of shape (features,), optional
        0 without.
    eps : float, default 1e-5
        Not below 0.

    Attributes
    ----------
    weight, bias : ndarray of shape (features,), read-only, or None
    eps : float
    in_features, out_features : int or None
        None without `weight` and `bias`: of as many features as come.
    dtype : numpy.dtype or None
        As of `Dense`, of the arrays; None where there are none.

    Raises
    ------
    ValueError
        If a shape is wrong, or `eps` is below 0 or not finite.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Arrays of the layer's dtype are referred to, not copied, as by `Dense`.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450,
       equations 3 and 4.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.LayerNorm([1.0, 1.0], [0.0, 5.0], eps=0.0)])([3.0, 7.0])
    array([-1.,  6.])
    """

    __slots__ = ("bias", "eps", "weight")
    _fields = ("weight", "bias", "eps")

    weight: Array | None
    bias: Array | None
    eps: float

    def __init__(
        self, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
    ) -> None:
        self._set(**as_vectors(weight=weight, bias=bias), eps=_as_eps(eps))

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "norm", "layer", self.weight, self.bias, self.eps

    def _brief(self) -> str:
        return "layer norm"


@named_in("laminet")
class RMSNorm(Norm):
    """Normalisation by the root mean square of each sample's features [1]_.

    ``weight * x / sqrt(mean(x**2) + eps)``, as ``torch.nn.RMSNorm`` of one axis.

    Parameters
    ----------
    weight : array_like of shape (features,), optional
        1 without.
    eps : float, default 1e-6
        Not below 0. PyTorch's default is the distance of 1 from the next number of the dtype.

    Attributes
    ----------
    weight : ndarray of shape (features,), read-only, or None
    eps : float
    in_features, out_features : int or None
        None without `weight`: of as many features as come.
    dtype : numpy.dtype or None
        As of `Dense`, of `weight`; None without it.

    Raises
    ------
    ValueError
        If a shape is wrong, or `eps` is below 0 or not finite.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    An array of the layer's dtype is referred to, not copied, as by `Dense`.

    References
    ----------
    .. [1] B. Zhang, R. Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019,
       arXiv:1910.07467, equation 4.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.RMSNorm([1.0, 5.0], eps=0.0)])([1.0, 1.0])
    array([1., 5.])
    """

    __slots__ = ("eps", "weight")
    _fields = ("weight", "eps")

    weight: Array | None
    eps: float

    def __init__(self, weight: ArrayLike | None = None, eps: float = 1e-6) -> None:
        self._set(**as_vectors(weight=weight), eps=_as_eps(eps))

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "norm", "rms", self.weight, None, self.eps

    def _brief(self) -> str:
        return "rms norm"


def _as_eps(value: float) -> float:
    eps = as_number(value, "eps")
    if not 0 <= eps < np.inf:
        raise ValueError(f"eps must be a finite number of at least 0, got {eps}")
    return eps
