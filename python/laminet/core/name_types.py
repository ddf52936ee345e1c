"""The names that the package goes by, as types: an editor completes them, a checker knows them."""

from __future__ import annotations

from typing import Literal

ActivationName = Literal[
    "identity",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_swish",
    "sin",
    "gated",
]
HeadName = Literal["softmax", "log_softmax"]
BackendName = Literal["auto", "blas", "tiled"]
InstructionSetName = Literal["generic", "avx2", "avx512", "avx512_bf16"]
PrecisionName = Literal["float32", "float64", "bfloat16_weights", "bfloat16"]
JoinName = Literal["concat", "sum", "mean"]
