"""The order of layers: numbers in their names tell it, and shapes where names differ otherwise."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from laminet.core.errors import FormatError
from laminet.files.checkpoint import quoted
from laminet.interop.state_dicts.modules import Module

__all__ = ["Placed", "numbers_of", "ordered", "pattern_of", "placed"]

# Steps of the search for an order: plenty for every real model, a moment for a hostile one.
_MOST_STEPS = 20_000
_MOST_NAMES = 100
_MOST_NORMS = 300


def pattern_of(prefix: str) -> tuple[str, ...]:
    """Return a name without its numbers."""
    return tuple(re.split(r"[0-9]+", prefix))


def numbers_of(prefix: str) -> tuple[int, ...]:
    """Return the numbers in a name.

    Raises
    ------
    FormatError
        If one has so many digits that no model needs it.
    """
    digits = re.findall(r"[0-9]+", prefix)
    if any(len(d) > 18 for d in digits):
        raise FormatError(f"the number in {quoted(prefix)} is too long")
    return tuple(map(int, digits))


def ordered(layers: list[Module]) -> list[Module]:
    """Return layers, first to last.

    Raises
    ------
    FormatError
        If no order, or more than one, agrees with numbers and shapes.
    """
    groups = _numbered(layers)
    orders = _orders(groups)
    if not orders:
        shapes = [f"{m.prefix} {m.tensors['weight'].shape}" for group in groups for m in group]
        raise FormatError(
            "the layers do not chain in the order of the numbers in their names: "
            + ", ".join(shapes[:8])
            + (", ..." if len(shapes) > 8 else "")
        )
    if len(orders) > 1:
        one, other = (", ".join(m.prefix for m in order[:8]) for order in orders[:2])
        raise FormatError(f"the order of the layers is not certain: {one}; or {other}")
    return orders[0]


def _numbered(layers: list[Module]) -> list[list[Module]]:
    """Return groups of layers whose names differ in numbers only, each in order of the numbers."""
    groups: dict[tuple[str, ...], dict[tuple[int, ...], Module]] = {}
    for layer in layers:
        numbers = numbers_of(layer.prefix)
        group = groups.setdefault(pattern_of(layer.prefix), {})
        if numbers in group:
            other = quoted(group[numbers].prefix)
            raise FormatError(f"{quoted(layer.prefix)} and {other} have the same numbers")
        group[numbers] = layer
    return [[group[key] for key in sorted(group)] for group in groups.values()]


def _orders(groups: list[list[Module]]) -> list[list[Module]]:
    """Return up to two orders in which each layer takes what the one before gives."""
    if len(groups) == 1:
        order = groups[0]
        _refuse_gap(order)
        return [order] if all(b.inputs == a.width for a, b in pairwise(order)) else []
    if len(groups) > _MOST_NAMES:
        raise FormatError("the names leave too many orders of the layers to try them all")
    total = sum(map(len, groups))
    orders: list[list[Module]] = []
    steps = 0
    # Depth first, without recursion: positions in the groups, and the layers so far.
    stack: list[tuple[tuple[int, ...], list[Module]]] = [((0,) * len(groups), [])]
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
            if so_far and layer.inputs != so_far[-1].width:
                continue
            advanced = (*positions[:g], positions[g] + 1, *positions[g + 1 :])
            stack.append((advanced, [*so_far, layer]))
    return orders


def _refuse_gap(layers: list[Module]) -> None:
    """Refuse names as l1, l2, l4, l5, the twin networks of some programs: not certainly one.

    The numbers of a Sequential (0, 2, 5) leave out what has no weights, and so may names that count
    every module in equal steps (fc0, fc2, fc4).
    """
    last = [layer.prefix.rpartition(".")[2] for layer in layers]
    numbers = [numbers_of(name) for name in last]
    if any(name.isdigit() or len(found) != 1 for name, found in zip(last, numbers, strict=True)):
        return
    steps = {b[0] - a[0] for a, b in pairwise(numbers)}
    if len(steps) > 1 and len({layer.prefix.rpartition(".")[0] for layer in layers}) == 1:
        names = ", ".join(layer.prefix for layer in layers[:8])
        raise FormatError(f"a number is missing among {names}: these may be two networks")


class Placed(NamedTuple):
    """Where a batch normalisation stands.

    Attributes
    ----------
    layer : int
        The layer that it follows, -1 for the network's input.
    after : bool or None
        Whether it follows the layer's activation; None if the names leave that open.
    """

    layer: int
    after: bool | None
    norm: Module


def placed(norms: list[Module], layers: list[Module]) -> list[Placed]:
    """Return where the batch normalisations stand among layers, in order.

    In a sequence of numbered modules the number after a layer's is before its activation, and a
    normalisation whose number is followed by the next layer's is after that of the layer before.
    Under names of its own (``fc1``, ``bn1``) a normalisation follows the layer of its number, on
    which side of the activation is open.

    Raises
    ------
    FormatError
        If the names do not tell which layer one follows.
    """
    if len(norms) > _MOST_NORMS:
        raise FormatError(f"has {len(norms)} batch normalisations, more than {_MOST_NORMS}")
    by_place = [_place(norm, norms, layers) for norm in _sorted(norms)]
    for place in by_place:
        width = layers[0].inputs if place.layer < 0 else layers[place.layer].width
        if place.norm.width != width:
            raise FormatError(
                f"{quoted(place.norm.prefix)} normalises {place.norm.width} features where the "
                f"layer before it has {width}"
            )
    return by_place


def _sorted(norms: list[Module]) -> list[Module]:
    return sorted(norms, key=lambda norm: numbers_of(norm.prefix))


def _place(norm: Module, norms: list[Module], layers: list[Module]) -> Placed:
    pattern = pattern_of(norm.prefix)
    sequence = [m for m in layers if pattern_of(m.prefix) == pattern]
    if sequence and numbers_of(norm.prefix):
        return _in_sequence(norm, norms, sequence, layers)
    numbers = numbers_of(norm.prefix)
    same = [i for i, m in enumerate(layers) if numbers and numbers_of(m.prefix) == numbers]
    fitting = [i for i in same if layers[i].width == norm.width]
    if len(fitting) != 1:
        fitting = [i for i, m in enumerate(layers) if m.width == norm.width]
        if layers[0].inputs == norm.width:
            fitting.append(-1)
    if len(fitting) != 1:
        raise FormatError(
            f"the name of the batch normalisation {quoted(norm.prefix)} does not tell which layer "
            "it follows: load the module in PyTorch, then ln.from_torch(module.eval())"
        )
    return Placed(fitting[0], True if fitting[0] < 0 else None, norm)


def _in_sequence(
    norm: Module, norms: list[Module], sequence: list[Module], layers: list[Module]
) -> Placed:
    """Place one by the numbers of a sequence: a gap in them holds what has no weights."""
    pattern = pattern_of(norm.prefix)
    items = {
        numbers_of(m.prefix): m
        for m in (*sequence, *(n for n in norms if pattern_of(n.prefix) == pattern))
    }
    here = numbers_of(norm.prefix)
    before = [n for n in sorted(items) if n < here]
    last = next((n for n in reversed(before) if items[n].kind == "linear"), None)
    steps = [n for n in before if last is None or n >= last] + [here]
    unbroken_before = all(_follows(a, b) for a, b in pairwise(steps))
    at = here
    while (following := (*at[:-1], at[-1] + 1)) in items and items[following].kind != "linear":
        at = following
    unbroken_after = following in items
    if last is None:
        if not unbroken_after:
            raise FormatError(
                f"there may be a function between the batch normalisation {quoted(norm.prefix)} "
                "and the first layer: load the module in PyTorch, then ln.from_torch(module.eval())"
            )
        return Placed(layers.index(items[following]) - 1, True, norm)
    after = False if unbroken_before else True if unbroken_after else None
    return Placed(layers.index(items[last]), after, norm)


def _follows(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[:-1] == b[:-1] and b[-1] == a[-1] + 1
