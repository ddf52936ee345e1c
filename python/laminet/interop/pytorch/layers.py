"""Modules for layers and functions that PyTorch has no module for: what `laminet.to_torch` uses.

Each computes by PyTorch's own operations, and so differentiates, traces and exports.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "ELU",
    "Gated",
    "HardSigmoid",
    "Parallel",
    "RMSNorm",
    "Rescale",
    "Residual",
    "Select",
    "Sin",
]


class Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """``x + f(x)``."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and what the layers make of it, added."""
        return x + self.layers(x)


class Parallel(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Branches over the same input, joined: "concat", "sum" or "mean"."""

    def __init__(self, branches: list[nn.Sequential], join: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """Return what the branches give, side by side, added or averaged."""
        outputs = [branch(x) for branch in self.branches]
        if self.join == "concat":
            return torch.cat(outputs, dim=-1)
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total / len(outputs) if self.join == "mean" else total

    def extra_repr(self) -> str:
        """Return what the repr shows beside the branches."""
        return f"join={self.join!r}"


class Rescale(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """``clamp(scale * x + shift, low, high)``; all of them buffers, which no optimiser changes."""

    def __init__(
        self, scale: Tensor, shift: Tensor, low: Tensor | None, high: Tensor | None
    ) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features on the other scale, within the bounds."""
        y = self.scale * x + self.shift
        if self.low is None and self.high is None:
            return y
        return torch.clamp(y, self.low, self.high)


class Select(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Some of the columns."""

    def __init__(self, columns: tuple[int, ...]) -> None:
        super().__init__()
        self.start, self.stop, self.step = columns[0], columns[-1] + 1, 1
        if len(columns) > 1:
            self.step = columns[1] - columns[0]
        aligned = self.step > 0 and columns == tuple(range(self.start, self.stop, self.step))
        # No part of the state: it has no numbers that were learnt.
        self.register_buffer(
            "columns", None if aligned else torch.tensor(columns), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the columns, in their order."""
        if self.columns is None:
            return x[..., self.start : self.stop : self.step]
        return torch.index_select(x, -1, self.columns)

    def extra_repr(self) -> str:
        """Return the columns."""
        if self.columns is None:
            return f"{self.start}:{self.stop}:{self.step}"
        return f"{len(self.columns)} columns"


class RMSNorm(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """``torch.nn.RMSNorm`` of one axis, which PyTorch has from 2.4 on."""

    def __init__(self, features: int, eps: float, elementwise_affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.register_parameter("weight", None)
        if elementwise_affine:
            self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return samples whose root mean square is 1, times the weight."""
        y = x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + self.eps)
        return y if self.weight is None else y * self.weight


class Sin(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The sine, as in SIREN."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sine of each number."""
        return torch.sin(x)


class _OfUnits(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A function whose parameters are numbers, or parameters of PyTorch, one for each unit."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__()
        for name, value in parameters.items():
            setattr(self, name, nn.Parameter(value) if isinstance(value, Tensor) else value)
        self._numbers = {k: v for k, v in parameters.items() if not isinstance(v, Tensor)}

    def extra_repr(self) -> str:
        """Return the parameters that are numbers."""
        return ", ".join(f"{name}={value}" for name, value in self._numbers.items())


class ELU(_OfUnits):
    """``x`` above 0, ``alpha (exp(x) - 1)`` below."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of each number."""
        return nn.functional.relu(x) + self.alpha * nn.functional.elu(torch.clamp(x, max=0.0))


class HardSigmoid(_OfUnits):
    """``alpha x + beta`` within 0 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of each number."""
        return nn.functional.hardtanh(self.alpha * x + self.beta, 0.0, 1.0)


class Gated(_OfUnits):
    """``(beta + (1 - beta) sigmoid(alpha x)) x``: the function of CosmoPower's emulators."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of each number."""
        return (self.beta + (1 - self.beta) * torch.sigmoid(self.alpha * x)) * x
