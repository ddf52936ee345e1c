"""From scikit-learn's parameters and attributes to a network, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.mlp import MLP
from laminet.sklearn.constraints import HIDDEN_ACTIVATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.layer import Layer

    Array = NDArray[Any]

__all__ = ["coefficients", "dense_layers", "hidden_activations", "hidden_sizes", "initial"]
__all__ += ["is_of", "with_coefficients", "with_functions"]


def hidden_sizes(given: Any) -> list[int]:
    """Return the widths of hidden layers.

    Raises
    ------
    ValueError
        If one is none.
    """
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    for size in sizes:
        if not isinstance(size, (int, np.integer)) or size <= 0:
            raise ValueError(f"hidden_layer_sizes must be integers > 0, got {sizes}")
    return [int(size) for size in sizes]


def hidden_activations(given: Any, count: int) -> list[Activation]:
    """Return the activation of each hidden layer.

    Parameters
    ----------
    given : str, Activation, or a sequence of them
        One for all layers, or one for each.
    count : int

    Raises
    ------
    ValueError
        If a sequence is of another length, or holds a name that is none.
    """
    if isinstance(given, (str, Activation)):
        return [_activation(given)] * count
    if len(given) != count:
        raise ValueError(
            f"activation has {len(given)} entries, and there are {count} hidden layers: give one "
            "for each, or one name for all"
        )
    return [_activation(one) for one in given]


def _activation(given: Any) -> Activation:
    if isinstance(given, Activation):
        return given
    if given not in HIDDEN_ACTIVATIONS:
        known = ", ".join(sorted(HIDDEN_ACTIVATIONS))
        raise ValueError(f"activation must be one of {known}, or an ln.Activation, got {given!r}")
    return Activation("sigmoid" if given == "logistic" else given)


def initial(
    sizes: Sequence[int],
    activations: Sequence[Activation],
    dropout: float,
    random: np.random.RandomState,
    dtype: np.dtype[Any],
) -> MLP:
    """Return a network to start from: Glorot's uniform numbers, drawn as scikit-learn draws them.

    Parameters
    ----------
    sizes : sequence of int
        Of the inputs, the hidden layers and the outputs.
    activations : sequence of Activation
        Of the hidden layers.
    dropout : float
        Rate behind each hidden layer.
    random : RandomState
        Of the same state the numbers are the same as theirs.
    dtype : float32 or float64
    """
    layers: list[Layer] = []
    functions = [*activations, Activation("identity")]
    for k, function in enumerate(functions):
        inputs, outputs = sizes[k], sizes[k + 1]
        # theirs asks for the activation of the hidden layers, whichever layer it is
        around = activations[min(k, len(activations) - 1)].name if activations else "identity"
        bound = np.sqrt((2.0 if around == "sigmoid" else 6.0) / (inputs + outputs))
        weight = random.uniform(-bound, bound, (inputs, outputs)).astype(dtype)
        bias = random.uniform(-bound, bound, outputs).astype(dtype)
        layers.append(Dense(np.ascontiguousarray(weight.T), bias, function))
        if dropout and k < len(activations):
            layers.append(Dropout(dropout))
    return MLP(layers, dtype=dtype.name)


def dense_layers(net: MLP) -> list[Dense]:
    """Return the layers that have coefficients."""
    return [layer for layer in net.layers if isinstance(layer, Dense)]


def coefficients(net: MLP) -> tuple[list[Array], list[Array]]:
    """Return copies of weights, of shape (inputs, outputs) as scikit-learn has them, and biases."""
    dense = dense_layers(net)
    # Transposed views of copies: comparing them with the network (`is_of`) reads memory in order.
    weights = [np.array(layer.weight).T for layer in dense]
    return weights, [np.array(layer.bias) for layer in dense]


def is_of(coefs: Sequence[Any], intercepts: Sequence[Any], net: MLP) -> bool:
    """Return whether these are the network's coefficients still."""
    dense = dense_layers(net)
    return len(coefs) == len(intercepts) == len(dense) and all(
        np.array_equal(np.transpose(weight), layer.weight)
        and np.array_equal(bias, np.asarray(layer.bias))
        for weight, bias, layer in zip(coefs, intercepts, dense, strict=True)
    )


def with_coefficients(coefs: Sequence[Any], intercepts: Sequence[Any], net: MLP) -> MLP:
    """Return a network with these coefficients and the rest of another.

    Raises
    ------
    ValueError
        If there are not as many as it has layers, or they do not fit together.
    """
    count = len(dense_layers(net))
    if len(coefs) != count or len(intercepts) != count:
        raise ValueError(
            f"coefs_ has {len(coefs)} and intercepts_ {len(intercepts)} arrays, and the network "
            f"has {count} layers"
        )
    pairs = iter(zip(coefs, intercepts, strict=True))
    layers: list[Layer] = []
    for layer in net.layers:
        if isinstance(layer, Dense):
            weight, bias = (np.array(array, net.dtype) for array in next(pairs))
            layers.append(Dense(np.ascontiguousarray(weight.T), bias, layer.activation))
        else:
            layers.append(layer)
    return MLP(layers, dtype=net.dtype.name)


def with_functions(net: MLP, activations: Sequence[Activation | None], dropout: float) -> MLP:
    """Return a network with other activations of its hidden layers, None for what is there."""
    *hidden, last = dense_layers(net)
    layers: list[Layer] = []
    for layer, function in zip(hidden, activations, strict=True):
        changed = layer.activation if function is None else function
        layers.append(Dense(layer.weight, layer.bias, changed))
        if dropout:
            layers.append(Dropout(dropout))
    return MLP([*layers, last], dtype=net.dtype.name)
