"""Networks to and from other programs and files: one module per format."""

from __future__ import annotations

from laminet.interop.safetensors_files import load, save

__all__ = ["load", "save"]
