"""What the inputs of a network are called: names of features, and of inputs that were joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from laminet.core.conversion.counts import as_integer, shown

__all__ = ["as_feature_names", "as_inputs", "as_names"]


def as_feature_names(names: Iterable[str] | None, in_features: int) -> tuple[str, ...] | None:
    """Return the names of a network's inputs as a tuple; refuse another number of them."""
    if names is None:
        return None
    result = as_names(names, "feature_names")
    if len(result) != in_features:
        raise ValueError(
            f"feature_names has {len(result)} names, the network takes {in_features} features"
        )
    return result


def as_inputs(
    inputs: Iterable[tuple[str, int]] | None, in_features: int
) -> tuple[tuple[str, int], ...] | None:
    """Return the names and widths of inputs that were joined; refuse another sum of widths."""
    if inputs is None:
        return None
    if isinstance(inputs, (str, Mapping, Set)) or not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs must be a sequence of names with widths, got {type(inputs).__name__}"
        )
    pairs = []
    for i, entry in enumerate(inputs):
        if not isinstance(entry, (tuple, list)) or len(entry) != 2:
            raise TypeError(f"inputs[{i}] must be a name and a width, got {shown(entry)}")
        name, width = entry
        pairs.append((name, as_integer(width, f"the width of inputs[{i}]")))
    as_names([name for name, _ in pairs], "names of inputs")
    widths = [width for _, width in pairs]
    if min(widths, default=0) < 1 or sum(widths) != in_features:
        raise ValueError(
            f"inputs have the widths [{', '.join(map(shown, widths))}], and the network takes "
            f"{in_features} features"
        )
    return tuple(pairs)


def as_names(values: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return names as a tuple; refuse what is no str, empty, or there twice."""
    # Of a set the order would be any.
    if isinstance(values, (str, bytes, Mapping, Set)) or not isinstance(values, Iterable):
        raise TypeError(f"{argument} must be a sequence of str, got a {type(values).__name__}")
    names = tuple(values)
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"{argument}[{i}] must be a str, got {type(name).__name__}")
        if not name:
            raise ValueError(f"{argument}[{i}] is empty")
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"{argument} must all be different, and {twice!r} comes twice")
    return tuple(str(name) for name in names)  # numpy.str_ would be kept as such in files
