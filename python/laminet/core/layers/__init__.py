"""The kinds of layers, one file each."""

from __future__ import annotations

from laminet.core.layers.dense import Dense, linear

__all__ = ["Dense", "linear"]
