"""What the layers of a network give, one after the other.

The core runs a network as steps that do not keep to its layers: a function is part of the product
before it, a sum of the last one of a residual block. So each layer runs alone here, as a network of
its own, with the same bits on the tiled back end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import _core
from laminet.core.conversion import as_real_array
from laminet.core.layers.dense import Dense
from laminet.core.layers.layer import Layer
from laminet.core.trace import Trace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.network import Network

    Array = NDArray[Any]
    Seen = Callable[[Dense, Array], None]

__all__ = ["trace_by_layer"]


def trace_by_layer(net: Network, x: ArrayLike) -> Trace:
    """Return what `MLP.trace` does."""
    # A copy, as the trace keeps it.
    a = np.array(as_real_array(x, net.dtype, "x", net.feature_names), order="C")
    output = net(a)
    pre_activations: list[Array] = []
    activations = [a]
    with np.errstate(all="ignore"):
        for layer in net.layers:
            a = _value(layer, a, lambda _, z: pre_activations.append(z))
            activations.append(a)
    if net.head is None:
        activations[-1] = output
    return Trace(pre_activations, activations, output, net.layers, net.head)


def _series(layers: Sequence[Layer], a: Array, seen: Seen) -> Array:
    return reduce(lambda value, layer: _value(layer, value, seen), layers, a)


def _value(layer: Layer, a: Array, seen: Seen) -> Array:
    """Return a new array of what a layer gives; each dense layer's Z is `seen`."""
    if isinstance(layer, Dense):
        z = _run(Dense(layer.weight, layer.bias), a)
        seen(layer, z)
        return _run(layer.activation, z)
    for _, part in layer._parts():
        _series(part, a, seen)
    return _run(layer, a)


def _run(layer: Layer, a: Array) -> Array:
    network = _network(layer, a)
    return a.copy() if network is None else _core.NetworkCall(network)(a)


def _network(layer: Layer, a: Array) -> Any:
    """Return one layer as a network; None where it is nothing."""
    told = layer._for_core(a.shape[-1])
    make = _core.NetworkF32.make if a.dtype == np.float32 else _core.NetworkF64.make
    return None if told is None else make([told], "none", None, a.shape[-1])
