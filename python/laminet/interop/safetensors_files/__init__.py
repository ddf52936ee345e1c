"""Networks in safetensors files: `load` and `save`."""

from __future__ import annotations

from laminet.interop.safetensors_files.networks import load, save, write_layers

__all__ = ["load", "save", "write_layers"]
