"""The operators that a network can be made of: one function each, by domain and name."""

from __future__ import annotations

from laminet.interop.onnx.node import Operator
from laminet.interop.onnx.operators import (
    activations,
    axes,
    constants,
    elementwise,
    fused,
    layers,
    linear_models,
    normalisations,
    selections,
    tails,
)

__all__ = ["OPERATORS"]

OPERATORS: dict[tuple[str, str], Operator] = {
    **constants.OPERATORS,
    **axes.OPERATORS,
    **selections.OPERATORS,
    **elementwise.OPERATORS,
    **activations.OPERATORS,
    **layers.OPERATORS,
    **tails.OPERATORS,
    **linear_models.OPERATORS,
    **fused.OPERATORS,
    **normalisations.OPERATORS,
}
