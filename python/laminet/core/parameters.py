"""What training changes in a network: by name, and in the order in which the core has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from laminet.core.activation import Activation
from laminet.core.conversion import as_real_array
from laminet.core.layers.dense import Dense
from laminet.core.layers.norms import Norm
from laminet.core.layers.tree import walk

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.mlp import MLP

    Array = NDArray[Any]
    Pair = tuple[Array | None, Array | None]
    #: Weights, biases, pairs of norms (weight, bias), pairs of functions by unit (alpha, beta).
    Arrays = tuple[list[Array], list[Array | None], list[Pair], list[Pair]]

__all__ = ["Places", "by_kind", "by_name", "function_of", "parameters", "places_of"]
__all__ += ["with_parameters"]

T = TypeVar("T")


class Places(NamedTuple):
    """Where those layers of a network stand that have parameters, depth first.

    Attributes
    ----------
    dense, norms : tuple of str
        "layers[0]", "layers[2].branches[1][0]".
    units : tuple of str
        Of activations with parameters by unit: "layers[0].activation", "layers[3]".
    """

    dense: tuple[str, ...]
    norms: tuple[str, ...]
    units: tuple[str, ...]


def places_of(layers: Sequence[Layer]) -> Places:
    """Return where layers in series, and those within them, have parameters."""
    dense, norms, units = [], [], []
    for place, leaf in walk(layers):
        if isinstance(leaf, Dense):
            dense.append(place)
        elif isinstance(leaf, Norm):
            norms.append(place)
        spot, function = function_of(place, leaf)
        if function is not None and function.in_features is not None:
            units.append(spot)
    return Places(tuple(dense), tuple(norms), tuple(units))


def function_of(place: str, layer: Any) -> tuple[str, Activation | None]:
    """Return the activation that a layer has or is, and where it stands."""
    if isinstance(layer, Activation):
        return place, layer
    return f"{place}.activation", getattr(layer, "activation", None)


def parameters(net: MLP) -> dict[str, Array]:
    """Return what training may change in a network, in the order of its layers.

    Weights and biases of dense layers and norms, and parameters of activations by unit. One that is
    a number for all units is a constant, and so is a `Rescale`.

    Returns
    -------
    dict of str to ndarray
        By where each stands: "layers[0].weight", "layers[0].activation.alpha". Arrays of the layers
        themselves: not to be written to.
    """
    found: dict[str, Array] = {}
    for place, layer in walk(net.layers):
        if isinstance(layer, (Dense, Norm)):
            for name in ("weight", "bias"):
                if (value := getattr(layer, name, None)) is not None:
                    found[f"{place}.{name}"] = value
        spot, function = function_of(place, layer)
        if function is not None:
            for name, value in function.parameters.items():
                if isinstance(value, np.ndarray):
                    found[f"{spot}.{name}"] = value
    return found


def with_parameters(
    net: MLP, values: Mapping[str, ArrayLike], dtype: DTypeLike | None = None
) -> MLP:
    """Return a network of the same class with other parameters.

    Parameters
    ----------
    net : MLP
    values : mapping of str to array_like
        By names that `parameters` gives, of the same shapes. The others stay.
    dtype : {"float32", "float64"}, optional
        Of the new network, to which all are rounded; that of `net` if nothing is said.

    Raises
    ------
    ValueError
        If there is no parameter of such a name, or its shape is another.
    TypeError
        If values are not real numbers.
    """
    kind = net.dtype if dtype is None else np.dtype(dtype)
    known, given = parameters(net), {}
    for name, value in values.items():
        if name not in known:
            expected = f"parameter {name!r}, expected {', '.join(known)}" if known else "parameters"
            raise ValueError(f"the network has no {expected}")
        # A copy: layers refer to their arrays.
        given[name] = np.array(as_real_array(value, kind, name))
        if given[name].shape != known[name].shape:
            raise ValueError(
                f"{name} must have shape {known[name].shape}, got shape {given[name].shape}"
            )
    places = (place for place, _ in walk(net.layers))

    def own(place: str, layer: Layer) -> dict[str, Any]:
        return {k: given[f"{place}.{k}"] for k in layer._fields if f"{place}.{k}" in given}

    def change(layer: Layer) -> Layer:
        place = next(places)
        changed = own(place, layer)
        spot, function = function_of(place, layer)
        if function is not None and spot != place and (inside := own(spot, function)):
            changed["activation"] = function._again(**inside)
        return layer._again(**changed) if changed else layer

    result: MLP = net._like([layer._mapped(change) for layer in net.layers], dtype=kind.name)
    return result


def by_name(arrays: Arrays, places: Places) -> dict[str, Array]:
    """Return arrays as the core has them by the names of `parameters`, kind after kind."""
    weights, biases, norms, units = arrays
    dense = list(zip(weights, biases, strict=True))
    return {
        **_named(places.dense, ("weight", "bias"), dense),
        **_named(places.norms, ("weight", "bias"), norms),
        **_named(places.units, ("alpha", "beta"), units),
    }


def by_kind(values: Mapping[str, T], places: Places) -> tuple[list[Any], ...]:
    """Return arrays by name as the core has them: weights, biases, pairs of norms, and of units."""

    def pairs(spots: Iterable[str], names: tuple[str, str]) -> list[tuple[Any, Any]]:
        return [(values.get(f"{s}.{names[0]}"), values.get(f"{s}.{names[1]}")) for s in spots]

    dense = pairs(places.dense, ("weight", "bias"))
    return (
        [weight for weight, _ in dense],
        [bias for _, bias in dense],
        pairs(places.norms, ("weight", "bias")),
        pairs(places.units, ("alpha", "beta")),
    )


def _named(
    spots: Sequence[str], names: tuple[str, str], pairs: Sequence[tuple[T | None, T | None]]
) -> dict[str, T]:
    return {
        f"{spot}.{name}": value
        for spot, pair in zip(spots, pairs, strict=True)
        for name, value in zip(names, pair, strict=True)
        if value is not None
    }
