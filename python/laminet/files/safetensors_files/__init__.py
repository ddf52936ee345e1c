"""Networks in safetensors files: `read` and `save`."""

from __future__ import annotations

from laminet.files.safetensors_files.networks import read, save, write_layers

__all__ = ["read", "save", "write_layers"]
