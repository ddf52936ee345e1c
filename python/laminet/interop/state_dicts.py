"""Networks from state dicts: weights by name, of which names and shapes must tell the order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from laminet.activation import Activation, as_activation
from laminet.errors import FormatError
from laminet.head import as_head

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["network_of_state_dict", "ordered_layers"]

Array = NDArray[Any]

# Steps of the search for an order: plenty for every real model, a moment for a hostile one.
_MOST_STEPS = 20_000


class _Layer(NamedTuple):
    prefix: str
    weight: Array
    bias: Array | None


def network_of_state_dict(
    tensors: Mapping[str, Array], activations: Sequence[str | Activation], head: str | None = None
) -> MLP:
    """Return the network of a state dict.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        ``PREFIX.weight`` of shape (out, in) and ``PREFIX.bias`` of shape (out,).
    activations : sequence of str or Activation
        One for each layer.
    head : {None, "softmax", "log_softmax"}

    Raises
    ------
    FormatError
        If other tensors are there, or names and shapes do not tell the order of the layers.
    ValueError
        If there are not as many activations as layers.
    """
    from laminet.dense import Dense
    from laminet.mlp import MLP

    if isinstance(activations, (str, Activation)):
        raise TypeError("activations must be a sequence with one for each layer, not one for all")
    functions = [as_activation(a) for a in activations]
    head = as_head(head)
    layers = ordered_layers(tensors)
    if len(functions) != len(layers):
        names = ", ".join(layer.prefix or "weight" for layer in layers[:8])
        raise ValueError(
            f"activations names {len(functions)} functions, one for each layer, and there are "
            f"{len(layers)} layers: {names}{', ...' if len(layers) > 8 else ''}"
        )
    wide = any(array.dtype == np.float64 for array in tensors.values())
    dtype = np.float64 if wide else np.float32
    return MLP(
        (
            Dense(
                layer.weight.astype(dtype),
                None if layer.bias is None else layer.bias.astype(dtype),
                function,
            )
            for layer, function in zip(layers, functions, strict=True)
        ),
        head=head,
    )


def ordered_layers(tensors: Mapping[str, Array]) -> list[_Layer]:
    """Return the layers of a state dict, first to last.

    Raises
    ------
    FormatError
        As `network_of_state_dict`.
    """
    groups = _numbered(_layers(tensors))
    orders = _orders(groups)
    if not orders:
        first = [f"{layer.prefix} {layer.weight.shape}" for group in groups for layer in group]
        raise FormatError(
            "the layers do not chain in the order of the numbers in their names: "
            + ", ".join(first[:8])
            + (", ..." if len(first) > 8 else "")
        )
    if len(orders) > 1:
        one, other = (", ".join(layer.prefix for layer in order[:8]) for order in orders[:2])
        raise FormatError(f"the order of the layers is not certain: {one}; or {other}")
    return orders[0]


def _layers(tensors: Mapping[str, Array]) -> list[_Layer]:
    weights: dict[str, Array] = {}
    biases: dict[str, Array] = {}
    for name, array in tensors.items():
        prefix, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias"):
            raise FormatError(f"tensor {_short(name)} is neither a weight nor a bias of a layer")
        (weights if kind == "weight" else biases)[prefix] = array
    layers = []
    for prefix, weight in weights.items():
        if weight.ndim != 2 or 0 in weight.shape:
            name = _short(f"{prefix}.weight")
            raise FormatError(f"tensor {name} has shape {weight.shape}, not (outputs, inputs)")
        bias = biases.pop(prefix, None)
        if bias is not None and bias.shape != weight.shape[:1]:
            name = _short(f"{prefix}.bias")
            raise FormatError(
                f"tensor {name} has shape {bias.shape}, and the weight {weight.shape[0]} outputs"
            )
        layers.append(_Layer(prefix, weight, bias))
    if biases:
        raise FormatError(f"tensor {_short(next(iter(biases)) + '.bias')} has no weight beside it")
    if not layers:
        raise FormatError("there is no weight")
    return layers


def _numbered(layers: list[_Layer]) -> list[list[_Layer]]:
    """Return groups of layers whose names differ in numbers only, each in order of the numbers."""
    groups: dict[tuple[str, ...], dict[tuple[int, ...], _Layer]] = {}
    for layer in layers:
        parts = re.split(r"([0-9]+)", layer.prefix)
        if any(len(digits) > 18 for digits in parts[1::2]):
            raise FormatError(f"the number in {_short(layer.prefix)} is too long")
        numbers = tuple(map(int, parts[1::2]))
        group = groups.setdefault(tuple(parts[::2]), {})
        if numbers in group:
            other = group[numbers].prefix
            raise FormatError(f"{_short(layer.prefix)} and {_short(other)} have the same numbers")
        group[numbers] = layer
    return [[group[key] for key in sorted(group)] for group in groups.values()]


def _orders(groups: list[list[_Layer]]) -> list[list[_Layer]]:
    """Return up to two orders in which each layer takes what the one before gives."""
    if len(groups) == 1:
        order = groups[0]
        chains = all(b.weight.shape[1] == a.weight.shape[0] for a, b in pairwise(order))
        return [order] if chains else []
    total = sum(map(len, groups))
    orders: list[list[_Layer]] = []
    steps = 0
    # Depth first, without recursion: positions in the groups, and the layers so far.
    stack: list[tuple[tuple[int, ...], list[_Layer]]] = [((0,) * len(groups), [])]
    while stack and len(orders) < 2:
        steps += 1
        if steps > _MOST_STEPS:
            raise FormatError("the names leave too many orders of the layers to try them all")
        positions, so_far = stack.pop()
        if len(so_far) == total:
            orders.append(so_far)
            continue
        for g, group in enumerate(groups):
            if positions[g] == len(group):
                continue
            layer = group[positions[g]]
            if so_far and layer.weight.shape[1] != so_far[-1].weight.shape[0]:
                continue
            advanced = (*positions[:g], positions[g] + 1, *positions[g + 1 :])
            stack.append((advanced, [*so_far, layer]))
    return orders


def _short(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 60 else text[:57] + "..."
