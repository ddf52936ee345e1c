"""ONNX: `from_onnx` and `to_onnx`. The package ``onnx`` is imported when one of them is called.

`reader` chooses the outputs, `graph` runs the nodes, each by its function in the `operators`, over
the values of `values`: constants, and tensors whose every element is a feature of a chain.
"""

from __future__ import annotations

from laminet.interop.onnx.reader import from_onnx
from laminet.interop.onnx.writer import to_onnx

__all__ = ["from_onnx", "to_onnx"]
