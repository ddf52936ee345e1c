"""What every layer of a network computes for one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laminet.core.naming import named_in
from laminet.core.report import Report, TableData, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.dense import Dense
    from laminet.core.names import HeadName


@named_in("laminet")
@dataclass(frozen=True, eq=False, repr=False)
class Trace(Report):
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
    _head: HeadName | None

    def __str__(self) -> str:
        lines = [self._line(i) for i in range(len(self._layers))]
        if self._head:
            name = "a" if self.output.ndim == 1 else "A"
            lines.append(f"Head: {self._head} of {name}{self.output.shape}")
        return "\n".join(lines)

    def tables(self) -> list[TableData]:
        """Return a table of shapes, a line for each layer."""
        z, a = ("z", "a") if self.output.ndim == 1 else ("Z", "A")
        rows = [("layer", "weight", "bias", f"{a} before", z, "activation", f"{a} after")]
        for i, layer in enumerate(self._layers):
            bias = "-" if layer.bias is None else str(layer.bias.shape)
            shapes = (
                array[i].shape
                for array in (self.activations, self.pre_activations, self.activations[1:])
            )
            before, between, after = map(str, shapes)
            row = (str(layer.weight.shape), bias, before, between, str(layer.activation), after)
            rows.append((str(i + 1), *row))
        if self._head:
            shape = str(self.output.shape)
            rows.append(("head", "", "", shape, "", self._head, shape))
        return [TableData(rows, 7)]

    def to_dict(self) -> dict[str, Any]:
        """Return the arrays as lists."""
        names = ("pre_activations", "activations", "output")
        return {name: plain(getattr(self, name)) for name in names}

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
