"""The meaning of everything in laminet: plain NumPy, float64, no blocking, no tricks for speed.

A network is a list of layers; layer ``l`` has a weight matrix ``W_l`` of shape ``(n_l, n_{l-1})``,
a bias ``b_l`` of shape ``(n_l,)`` and an activation ``s_l`` that works element by element. One
sample is a vector, a batch is a matrix with one sample in each row::

    a_0 = x            z_l = W_l a_{l-1} + b_l             a_l = s_l(z_l)        (n_l,)
    A_0 = X            Z_l = A_{l-1} W_l^T + b_l           A_l = s_l(Z_l)        (B, n_l)

By the chain rule the Jacobian of the network at ``x``, of shape ``(n_L, n_0)``, is ::

    J = D_L W_L  ...  D_2 W_2  D_1 W_1         D_l = diag(s_l'(z_l))

Layers may be others, side by side and summed: `laminet.reference.layers` says what each gives, and
what its Jacobian is. `loss` and `loss_gradient` say what each loss is, `optimizer_step` what each
optimiser does, and `training_step` puts them together.

Each function here takes a network (`laminet.MLP`) or a list of layers, whose float32 weights
become float64 without loss. Infinities and NaN go where IEEE 754 arithmetic on these formulas
takes them, without warnings: ``silu(-inf)`` is ``-inf * 0``, which is NaN. A network's head is the
last step of `forward` and the first factor of `jacobian`; a list of layers has none.

Nothing is rounded here: what a network of `precision` "bfloat16" rounds besides its weights is an
error of its computation, as is what it rounds in float32. Unless it is asked for: with
``precision="bfloat16_weights"`` the weights of dense layers are rounded by `to_bfloat16`, and with
``precision="bfloat16"`` so is, in each dense layer, what they are multiplied by. Factors that are
subnormal in float32, below ``2**-126``, are then zero, as they are to the instruction. The products
are exact, and sums and functions are float64 still. The derivative of rounding is taken to be 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array
from laminet.core.layers.dense_like import DenseLike
from laminet.core.layers.layer import Layer
from laminet.core.scalar_arguments import as_number
from laminet.reference import layers as kinds
from laminet.reference.activations import (
    activation,
    activation_derivative,
    activation_parameter_derivatives,
)
from laminet.reference.gradients import gradients, parameters, with_parameters
from laminet.reference.heads import apply_head, head_jacobian, log_softmax, softmax
from laminet.reference.least_squares import DampingState, levenberg_marquardt_step
from laminet.reference.losses import loss, loss_gradient
from laminet.reference.optimizers import OptimizerState, optimizer_step
from laminet.reference.rounding import rounding_of, to_bfloat16
from laminet.reference.training import TrainingState, TrainingStep, training_step

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.core.name_types import PrecisionName

__all__ = [
    "DampingState",
    "OptimizerState",
    "Trace",
    "TrainingState",
    "TrainingStep",
    "activation",
    "activation_derivative",
    "activation_parameter_derivatives",
    "forward",
    "forward_components",
    "gradients",
    "jacobian",
    "layer_jacobians",
    "levenberg_marquardt_step",
    "log_softmax",
    "loss",
    "loss_gradient",
    "numerical_jacobian",
    "optimizer_step",
    "parameters",
    "softmax",
    "to_bfloat16",
    "trace",
    "training_step",
    "with_parameters",
]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


class Trace(NamedTuple):
    """Every intermediate result of one forward pass, as float64 arrays.

    Attributes
    ----------
    pre_activations : list of ndarray
        ``[Z_1, ..., Z_L]`` of the dense layers, of layers within layers each before those that
        follow it.
    activations : list of ndarray
        ``[A_0, ..., A_L]``: the input, and what each layer gives.
    output : ndarray
        ``A_L``, or the network's head of it.
    """

    pre_activations: list[Array]
    activations: list[Array]
    output: Array


# --- Forward ----------------------------------------------------------------------------------


def forward(
    net: MLP | Sequence[Layer | DenseLike],
    x: ArrayLike,
    *,
    precision: PrecisionName | None = None,
) -> Array:
    """Return the outputs of a network, in matrix form: ``Z = A W^T + b``.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        One sample, or one in each row.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        What is rounded, as above: by default, and with the first two, nothing. That of a network is
        ``precision=net.precision``.

    Returns
    -------
    ndarray of shape (out_features,) or (batch, out_features), float64
        The outputs.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or there is no such precision.
    TypeError
        If `x` does not hold real numbers, or `precision` is not a str.

    Examples
    --------
    1.001 is 1 in bfloat16, and 257 is 256.

    >>> import laminet as ln
    >>> layers = [ln.Dense([[1.001]])]
    >>> for precision in ("float32", "bfloat16_weights", "bfloat16"):
    ...     ln.reference.forward(layers, [257.0], precision=precision)
    array([257.257])
    array([257.])
    array([256.])
    """
    return trace(net, x, precision=precision).output


def trace(
    net: MLP | Sequence[Layer | DenseLike],
    x: ArrayLike,
    *,
    precision: PrecisionName | None = None,
) -> Trace:
    """Return all pre-activations and activations of one forward pass.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        One sample, or one in each row.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        As `forward` takes it.

    Returns
    -------
    Trace
        ``pre_activations``, ``activations`` and ``output``; arrays of shape ``(n_l,)`` for one
        sample and ``(batch, n_l)`` for a batch, float64.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or there is no such precision.
    TypeError
        If `x` does not hold real numbers, or `precision` is not a str.
    """
    a, rounding = _input(net, x), rounding_of(precision)
    pre_activations: list[Array] = []
    activations = [a]
    for layer in _layers(net):
        a = kinds.value(layer, a, lambda _, z: pre_activations.append(z), rounding)
        activations.append(a)
    return Trace(pre_activations, activations, apply_head(_head(net), a))


def forward_components(
    net: MLP | Sequence[Layer | DenseLike],
    x: ArrayLike,
    *,
    precision: PrecisionName | None = None,
) -> Array:
    """Return the outputs of a network, sum by sum: ``z_i = sum_j W_ij a_j + b_i``.

    It says what the matrix form means, component by component, and is as slow as it looks.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        One sample, or one in each row.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        As `forward` takes it.

    Returns
    -------
    ndarray of shape (out_features,) or (batch, out_features), float64
        The outputs.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or there is no such precision.
    TypeError
        If `x` does not hold real numbers, or `precision` is not a str.
    """
    layers, rounding = _layers(net), rounding_of(precision)
    samples = _input(net, x)
    if samples.ndim == 2:
        rows = [forward_components(net, sample, precision=precision) for sample in samples]
        return np.array(rows, dtype=np.float64).reshape(len(rows), _out_features(net, samples))
    a = kinds.series_of_components(layers, [float(value) for value in samples], rounding)
    return apply_head(_head(net), np.array(a, dtype=np.float64))


# --- Jacobians --------------------------------------------------------------------------------


def jacobian(
    net: MLP | Sequence[Layer | DenseLike],
    x: ArrayLike,
    *,
    precision: PrecisionName | None = None,
) -> Array:
    """Return the Jacobian of a network: of a chain the product ``J = D_L W_L ... D_1 W_1``.

    Side by side Jacobians are stacked, and of a sum they are added.

    A head is one more factor on the left: ``diag(p) - p p^T`` for softmax, where ``p`` are the
    probabilities, ``I - 1 p^T`` for log-softmax. The product is made from the left or from the
    right, whichever takes fewer operations: where a factor is infinite, the order decides which
    elements are NaN.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        Where to take it: one point, or one in each row.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        As `forward` takes it.

    Returns
    -------
    ndarray of shape (out_features, in_features) or (batch, out_features, in_features), float64
        ``J[i, j]`` is the derivative of output ``i`` with respect to input ``j``.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or there is no such precision.
    TypeError
        If `x` does not hold real numbers, or `precision` is not a str.
    """
    layers, rounding = _layers(net), rounding_of(precision)
    activations = trace(net, x, precision=precision).activations
    pairs = zip(layers, activations[:-1], strict=True)
    factors = [kinds.jacobian(layer, a, rounding) for layer, a in pairs]
    shapes = [factor.shape[-2:] for factor in factors]
    if (head := _head(net)) is not None:
        factors.append(head_jacobian(head, activations[-1]))
    with np.errstate(all="ignore"):
        if _fewer_from_the_left(shapes):
            return reduce(lambda product, factor: product @ factor, reversed(factors))
        return reduce(lambda product, factor: factor @ product, factors)


def _fewer_from_the_left(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a product of such matrices, first to last layer, is cheaper from the last one on."""
    products = [n_out * n_in for n_out, n_in in shapes]
    return shapes[-1][0] * sum(products[:-1]) <= shapes[0][1] * sum(products[1:])


