"""Which function writes a layer, by its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from laminet.core.layers.layer import entry_of

if TYPE_CHECKING:
    from laminet.core.layers.layer import Layer

__all__ = ["of_kind"]

Writer = TypeVar("Writer")


def of_kind(writers: Mapping[type, Writer], layer: Layer, function: str) -> Writer:
    """Return the entry of a layer's class, or of the nearest above it.

    Raises
    ------
    ValueError
        If there is none; the message says that `function` does not know the layer.
    """
    try:
        return entry_of(writers, layer)
    except KeyError:
        raise ValueError(f"{function} does not know the layer {type(layer).__name__}") from None
