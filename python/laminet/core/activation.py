"""Activation functions by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from laminet import _core
from laminet.core.conversion import as_real_array
from laminet.core.layers.arrays import number_or_array, read_only
from laminet.core.layers.layer import Layer
from laminet.core.public_module import named_in
from laminet.core.suggestions import did_you_mean, plain_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from laminet.core.name_types import ActivationName

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
@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """An activation function with its parameters; a name alone will do wherever one is asked for.

    Among the layers of a network it is one of its own, of as many features as come.

    Parameters
    ----------
    name : str
        ``identity``, ``relu``, ``relu6``, ``leaky_relu``, ``elu``, ``selu``, ``gelu``,
        ``gelu_tanh``, ``silu``, ``mish``, ``tanh``, ``sigmoid``, ``softplus``, ``softsign``,
        ``hard_sigmoid``, ``hard_swish``, ``sin`` or ``gated``, which is
        ``(beta + (1 - beta) sigmoid(alpha z)) z``: that of CosmoPower's emulators. The formulas:
        `laminet.reference.activation`.
    alpha : float or array_like of shape (units,), optional
        Slope of ``leaky_relu`` for negative inputs (0.01), scale of ``elu`` for them (1), slope of
        ``hard_sigmoid`` (1/6), steepness of the gate of ``gated`` (1). An array has one for each
        unit: ``leaky_relu`` is then PReLU.
    beta : float or array_like of shape (units,), optional
        ``hard_sigmoid`` at 0 (1/2); what the gate of ``gated`` lets through where it is shut (0).

    Attributes
    ----------
    name : str
    alpha, beta : float, or ndarray of shape (units,) and float64, read-only, or None
        None where the function has no such parameter.
    in_features : int or None
        How many units the parameters are for; None where they are numbers.

    Raises
    ------
    ValueError
        If the name is unknown, the function has no such parameter, it is not finite, or arrays are
        not of one shape (units,).
    TypeError
        If the name is not a str, or a parameter not a real number or an array of them; bool is
        none.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.Activation("leaky_relu", alpha=0.2)
    Activation('leaky_relu', alpha=0.2)
    >>> ln.MLP([ln.Activation("leaky_relu", alpha=[0.5, 0.25])])([-4.0, -4.0])
    array([-2., -1.], dtype=float32)
    """

    _fields = ("name", "alpha", "beta")

    name: ActivationName
    # What __post_init__ makes of it is a float, an array of float64 or None.
    alpha: Any = None
    beta: Any = None

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
            default = defaults[parameter]
            number = default if value is None else _as_parameter(value, parameter)
            object.__setattr__(self, parameter, number)
        shapes = {np.shape(value) for value in self.parameters.values()} - {()}
        if len(shapes) > 1:
            raise ValueError(
                f"alpha has {len(self.alpha)} numbers, beta {len(self.beta)}: each must be one for "
                "each unit"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that this function has, with their values."""
        return {name: getattr(self, name) for name in ACTIVATIONS[self.name]}

    @property
    def in_features(self) -> int | None:
        """How many units the parameters are for; None where they are numbers."""
        for value in self.parameters.values():
            if isinstance(value, np.ndarray):
                return value.size
        return None

    @property
    def dtype(self) -> None:
        """None: parameters take the network's."""
        return None

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "activation", self

    def _brief(self) -> str:
        return str(self)

    def _ending(self, before: str) -> str:
        return before if self.name == "identity" else self.name

    def _without_ending(self) -> Layer | None:
        return self if self.name == "identity" else None

    def _arrays(self) -> list[NDArray[Any]]:
        return []  # they are of float64, whatever the network's dtype

    def _num_parameters(self) -> int:
        return sum(v.size for v in self.parameters.values() if isinstance(v, np.ndarray))

    def _require_finite(self, dtype: np.dtype[Any]) -> None:
        """Raise a ValueError where a parameter of a unit is too large for a dtype."""
        for name, value in self.parameters.items():
            if isinstance(value, np.ndarray):
                with np.errstate(all="ignore"):
                    wrong = value[~np.isfinite(value.astype(dtype))]
                if wrong.size:
                    raise ValueError(
                        f"{name} of {self.name} must be finite in {dtype}, got {wrong[0]:g}"
                    )

    def _key(self) -> tuple[Any, ...]:
        """Return what two equal ones have equal; of parameters that are numbers, these alone."""
        values = (self.alpha, self.beta)
        return (self.name, *(tuple(v) if isinstance(v, np.ndarray) else v for v in values))

    def _structure(self) -> Activation:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            super().__setstate__(state)
            return
        for name, value in state.items():  # of a pickle of version 0.1
            kept = read_only(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, kept)

    def __repr__(self) -> str:
        arguments = "".join(
            f", {name}={_written(value)}" for name, value in self.parameters.items()
        )
        return f"{type(self).__name__}({self.name!r}{arguments})"

    def __str__(self) -> str:
        """Return the name, and the parameters that differ from their defaults."""
        defaults = ACTIVATIONS[self.name]
        changed = [
            f"{name} by unit" if isinstance(value, np.ndarray) else f"{name}={value:g}"
            for name, value in self.parameters.items()
            if isinstance(value, np.ndarray) or value != defaults[name]
        ]
        return f"{self.name}({', '.join(changed)})" if changed else self.name


def _as_parameter(value: ArrayLike, parameter: str) -> float | NDArray[Any]:
    """Return a parameter as a float or, of units, as an array of float64 of its own."""
    given = number_or_array(value, parameter)
    if isinstance(given, float):
        if not math.isfinite(given):
            raise ValueError(f"{parameter} must be finite, got {given}")
        return given
    if given.ndim != 1 or given.size == 0:
        raise ValueError(
            f"{parameter} must be a number or have shape (units,), got shape {given.shape}"
        )
    array = as_real_array(given, np.dtype(np.float64), parameter)
    if not np.isfinite(array).all():
        raise ValueError(f"{parameter} must be finite, and holds a number that is not")
    return read_only(array.copy())


def _written(value: float | NDArray[Any]) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    return repr(value.tolist()) if value.size <= 8 else f"array{value.shape}"


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


def activation_named(name: str, **parameters: Any) -> Activation:
    """Return the activation of a name that is known only now: from a file, or another program."""
    return Activation(cast("ActivationName", name), **parameters)
