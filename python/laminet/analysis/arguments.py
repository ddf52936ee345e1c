"""Arguments that the analyses have in common."""

from __future__ import annotations

from typing import Any

from laminet.core.mlp import MLP

__all__ = ["require_network"]


def require_network(net: Any) -> None:
    """Raise a TypeError if `net` is no network."""
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
