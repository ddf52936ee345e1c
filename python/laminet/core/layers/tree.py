"""Layers within layers: in series, in the branches of `Parallel`, in `Residual`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from laminet.core.conversion.counts import require_width
from laminet.core.layers.layer import Layer

__all__ = [
    "DEEPEST",
    "as_series",
    "brief",
    "depth",
    "ending",
    "for_core",
    "given",
    "taken",
    "walk",
    "without_ending",
]


#: What walks a tree calls itself for each layer within a layer.
DEEPEST = 64


def as_series(layers: Iterable[Layer], name: str) -> tuple[Layer, ...]:
    """Return layers as a tuple; refuse what is none by its place, ``name[1]``."""
    if isinstance(layers, (Layer, str, bytes, Mapping, Set)) or not isinstance(layers, Iterable):
        raise TypeError(f"{name} must be a list of layers, got {type(layers).__name__}")
    series = tuple(layers)
    for i, layer in enumerate(series):
        if isinstance(layer, str):
            raise TypeError(f"{name}[{i}] must be a layer, got a str: ln.Activation({layer!r})?")
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{name}[{i}] must be a layer, such as ln.Dense, got {type(layer).__name__}"
            )
    if depth(series) > DEEPEST:
        raise ValueError(f"{name} has layers within layers, more than {DEEPEST} deep")
    return series


def depth(layers: Iterable[Layer]) -> int:
    """Return how deep layers lie within these: 0 where each is made of no others."""
    parts = (depth(part) + 1 for layer in layers for _, part in layer._parts())
    return max(parts, default=0)


def walk(layers: Sequence[Layer], name: str = "layers") -> Iterator[tuple[str, Layer]]:
    """Yield each layer that is made of no others, depth first, after its place in the tree."""
    for i, layer in enumerate(layers):
        parts = list(layer._parts())
        if not parts:
            yield f"{name}[{i}]", layer
        for attribute, part in parts:
            yield from walk(part, f"{name}[{i}].{attribute}")


def taken(layers: Iterable[Layer]) -> int | None:
    """Return how many features layers in series take, as the first that knows says; None if none.

    What follows a layer that changes their number says nothing of it.
    """
    for layer in layers:
        if layer.in_features is not None or not layer._keeps_width:
            return layer.in_features
    return None


def given(layers: Sequence[Layer], features: int, name: str, giver: str) -> list[int]:
    """Return how many features there are after each layer in series; refuse what does not fit."""
    widths = []
    for i, layer in enumerate(layers):
        features = layer._gives(features, f"{name}[{i}]", giver)
        require_width(features, f"{name}[{i}] gives")
        widths.append(features)
        giver = f"{name}[{i}] gives"
    return widths


def for_core(layers: Iterable[Layer], features: int) -> list[tuple[Any, ...]]:
    """Return what the core is told of layers in series that take so many features."""
    result = []
    for layer in layers:
        told = layer._for_core(features)
        features = layer._gives(features, "", "")
        if told is not None:
            result.append(told)
    return result


def brief(layers: Iterable[Layer]) -> str:
    """Return what the repr of a network shows of layers in series."""
    return " -> ".join(layer._brief() for layer in layers) or "identity"


def ending(layers: Iterable[Layer], before: str = "identity") -> str:
    """Return the activation that outputs end in; words that name none where they end in several.

    "identity" is what may be any number, and so a logit.
    """
    for layer in layers:
        before = layer._ending(before)
    return before


def without_ending(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers without the activation that they end in."""
    result = list(layers)
    for i in range(len(result) - 1, -1, -1):
        rest = result[i]._without_ending()
        if rest is None:
            del result[i]
            break
        if rest is not result[i]:
            result[i] = rest
            break
    return result
