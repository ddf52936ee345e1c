"""PyTorch: `from_torch` and `to_torch`. PyTorch is imported when one of them is called."""

from __future__ import annotations

from laminet.interop.pytorch.reader import from_torch
from laminet.interop.pytorch.writer import to_torch

__all__ = ["from_torch", "to_torch"]
