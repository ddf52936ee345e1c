"""Arguments that functions of the reference have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

__all__ = ["require_items", "require_kind", "require_mapping", "require_network"]

Kind = TypeVar("Kind")


def require_network(net: Any) -> None:
    """Raise a TypeError if `net` is no network, as a list of layers is none."""
    # Not by its class: the reference knows no network, which computes itself.
    if isinstance(net, type) or not (hasattr(net, "layers") and hasattr(net, "_like")):
        got = f"{net.__name__} itself" if isinstance(net, type) else type(net).__name__
        raise TypeError(f"net must be an MLP, got {got}")


def require_kind(value: Any, kind: type[Kind], name: str) -> Kind:
    """Return `value` if it is of a kind; raise a TypeError if not."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be of the class {kind.__name__}, got {type(value).__name__}")
    return value


def require_mapping(value: Any, name: str, of: str) -> Mapping[Any, Any]:
    """Return `value` if it is a mapping; raise a TypeError that says of what it must be."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of {of}, got {type(value).__name__}")
    return value


def require_items(value: Any, name: str, of: str) -> Sequence[Any]:
    """Return what is in a sequence; raise a TypeError that says of what it must be."""
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return list(value)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a sequence of {of}, got {type(value).__name__}")
    return value
