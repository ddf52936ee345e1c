"""Activation functions by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from laminet import _core
from laminet.core.naming import named_in
from laminet.core.suggestions import did_you_mean, plain_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laminet.core.names import ActivationName

#: Name of each activation function and the defaults of its parameters.
ACTIVATIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {name: MappingProxyType(defaults) for name, defaults in _core.activations().items()}
)

# What others call the same function; and None for functions of similar names that are others.
_MEANINGS = {
    "swish": "silu",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "linear": "identity",
    "none": "identity",
    "id": "identity",
    "lrelu": "leaky_relu",
    "gelunew": "gelu_tanh",
    "gelufast": "gelu_tanh",
    "gelupytorchtanh": "gelu_tanh",
    "geluapproximate": "gelu_tanh",
    "hardsilu": "hard_swish",
    "rectifier": "relu",
    "tangenthyperbolic": "tanh",
    **dict.fromkeys(
        [
            *("celu", "crelu", "prelu", "rrelu", "thresholdedrelu", "glu", "geglu", "swiglu"),
            *("quickgelu", "hardtanh", "logsigmoid", "tanhshrink", "softshrink", "hardshrink"),
            *("softmin", "squareplus", "sparseplus"),
        ]
    ),
}


@named_in("laminet")
@dataclass(frozen=True)
class Activation:
    """An activation function with its parameters; a name alone will do wherever one is asked for.

    Parameters
    ----------
    name : str
        ``identity``, ``relu``, ``relu6``, ``leaky_relu``, ``elu``, ``selu``, ``gelu``,
        ``gelu_tanh``, ``silu``, ``mish``, ``tanh``, ``sigmoid``, ``softplus``, ``softsign``,
        ``hard_sigmoid``, ``hard_swish``, ``sin`` or ``gated``, which is
        ``(beta + (1 - beta) sigmoid(alpha z)) z``: that of CosmoPower's emulators. The formulas:
        `laminet.reference.activation`.
    alpha : float, optional
        Slope of ``leaky_relu`` for negative inputs (0.01), scale of ``elu`` for them (1), slope of
        ``hard_sigmoid`` (1/6), steepness of the gate of ``gated`` (1).
    beta : float, optional
        ``hard_sigmoid`` at 0 (1/2); what the gate of ``gated`` lets through where it is shut (0).

    Raises
    ------
    ValueError
        If the name is unknown, the function has no such parameter, or it is not finite.
    TypeError
        If the name is not a str, or a parameter not a real number; bool is none.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.Activation("leaky_relu", alpha=0.2)
    Activation('leaky_relu', alpha=0.2)
    """

    name: ActivationName
    alpha: float | None = None
    beta: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"activation must be a str, got {type(self.name).__name__}")
        if self.name not in ACTIVATIONS:
            raise ValueError(f"unknown activation {self.name!r}, {_expected(self.name)}")
        defaults = ACTIVATIONS[self.name]
        for parameter in ("alpha", "beta"):
            value = getattr(self, parameter)
            if parameter not in defaults:
                if value is not None:
                    raise ValueError(f"activation {self.name!r} has no parameter {parameter}")
                continue
            if value is None:
                value = defaults[parameter]
            # Python counts bool among the numbers; True for a slope is a mistake.
            if isinstance(value, bool) or not isinstance(value, Real):
                kind = type(value).__name__
                raise TypeError(f"{parameter} must be a real number, got {kind}")
            try:
                number = float(value)
            except OverflowError:
                raise ValueError(
                    f"{parameter} must be finite, and is too large for a float"
                ) from None
            if not math.isfinite(number):
                raise ValueError(f"{parameter} must be finite, got {number}")
            object.__setattr__(self, parameter, number)

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters that this function has, with their values."""
        return {name: getattr(self, name) for name in ACTIVATIONS[self.name]}

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({self.name!r}{arguments})"

    def __str__(self) -> str:
        """Return the name, and the parameters that differ from their defaults."""
        defaults = ACTIVATIONS[self.name]
        changed = [f"{k}={v:g}" for k, v in self.parameters.items() if v != defaults[k]]
        return f"{self.name}({', '.join(changed)})" if changed else self.name


def _expected(name: str) -> str:
    """Return what to write in place of a name that is unknown."""
    names = f"one of {', '.join(ACTIVATIONS)}"
    head = {"softmax": "softmax", "logsoftmax": "log_softmax"}.get(plain_key(name))
    if head is not None:
        return f"which is a head: head={head!r}; expected {names}"
    hint = did_you_mean(name, ACTIVATIONS, _MEANINGS)
    return f"{hint} Expected {names}" if hint else f"expected {names}"


def as_activation(value: str | Activation) -> Activation:
    """Return `value`, or the activation of that name."""
    return value if isinstance(value, Activation) else activation_named(value)


def activation_named(name: str, **parameters: float | None) -> Activation:
    """Return the activation of a name that is known only now: from a file, or another program."""
    return Activation(cast("ActivationName", name), **parameters)
