"""For those who know chains of dense layers and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laminet.core.layers.dense import Dense

if TYPE_CHECKING:
    from laminet.core.network import Network

__all__ = ["dense_chain", "is_chain"]


def is_chain(net: Network) -> bool:
    """Whether a network is a chain of dense layers, whose activations' parameters are numbers."""
    return all(
        isinstance(layer, Dense) and layer.activation.in_features is None for layer in net.layers
    )


def dense_chain(net: Network, what: str) -> tuple[Dense, ...]:
    """Return the layers of a chain of dense layers; refuse another network on behalf of `what`.

    Raises
    ------
    ValueError
        If the network has other layers, or an activation whose parameters are one for each unit.
    """
    chain = []
    for i, layer in enumerate(net.layers):
        if not isinstance(layer, Dense):
            kind = type(layer).__name__
            raise ValueError(f"{what} does not know {kind} yet, and layers[{i}] is one")
        if layer.activation.in_features is not None:
            raise ValueError(
                f"{what} does not know parameters of an activation for each unit yet, and "
                f"layers[{i}] has them"
            )
        chain.append(layer)
    return tuple(chain)
