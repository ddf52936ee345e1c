"""What the inputs of a network are called: names of features, and of inputs that were joined."""

from __future__ import annotations

from collections.abc import Iterable

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
    pairs = tuple((name, int(width)) for name, width in inputs)
    as_names([name for name, _ in pairs], "names of inputs")
    widths = [width for _, width in pairs]
    if min(widths, default=0) < 1 or sum(widths) != in_features:
        raise ValueError(
            f"inputs have the widths {widths}, and the network takes {in_features} features"
        )
    return pairs


def as_names(values: Iterable[str], argument: str) -> tuple[str, ...]:
    """Return names as a tuple; refuse what is no str, empty, or there twice."""
    if isinstance(values, str):
        raise TypeError(f"{argument} must be a sequence of str, got a str")
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