def layer_jacobians(
    net: MLP | Sequence[Layer | DenseLike],
    x: ArrayLike,
    *,
    precision: PrecisionName | None = None,
) -> list[Array]:
    """Return ``J_l = D_l W_l`` for each dense layer: of a chain, the factors of the Jacobian.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        Where to take them: one point, or one in each row.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        As `forward` takes it.

    Returns
    -------
    list of ndarray of shape (n_l, n_{l-1}) or (batch, n_l, n_{l-1}), float64
        Row ``i`` of ``J_l`` is row ``i`` of ``W_l`` times ``s_l'(z_i)``: the product with the
        diagonal matrix, without the sums over its zeros.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or there is no such precision.
    TypeError
        If `x` does not hold real numbers, or `precision` is not a str.
    """
    factors: list[Array] = []
    a, rounding = _input(net, x), rounding_of(precision)

    def seen(layer: DenseLike, z: Array) -> None:
        factors.append(kinds.dense_jacobian(layer, z, rounding))

    for layer in _layers(net):
        a = kinds.value(layer, a, seen, rounding)
    return factors


def numerical_jacobian(
    net: MLP | Sequence[Layer | DenseLike], x: ArrayLike, step: float | None = None
) -> Array:
    """Return the Jacobian by central differences, ``(f(x + h e_j) - f(x - h e_j)) / 2h``.

    It knows nothing of derivatives, and so is a check of them. The error is of the order of
    ``h**2`` times the third derivative plus ``eps |f| / h``, and of the order of 1 where a kink of
    the activation lies between the two points.

    Parameters
    ----------
    net : MLP or sequence of layers
        The network, or its layers.
    x : array_like of shape (in_features,) or (batch, in_features)
        Where to take it: one point, or one in each row.
    step : float, optional
        The step ``h``. By default ``eps**(1/3) max(1, |x_j|)``, where the two errors balance.

    Returns
    -------
    ndarray of shape (out_features, in_features) or (batch, out_features, in_features), float64
        ``J[i, j]`` is the derivative of output ``i`` with respect to input ``j``.

    Raises
    ------
    ValueError
        If `x` has not the shape the first layer takes, or `step` is not a positive number.
    TypeError
        If `x` does not hold real numbers, or `step` is none.
    """
    check_step(step)
    points = _input(net, x)
    out_features = _out_features(net, points)
    if points.ndim == 2:
        shape = (len(points), out_features, points.shape[1])
        return np.array([numerical_jacobian(net, row, step) for row in points]).reshape(shape)

    result = np.empty((out_features, points.size))
    for j in range(points.size):
        h = step or np.finfo(np.float64).eps ** (1 / 3) * max(1.0, abs(points[j]))
        above, below = points.copy(), points.copy()
        with np.errstate(all="ignore"):
            above[j] += h
            below[j] -= h
            difference = forward(net, above) - forward(net, below)
            result[:, j] = difference / (above[j] - below[j])  # really stepped: x + h is rounded
    return result


