"""Small ONNX models for the tests, and ONNX Runtime's answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)

TYPES = {
    np.dtype("float32"): TensorProto.FLOAT,
    np.dtype("float64"): TensorProto.DOUBLE,
    np.dtype("float16"): TensorProto.FLOAT16,
    np.dtype("int64"): TensorProto.INT64,
}


def node(operator: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> Any:
    names = [name.strip() for name in inputs.split(",")]
    outputs = [name.strip() for name in output.split(",")]
    return helper.make_node(operator, names, outputs, domain=domain, **attributes)


def model(nodes, constants, shape, outputs="y", *, opset=17, dtype="float32") -> onnx.ModelProto:
    """A model of one input x of that shape."""
    kind = TYPES[np.dtype(dtype)]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs.split(",")],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8 if opset < 21 else 10)


def answer(source: onnx.ModelProto | bytes | str, x: np.ndarray, index: int = 0) -> np.ndarray:
    """Return an output of ONNX Runtime."""
    if isinstance(source, onnx.ModelProto):
        source = source.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[index]
