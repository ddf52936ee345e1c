"""ONNX: `from_onnx` and `to_onnx`. The package ``onnx`` is imported when one of them is called.

`graph` and `scope` run the nodes, each by its function in the `operators`, over the values of
`values`: constants, and tensors whose every element is a feature. `choice` says which
output is the network, and `restored` what the metadata of `to_onnx` adds. `written` is the graph
that `to_onnx` writes.
"""

from __future__ import annotations

from laminet.interop.onnx.reader import from_onnx
from laminet.interop.onnx.writer import to_onnx

__all__ = ["from_onnx", "to_onnx"]
