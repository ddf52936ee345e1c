"""What ONNX calls the activations of laminet: the operators that are one by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["NAMES", "OPERATOR_OF", "PLAIN"]

#: By the operator's name, those without attributes.
PLAIN: dict[str, ActivationName] = {
    "Relu": "relu",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sin": "sin",
    "HardSwish": "hard_swish",
}
#: And those whose attributes are parameters of the activation.
NAMES: dict[str, ActivationName] = {
    **PLAIN,
    "LeakyRelu": "leaky_relu",
    "Elu": "elu",
    "Selu": "selu",
    "HardSigmoid": "hard_sigmoid",
}
OPERATOR_OF: dict[str, str] = {ours: theirs for theirs, ours in NAMES.items()}
