"""Networks to and from other programs and files: one module or package for each."""

from __future__ import annotations

from laminet.files.safetensors_files import save
from laminet.interop.files import load
from laminet.interop.keras import from_keras
from laminet.interop.onnx import from_onnx, to_onnx
from laminet.interop.pytorch import from_torch, to_torch
from laminet.interop.sklearn import from_sklearn

__all__ = [
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "load",
    "save",
    "to_onnx",
    "to_torch",
]
