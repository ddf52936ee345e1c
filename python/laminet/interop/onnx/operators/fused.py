"""What ONNX Runtime's optimiser writes: a few operators of the domain com.microsoft."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.core.activation import Activation
from laminet.interop.onnx.activation_names import NAMES
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.activations import activated
from laminet.interop.onnx.operators.elementwise import add
from laminet.interop.onnx.operators.layers import gemm, product
from laminet.interop.onnx.values import Tensor

__all__ = ["OPERATORS"]

_FUSED = ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSigmoid")
_PARAMETERS = ("activation_alpha", "activation_beta", "activation_gamma")


def _fused_gemm(node: Node) -> Any:
    name = node.attribute("activation", "")
    given = [node.attribute(parameter) for parameter in _PARAMETERS]
    if name not in _FUSED:
        raise ValueError(f"has the activation {name[:40]!r}, which laminet does not have")
    activation = Activation(NAMES[name])
    takes = list(activation.parameters)
    if any(value is not None for value in given[len(takes) :]):
        raise ValueError(f"has parameters that the activation {name!r} does not have")
    if takes and None in given[: len(takes)]:
        raise ValueError(f"does not say the parameters of the activation {name!r}")
    parameters = dict(zip(takes, given, strict=False))
    return activated(gemm(node), Activation(activation.name, **parameters))


def _fused_matmul(node: Node) -> Any:
    a, b = node.value(0), node.value(1)
    alpha = node.attribute("alpha", 1.0)
    if node.attribute("transBatchA", 0) or node.attribute("transBatchB", 0):
        raise ValueError("turns the samples' axes")
    values = []
    for value, flag in ((a, "transA"), (b, "transB")):
        turned = node.attribute(flag, 0)
        if turned and isinstance(value, Tensor):
            value = value.transposed([*range(value.rank - 2), value.rank - 1, value.rank - 2])
        elif turned and isinstance(value, np.ndarray) and value.ndim > 1:
            value = np.swapaxes(value, -1, -2)
        if alpha != 1 and isinstance(value, np.ndarray):
            value = value.astype(np.float64) * alpha
        values.append(value)
    return product(*values)


def _biased(node: Node) -> Tensor:
    value, bias = node.value(0), node.value(1)
    result = value if bias is None else add(value, bias)
    if not isinstance(result, Tensor):
        raise ValueError("is not given a step of the network")
    return result.open()


def _quick_gelu(node: Node) -> Tensor:
    alpha = node.attribute("alpha", 1.702)
    return node.tensor().applied(lambda v: v.swish(alpha))


_NAMED: dict[str, Operator] = {
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "TransposeMatMul": _fused_matmul,
    "Gelu": lambda node: activated(node.tensor(), Activation("gelu")),
    "BiasGelu": lambda node: activated(_biased(node), Activation("gelu")),
    "FastGelu": lambda node: activated(_biased(node), Activation("gelu_tanh")),
    "QuickGelu": _quick_gelu,
}
OPERATORS: dict[tuple[str, str], Operator] = {
    ("com.microsoft", name): operator for name, operator in _NAMED.items()
}
