"""What every layer of a network computes for one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laminet.core.layers.dense import Dense
from laminet.core.layers.tree import walk
from laminet.core.public_module import named_in
from laminet.core.report import Report, TableData, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.name_types import HeadName


@named_in("laminet")
@dataclass(frozen=True, eq=False, repr=False)
class Trace(Report):
    """The pre-activations and activations of one forward pass; made by `MLP.trace`.

    Attributes
    ----------
    pre_activations : list of ndarray
        Z_1 .. Z_L of the dense layers, each of shape (n_l,) or (batch, n_l); of layers within
        layers in the order of `Gradients.weights`, each before those that follow it.
    activations : list of ndarray
        A_0 .. A_L: a copy of the input, and what each of the network's layers gives.
    output : ndarray
        A_L, or the head of it where the network has one.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP.init([3, 4, 2], seed=0)
    >>> found = net.trace(np.ones(3))
    >>> print(found)
    Layer 1: W(4, 3) @ a(3,) + b(4,) -> z(4,) -> a(4,)
    Layer 2: W(2, 4) @ a(4,) + b(2,) -> z(2,) -> a(2,)
    >>> [a.shape for a in found.activations]
    [(3,), (4,), (2,)]
    """

    pre_activations: list[NDArray[Any]]
    activations: list[NDArray[Any]]
    output: NDArray[Any]
    _layers: tuple[Layer, ...]
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
            before, after = str(self.activations[i].shape), str(self.activations[i + 1].shape)
            row = ("-", "-", before, "-", layer._brief(), after)
            if isinstance(layer, Dense):
                bias = "-" if layer.bias is None else str(layer.bias.shape)
                between = str(self.pre_activations[self._first(i)].shape)
                function = str(layer.activation)
                row = (str(layer.weight.shape), bias, before, between, function, after)
            rows.append((str(i + 1), *row))
        if self._head:
            shape = str(self.output.shape)
            rows.append(("head", "", "", shape, "", self._head, shape))
        return [TableData(rows, 7)]

    def to_dict(self) -> dict[str, Any]:
        """Return the arrays as lists."""
        names = ("pre_activations", "activations", "output")
        return {name: plain(getattr(self, name)) for name in names}

    def _first(self, i: int) -> int:
        """Return which of the pre-activations is the first of a layer."""
        return sum(isinstance(leaf, Dense) for _, leaf in walk(self._layers[:i]))

    def _line(self, i: int) -> str:
        layer = self._layers[i]
        before, after = self.activations[i], self.activations[i + 1]
        name = "a" if after.ndim == 1 else "A"
        if not isinstance(layer, Dense):
            return f"Layer {i + 1}: {layer._brief()} of {name}{before.shape} -> {name}{after.shape}"
        z = self.pre_activations[self._first(i)]
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
