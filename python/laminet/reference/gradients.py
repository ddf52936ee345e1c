"""A network's parameters by name, and the gradients with respect to them, in NumPy float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.activation import Activation
from laminet.core.conversion import as_real_array
from laminet.core.layers.layer import Layer
from laminet.core.layers.norms import Norm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.residual import Residual
from laminet.core.parameters import function_of
from laminet.core.parameters import parameters as own_parameters
from laminet.core.parameters import with_parameters as with_other_parameters
from laminet.reference import layers as kinds
from laminet.reference.activations import activation_derivative, activation_parameter_derivatives
from laminet.reference.arguments import require_mapping, require_network
from laminet.reference.heads import head_jacobian
from laminet.reference.rounding import Rounding, rounding_of

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.core.name_types import PrecisionName

__all__ = ["gradients", "parameters", "with_parameters"]

Array = NDArray[np.float64]
Found = dict[str, Array]

_FLOAT64 = np.dtype(np.float64)


def parameters(net: MLP) -> dict[str, Array]:
    """Return what training may change in a network, in the order of its layers.

    Weights and biases of dense layers and norms, and parameters of activations by unit. One that is
    a number for all units is a constant, and so is a `Rescale`.

    Parameters
    ----------
    net : MLP
        The network.

    Returns
    -------
    dict of str to ndarray, float64
        By where each stands: "layers[0].weight", "layers[0].bias", "layers[0].activation.alpha".

    Examples
    --------
    >>> import laminet as ln
    >>> list(ln.reference.parameters(ln.MLP.init([2, 3, 1], seed=0)))
    ['layers[0].weight', 'layers[0].bias', 'layers[1].weight', 'layers[1].bias']
    """
    require_network(net)
    return {name: np.array(value, np.float64) for name, value in own_parameters(net).items()}


def with_parameters(net: MLP, values: Mapping[str, ArrayLike]) -> MLP:
    """Return the network in float64, with other parameters.

    Parameters
    ----------
    net : MLP
        The network.
    values : mapping of str to array_like
        By names that `parameters` gives, of the same shapes. The others stay.

    Returns
    -------
    MLP

    Raises
    ------
    ValueError
        If there is no parameter of such a name, or its shape is another.
    TypeError
        If values are not real numbers, or `net` is no MLP.
    """
    require_network(net)
    require_mapping(values, "values", "arrays by name")
    return with_other_parameters(net, values, _FLOAT64)


def gradients(
    net: MLP, x: ArrayLike, grad_output: ArrayLike, *, precision: PrecisionName | None = None
) -> dict[str, Array]:
    """Return the gradients of a loss with respect to all parameters, and to `x`, by reverse mode.

    Parameters
    ----------
    net : MLP
        The network. `Dropout` is the identity.
    x : array_like of shape (in_features,) or (batch, in_features)
        One sample, or one in each row.
    grad_output : array_like of shape (out_features,) or (batch, out_features)
        The gradient with respect to the outputs.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        As `forward` takes it; a weight's gradient is then a sum of what it was multiplied by.

    Returns
    -------
    dict of str to ndarray, float64
        By the names that `parameters` gives, summed over the batch; and "input", of the shape of
        `x`.

    Raises
    ------
    ValueError
        If a shape is wrong, or there is no such precision.
    TypeError
        If an argument does not hold real numbers, or `net` is no MLP.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP([ln.Dense([[2.0, 3.0]], [1.0])])
    >>> ln.reference.gradients(net, [[1.0, 10.0], [1.0, 20.0]], [[1.0], [1.0]])["layers[0].weight"]
    array([[ 2., 30.]])
    """
    require_network(net)
    rounding = rounding_of(precision)
    a = as_real_array(x, _FLOAT64, "x", net.feature_names)
    if a.ndim not in (1, 2) or a.shape[-1] != net.in_features:
        raise ValueError(
            f"x must have shape ({net.in_features},) or (batch, {net.in_features}), got shape "
            f"{a.shape}"
        )
    g = as_real_array(grad_output, _FLOAT64, "grad_output")
    expected = (*a.shape[:-1], net.out_features)
    if g.shape != expected:
        raise ValueError(f"grad_output must have shape {expected}, got shape {g.shape}")
    shape, a, g = a.shape, np.atleast_2d(a), np.atleast_2d(g)
    found: Found = {}
    with np.errstate(all="ignore"):
        if net.head is not None:
            logits = a
            for layer in net.layers:
                logits = kinds.value(layer, logits, rounding=rounding)
            g = _times(g, head_jacobian(net.head, logits))
        inputs = _back(net.layers, "layers", a, g, found, rounding)
    ordered = {name: found[name] for name in parameters(net)}
    return {**ordered, "input": inputs.reshape(shape)}


def _back(
    layers: Sequence[Layer], place: str, a: Array, g: Array, found: Found, rounding: Rounding
) -> Array:
    """Return the gradient with respect to the input of layers in series; note those within."""
    values = [a]
    for layer in layers:
        values.append(kinds.value(layer, values[-1], rounding=rounding))
    for i in reversed(range(len(layers))):
        g = _back_through(layers[i], f"{place}[{i}]", values[i], g, found, rounding)
    return g


def _back_through(
    layer: Layer, place: str, a: Array, g: Array, found: Found, rounding: Rounding
) -> Array:
    if isinstance(layer, Residual):
        return g + _back(layer.layers, f"{place}.layers", a, g, found, rounding)
    if isinstance(layer, Parallel):
        total, first = np.zeros_like(a), 0
        for i, branch in enumerate(layer.branches):
            part = g / (len(layer.branches) if layer.join == "mean" else 1)
            if layer.join == "concat":
                width = kinds.value(Parallel([branch]), a).shape[-1]
                part, first = g[:, first : first + width], first + width
            total = total + _back(branch, f"{place}.branches[{i}]", a, part, found, rounding)
        return total
    spot, function = function_of(place, layer)
    if kinds.is_dense(layer):
        read, weight, z = kinds.dense_parts(layer, a, rounding)
        _by_unit(layer.activation, spot, z, g, found)
        dz = g * activation_derivative(layer.activation, z)
        found.update({f"{place}.weight": dz.T @ read, f"{place}.bias": dz.sum(axis=0)})
        return dz @ weight
    if function is not None:
        _by_unit(function, spot, a, g, found)
    if isinstance(layer, Norm):
        bare = layer._again(**{k: None for k in ("weight", "bias") if k in layer._fields})
        normalized = kinds.value(bare, a)
        found[f"{place}.weight"] = (g * normalized).sum(axis=0)
        found[f"{place}.bias"] = g.sum(axis=0)
    return _times(g, kinds.jacobian(layer, a))


def _by_unit(function: Activation, place: str, z: Array, g: Array, found: Found) -> None:
    if function.in_features is not None:
        for name, part in activation_parameter_derivatives(function, z).items():
            found[f"{place}.{name}"] = (g * part).sum(axis=0)


def _times(g: Array, jacobian: Array) -> Array:
    return np.asarray(np.einsum("bi,bij->bj", g, jacobian))
