"""Layers and activations as nodes of an ONNX graph: what `laminet.to_onnx` writes."""
