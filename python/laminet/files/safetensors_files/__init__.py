"""Networks in safetensors files: `read`, `save` and `stand_ins`."""

from __future__ import annotations

from laminet.files.safetensors_files.networks import read, save, stand_ins, write_layers

__all__ = ["read", "save", "stand_ins", "write_layers"]
