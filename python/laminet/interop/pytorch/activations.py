"""What PyTorch calls the activations of laminet that have no parameters there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laminet.core.name_types import ActivationName

__all__ = ["CLASSES", "CLASS_OF", "OPERATORS"]

#: By the class's name in torch.nn.
CLASSES: dict[str, ActivationName] = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "SiLU": "silu",
    "Mish": "mish",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softsign": "softsign",
    "Hardsigmoid": "hard_sigmoid",
    "Hardswish": "hard_swish",
}
CLASS_OF: dict[str, str] = {ours: theirs for theirs, ours in CLASSES.items()}

#: By the operator's name: that of the class in small letters; for the sine there is no class.
OPERATORS: dict[str, ActivationName] = {
    **{theirs.lower(): ours for theirs, ours in CLASSES.items()},
    "sin": "sin",
}