# --- Reading the arguments --------------------------------------------------------------------


def check_step(step: float | None) -> None:
    """Raise if the step of `numerical_jacobian` is no positive number, nor None."""
    if step is None:
        return
    number = as_number(step, "step")
    if not 0 < number < math.inf:
        raise ValueError(f"step must be a positive number, not {number:g}")


def _layers(net: MLP | Sequence[Layer | DenseLike]) -> Sequence[Layer | DenseLike]:
    layers: Any = net if isinstance(net, Sequence) else getattr(net, "layers", None)
    if not isinstance(layers, Sequence) or isinstance(layers, (str, bytes)):
        raise TypeError(f"net must be an MLP or a sequence of layers, got {type(net).__name__}")
    if len(layers) == 0:
        raise ValueError("net has no layers")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer) and not kinds.is_dense(layer):
            kind = type(layer).__name__
            raise TypeError(f"layers[{i}] must be a layer, such as ln.Dense, got {kind}")
    if (features := _in_features(net, layers)) is not None:
        kinds.given(layers, features)
    return layers


def _in_features(
    net: MLP | Sequence[Layer | DenseLike], layers: Sequence[Layer | DenseLike]
) -> int | None:
    """Return how many features a network takes; None of layers that take any."""
    if not isinstance(net, Sequence):
        return net.in_features
    for layer in layers:
        if kinds.is_dense(layer):
            return int(layer.weight.shape[1])
        if not isinstance(layer, Layer):
            break
        if layer.in_features is not None or not layer._keeps_width:
            return layer.in_features
    return None


def _out_features(net: MLP | Sequence[Layer | DenseLike], samples: Array) -> int:
    return kinds.given(_layers(net), samples.shape[-1])


def _head(net: MLP | Sequence[Layer | DenseLike]) -> str | None:
    return None if isinstance(net, Sequence) else net.head


def _input(net: MLP | Sequence[Layer | DenseLike], x: ArrayLike) -> Array:
    names = getattr(net, "feature_names", None)
    # A copy: a trace keeps it, and the caller may change the original.
    array = np.array(as_real_array(x, _FLOAT64, "x", names))
    in_features = _in_features(net, _layers(net))
    if array.ndim not in (1, 2):
        raise ValueError(
            f"x has {array.ndim} axes, expected (in_features,) or (batch, in_features)"
        )
    if in_features is None:
        _out_features(net, array)  # refuses what does not fit
    elif array.shape[-1] != in_features:
        raise ValueError(f"x has {array.shape[-1]} features, the network takes {in_features}")
    return array
