"""The tree of layers that a graph is: what a network is made of, and nothing of how it was said.

Layers in series are a tuple. Each kind is named as the layer of laminet that it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from laminet.core.activation import Activation

__all__ = [
    "IDENTITY",
    "Dense",
    "Elementwise",
    "Layer",
    "LayerNorm",
    "Parallel",
    "RMSNorm",
    "Rescale",
    "Residual",
    "Select",
    "Tree",
]

Array = NDArray[Any]

IDENTITY = Activation("identity")


@dataclass(frozen=True, eq=False)
class Dense:
    """``s(W x + b)``."""

    weight: Array
    bias: Array | None = None
    activation: Activation = IDENTITY


@dataclass(frozen=True, eq=False)
class Elementwise:
    """An activation by itself; `alpha` is one parameter for each feature where it is given."""

    activation: Activation
    alpha: Array | None = None


@dataclass(frozen=True, eq=False)
class Rescale:
    """``clip(scale * x + shift, low, high)``: numbers, or one for each feature; None for none."""

    scale: Array | None = None
    shift: Array | None = None
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, of each sample."""

    eps: float
    weight: Array | None = None
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class RMSNorm:
    """``x / sqrt(mean(x ** 2) + eps) * weight``, of each sample."""

    eps: float
    weight: Array | None = None


@dataclass(frozen=True, eq=False)
class Select:
    """Some of the features."""

    columns: Array


@dataclass(frozen=True, eq=False)
class Parallel:
    """Branches over the same input, each some layers in series; none are the identity."""

    branches: tuple[tuple[Layer, ...], ...]
    join: Literal["concat", "sum", "mean"] = "concat"


@dataclass(frozen=True, eq=False)
class Residual:
    """``x + f(x)``."""

    layers: tuple[Layer, ...]


Layer: TypeAlias = (
    Dense | Elementwise | Rescale | LayerNorm | RMSNorm | Select | Parallel | Residual
)


@dataclass(frozen=True, eq=False)
class Tree:
    """A network: layers in series, and what it is called.

    Attributes
    ----------
    layers : tuple of Layer
    in_features : int
    head : {None, "softmax", "log_softmax"}
        Over all outputs, after the last layer.
    outputs : tuple of (str, int)
        The names and widths of several outputs side by side; empty for one.
    inputs : tuple of (str, int)
        The names and widths of several inputs side by side; empty for one.
    """

    layers: tuple[Layer, ...]
    in_features: int
    head: str | None = None
    outputs: tuple[tuple[str, int], ...] = ()
    inputs: tuple[tuple[str, int], ...] = ()
