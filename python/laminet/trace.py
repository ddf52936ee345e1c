"""What every layer of a network computes for one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.dense import Dense


@dataclass(frozen=True, eq=False)
class Trace:
    """The pre-activations and activations of one forward pass; made by `MLP.trace`.

    Attributes
    ----------
    pre_activations : list of ndarray
        Z_1 .. Z_L, each of shape (n_l,) or (batch, n_l).
    activations : list of ndarray
        A_0 .. A_L; A_0 is a copy of the input.
    output : ndarray
        A_L, or the head of it where the network has one.
    """

    pre_activations: list[NDArray[Any]]
    activations: list[NDArray[Any]]
    output: NDArray[Any]
    _layers: tuple[Dense, ...]
    _head: str | None

    def __str__(self) -> str:
        lines = [self._line(i) for i in range(len(self._layers))]
        if self._head:
            name = "a" if self.output.ndim == 1 else "A"
            lines.append(f"Head: {self._head} of {name}{self.output.shape}")
        return "\n".join(lines)

    __repr__ = __str__

    def _line(self, i: int) -> str:
        layer = self._layers[i]
        before, z, after = self.activations[i], self.pre_activations[i], self.activations[i + 1]
        bias = "" if layer.bias is None else f" + b{layer.bias.shape}"
        if z.ndim == 1:
            return (
                f"Layer {i + 1}: W{layer.weight.shape} @ a{before.shape}{bias} "
                f"-> z{z.shape} -> a{after.shape}"
            )
        return (
            f"Layer {i + 1}: A{before.shape} @ W{layer.weight.shape}^T{bias} "
            f"-> Z{z.shape} -> A{after.shape}"
        )
