"""Dense layers: their description, and one of them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import _core
from laminet.core.activation import Activation, as_activation
from laminet.core.conversion import as_real_array, real_array
from laminet.core.hooks import hooks
from laminet.core.naming import named_in
from laminet.core.runtime import check_environment
from laminet.core.table_data import TableData

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.names import ActivationName

    Array = NDArray[Any]


@named_in("laminet")
class Dense:
    """One dense layer: ``a = s(W x + b)``.

    Parameters
    ----------
    weight : array_like of shape (out_features, in_features)
        As in ``torch.nn.Linear``.
    bias : array_like of shape (out_features,), optional
    activation : str or Activation, default "identity"

    Attributes
    ----------
    weight : ndarray of shape (out_features, in_features), read-only
    bias : ndarray of shape (out_features,), read-only, or None
    activation : Activation
    in_features, out_features : int
    dtype : numpy.dtype
        float32 where that holds every value of weight and bias by NumPy's rules of promotion
        (float16, bfloat16, float32, small integers), else float64.

    Raises
    ------
    ValueError
        If a shape is wrong.
    TypeError
        If an array does not hold real numbers.

    Notes
    -----
    Arrays of the layer's dtype are referred to, not copied: what you change in them later shows in
    the layer. A network made of the layer copies them.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> ln.Dense(np.ones((2, 3), "float32"), activation="relu")
    Dense(3 -> 2, relu, bias=False, float32)
    """

    __slots__ = ("_activation", "_bias", "_weight")

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        activation: ActivationName | Activation = "identity",
    ) -> None:
        w = real_array(weight, "weight")
        if w.ndim != 2 or 0 in w.shape:
            raise ValueError(
                f"weight must have shape (out_features, in_features), none of them 0, "
                f"got shape {w.shape}"
            )
        b = None if bias is None else real_array(bias, "bias")
        if b is not None and b.shape != (w.shape[0],):
            raise ValueError(f"bias must have shape ({w.shape[0]},), got shape {b.shape}")
        dtype = _common_dtype(w) if b is None else _common_dtype(w, b)
        self._weight = _read_only(as_real_array(w, dtype, "weight"))
        self._bias = None if b is None else _read_only(as_real_array(b, dtype, "bias"))
        self._activation = as_activation(activation)

    @property
    def weight(self) -> Array:
        """The weights, shape (out_features, in_features), read-only."""
        return self._weight

    @property
    def bias(self) -> Array | None:
        """The biases, shape (out_features,), read-only; None where the layer has none."""
        return self._bias

    @property
    def activation(self) -> Activation:
        """The activation function."""
        return self._activation

    @property
    def in_features(self) -> int:
        """Length of an input sample."""
        return int(self._weight.shape[1])

    @property
    def out_features(self) -> int:
        """Length of an output sample."""
        return int(self._weight.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._weight.dtype

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dense):
            return NotImplemented
        return (
            self.activation == other.activation
            and _same(self.weight, other.weight)
            and _same(self.bias, other.bias)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Dense, (self.weight, self.bias, self.activation)

    def __repr__(self) -> str:
        return (
            f"Dense({self.in_features} -> {self.out_features}, {self.activation}, "
            f"bias={self.bias is not None}, {self.dtype})"
        )

    def _repr_html_(self) -> str:
        bias = "-" if self.bias is None else str(self.bias.shape)
        rows = [
            ("weight", "bias", "activation", "dtype"),
            (str(self.weight.shape), bias, str(self.activation), str(self.dtype)),
        ]
        return hooks.html([TableData(rows, 4, repr(self))], [])


def linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation = "identity",
    *,
    out: Array | None = None,
) -> Array:
    """Return ``s(x W^T + b)``, one dense layer whose weights are used as they are.

    Parameters
    ----------
    x : array_like of shape (in_features,) or (batch, in_features)
    weight : array_like of shape (out_features, in_features)
        Any strides. Nothing of it is kept: for weights used more than once, an `MLP` is faster.
    bias : array_like of shape (out_features,), optional
    activation : str or Activation, default "identity"
    out : ndarray, optional
        As in `MLP.forward`; it may overlap `weight` and `bias`, too.

    Returns
    -------
    ndarray of shape (out_features,) or (batch, out_features)
        float32 where that holds every value of weight and bias by NumPy's rules of promotion, else
        float64; `x` is converted to it.

    Raises
    ------
    ValueError
        If a shape is wrong.
    TypeError
        If an array does not hold real numbers.
    """
    check_environment()
    w = real_array(weight, "weight")
    b = None if bias is None else real_array(bias, "bias")
    dtype = _common_dtype(w) if b is None else _common_dtype(w, b)
    compute = _core.linear_f32 if dtype == np.float32 else _core.linear_f64
    result: Array = compute(x, w, b, as_activation(activation), out)
    return result


def _common_dtype(*arrays: Array) -> np.dtype[Any]:
    """float32 where that holds every value, by NumPy's rules of promotion, else float64."""
    common = np.result_type(np.float32, *(a.dtype for a in arrays))
    return np.dtype(np.float32 if common == np.float32 else np.float64)


def _read_only(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def _same(a: Array | None, b: Array | None) -> bool:
    """Whether two arrays have the same dtype, shape and bits (so that NaN equals itself)."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
