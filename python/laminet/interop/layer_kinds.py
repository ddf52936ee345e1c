"""Which function writes a layer, by its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

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
    for kind in type(layer).__mro__:
        if kind in writers:
            return writers[kind]
    raise ValueError(f"{function} does not know the layer {type(layer).__name__}")
