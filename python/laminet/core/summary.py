"""What a network is made of, layer by layer, and the memory that its weights take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.core.public_module import named_in
from laminet.core.report import Report, TableData
from laminet.core.rows import are_a_chain, names_of
from laminet.core.wording import size

if TYPE_CHECKING:
    from laminet.core.name_types import HeadName

__all__ = ["LayerSummary", "Summary", "WeightCopy"]


@named_in("laminet.analysis.summary")
@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network, or equal layers of branches that run as one.

    Attributes
    ----------
    index : int
        Number of the row, counted from 1.
    weight_shape : tuple of int, or None
        (out_features, in_features) of a dense layer, (features,) of a norm; None where there is no
        weight.
    bias_shape : tuple of int, or None
        (out_features,); None where the layer has no bias.
    activation : str
        Its name, with the parameters that differ from their defaults; empty where the kind of layer
        has none.
    parameters : int
        Weights and biases.
    flops : int
        Floating-point operations of one sample; see `laminet.cost`.
    kind, place : str
        As in `laminet.cost`; of a layer that does nothing when the network runs, what it is.
    copies : int
        So many equal layers, of as many branches, run as one.
    """

    index: int
    weight_shape: tuple[int, ...] | None
    bias_shape: tuple[int, ...] | None
    activation: str
    parameters: int
    flops: int
    kind: str = "dense"
    place: str = ""
    copies: int = 1


@named_in("laminet.analysis.summary")
@dataclass(frozen=True)
class WeightCopy:
    """A copy of a network's weights, or of some, in bytes of memory.

    Attributes
    ----------
    kind : str
        ``"as given"``, with the biases; ``"packed"`` and, for the way back, ``"packed,
        transposed"`` for the tiled back end.
    now : int
        What it takes.
    prepared, with_derivatives : int
        What it would take after ``net.prepare()`` and ``net.prepare(derivatives=True)``, with the
        back end that is set.
    """

    kind: str
    now: int
    prepared: int
    with_derivatives: int


@named_in("laminet.analysis.summary")
@dataclass(frozen=True, repr=False)
class Summary(Report):
    """What `MLP.summary` returns; it prints as two tables.

    Attributes
    ----------
    layers : tuple of LayerSummary
        The layers, first to last.
    head : str or None
        What follows them.
    head_flops : int
        Floating-point operations of the head for one sample.
    dtype : str
        "float32" or "float64".
    memory : tuple of WeightCopy
        The copies of the weights.
    """

    layers: tuple[LayerSummary, ...]
    head: HeadName | None
    head_flops: int
    dtype: str
    memory: tuple[WeightCopy, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations of one sample."""
        return sum(layer.flops for layer in self.layers) + self.head_flops

    def tables(self) -> list[TableData]:
        """Return the tables that show this result: of the layers, of their memory."""
        return [self._table_of_layers(), self._table_of_memory()]

    def _table_of_layers(self) -> TableData:
        chain = are_a_chain(self.layers)
        kinds = [] if chain else ["kind"]
        empty = [""] * len(kinds)
        rows: list[tuple[str, ...]] = [
            ("layer", *kinds, "weight", "bias", "activation", "parameters", "FLOPs")
        ]
        for layer in self.layers:
            rows.append(
                (
                    *names_of(layer, chain=chain),
                    "-" if layer.weight_shape is None else str(layer.weight_shape),
                    "-" if layer.bias_shape is None else str(layer.bias_shape),
                    layer.activation,
                    f"{layer.parameters:,}",
                    f"{layer.flops:,}",
                )
            )
        if self.head:
            rows.append(("head", *empty, "", "", self.head, "", f"{self.head_flops:,}"))
        sums = f"{self.parameters:,}", f"{self.flops:,}"
        rows.append(("all", *empty, "", "", self.dtype, *sums))
        return TableData(rows, 4 + len(kinds))

    def _table_of_memory(self) -> TableData:
        used = [copy for copy in self.memory if copy.now or copy.with_derivatives]
        columns = ("now", "prepared", "with_derivatives")
        rows: list[tuple[str, ...]] = [("weights", "now", "prepared", "with derivatives")]
        rows += [(copy.kind, *(size(getattr(copy, name)) for name in columns)) for copy in used]
        sums = [sum(getattr(copy, name) for copy in used) for name in columns]
        rows.append(("all", *map(size, sums)))
        return TableData(rows, 1)
