"""Dense layers: their description, and one of them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import _core
from laminet.core.activation import Activation, as_activation
from laminet.core.bfloat16 import pickled_by_halves
from laminet.core.conversion import as_real_array, real_array
from laminet.core.floating_point import rounded
from laminet.core.hooks import hooks
from laminet.core.layers.arrays import common_dtype, read_only, same
from laminet.core.layers.layer import Layer, require_features
from laminet.core.public_module import named_in
from laminet.core.runtime import check_environment
from laminet.core.table_data import TableData

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.name_types import ActivationName

    Array = NDArray[Any]


@named_in("laminet")
class Dense(Layer):
    """One dense layer: ``a = s(W x + b)``.

    Parameters
    ----------
    weight : array_like of shape (out_features, in_features)
        As in ``torch.nn.Linear``.
    bias : array_like of shape (out_features,), optional
    activation : str or Activation, default "identity"
        Parameters of it that are arrays have a number for each output.

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
    _fields = ("weight", "bias", "activation")
    _keeps_width = False

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
        dtype = common_dtype(w) if b is None else common_dtype(w, b)
        self._weight = read_only(as_real_array(w, dtype, "weight"))
        self._bias = None if b is None else read_only(as_real_array(b, dtype, "bias"))
        self._activation = _of_units(activation, w.shape[0])

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

    def _gives(self, features: int, place: str, giver: str) -> int:
        require_features(self.in_features, features, place, giver)
        return self.out_features

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return self.weight, self.bias, self.activation

    def _brief(self) -> str:
        return f"{self.out_features} {self.activation}"

    def _ending(self, before: str) -> str:
        return self.activation.name

    def _without_ending(self) -> Dense:
        return self._again(activation="identity")

    def _rounded(self, dtype: np.dtype[Any]) -> Dense:
        bias = None if self.bias is None else rounded(self.bias, dtype, "bias")
        return self._again(weight=rounded(self.weight, dtype, "weight"), bias=bias)

    def _by_halves(self) -> Dense:
        """Return the layer, of weights that bfloat16 has, with a pickle of half as many bytes."""
        again = self._again()
        again._weight = pickled_by_halves(self._weight)
        return again

    def _num_parameters(self) -> int:
        own = int(self.weight.size) + (0 if self.bias is None else int(self.bias.size))
        return own + self.activation._num_parameters()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dense):
            return NotImplemented
        return (
            type(self) is type(other)
            and self.activation == other.activation
            and same(self.weight, other.weight)
            and same(self.bias, other.bias)
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_features} -> {self.out_features}, {self.activation}, "
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
        If a shape is wrong, or the activation has parameters for each unit.
    TypeError
        If an array does not hold real numbers.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.linear([[3.0, 1.0]], [[1.0, -1.0], [2.0, 0.0]], [0.5, 0.0], "relu")
    array([[2.5, 6. ]])
    """
    check_environment()
    w = real_array(weight, "weight")
    b = None if bias is None else real_array(bias, "bias")
    dtype = common_dtype(w) if b is None else common_dtype(w, b)
    function = as_activation(activation)
    if function.in_features is not None:
        raise ValueError(
            f"linear takes parameters of {function.name} that are numbers, got one for each unit"
        )
    compute = _core.linear_f32 if dtype == np.float32 else _core.linear_f64
    result: Array = compute(x, w, b, function, out)
    return result


def _of_units(activation: str | Activation, units: int) -> Activation:
    """Return an activation; refuse parameters for other units than these."""
    result = as_activation(activation)
    if result.in_features not in (None, units):
        raise ValueError(
            f"activation has parameters for {result.in_features} units, the layer has {units}"
        )
    return result
