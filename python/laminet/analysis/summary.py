"""The layers of a network as a table: of `MLP.summary`, and in notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from laminet.analysis.cost import cost
from laminet.show.report import Report, TableData, html_table, size

if TYPE_CHECKING:
    from laminet.core.layers.dense import Dense
    from laminet.core.mlp import MLP
    from laminet.core.names import HeadName

__all__ = ["LayerSummary", "Summary", "WeightCopy", "html_of_layer", "html_of_network", "summary"]


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network.

    Attributes
    ----------
    index : int
        Number of the layer, counted from 1.
    weight_shape : tuple of int
        (out_features, in_features).
    bias_shape : tuple of int, or None
        (out_features,); None where the layer has no bias.
    activation : str
        Its name, with the parameters that differ from their defaults.
    parameters : int
        Weights and biases.
    flops : int
        Floating-point operations of one sample; see `laminet.cost`.
    """

    index: int
    weight_shape: tuple[int, ...]
    bias_shape: tuple[int, ...] | None
    activation: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class WeightCopy:
    """A copy of a network's weights, or of some, in bytes of memory.

    Attributes
    ----------
    kind : str
        ``"as given"``, with the biases; ``"packed"`` and ``"packed, transposed"`` for the tiled
        back end; ``"first layer, transposed"``.
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
        rows: list[tuple[str, ...]] = [
            ("layer", "weight", "bias", "activation", "parameters", "FLOPs")
        ]
        for layer in self.layers:
            rows.append(
                (
                    str(layer.index),
                    str(layer.weight_shape),
                    "-" if layer.bias_shape is None else str(layer.bias_shape),
                    layer.activation,
                    f"{layer.parameters:,}",
                    f"{layer.flops:,}",
                )
            )
        if self.head:
            rows.append(("head", "", "", self.head, "", f"{self.head_flops:,}"))
        rows.append(("all", "", "", self.dtype, f"{self.parameters:,}", f"{self.flops:,}"))
        return TableData(rows, 4)

    def _table_of_memory(self) -> TableData:
        used = [copy for copy in self.memory if copy.now or copy.with_derivatives]
        columns = ("now", "prepared", "with_derivatives")
        rows: list[tuple[str, ...]] = [("weights", "now", "prepared", "with derivatives")]
        rows += [(copy.kind, *(size(getattr(copy, name)) for name in columns)) for copy in used]
        sums = [sum(getattr(copy, name) for copy in used) for name in columns]
        rows.append(("all", *map(size, sums)))
        return TableData(rows, 1)


def summary(net: MLP) -> Summary:
    """Return a table with a row for each layer; see `MLP.summary`."""
    costs = cost(net)
    layers = tuple(
        LayerSummary(
            index=counts.index,
            weight_shape=layer.weight.shape,
            bias_shape=None if layer.bias is None else layer.bias.shape,
            activation=str(layer.activation),
            parameters=layer.weight.size + (0 if layer.bias is None else layer.bias.size),
            flops=counts.flops,
        )
        for layer, counts in zip(net.layers, costs.layers, strict=True)
    )
    memory = [
        WeightCopy(kind, now, prepared, prepared) for kind, now, prepared in net._core.memory()
    ]
    for kind, now, with_derivatives in net._derivatives.memory():
        memory.append(WeightCopy(kind, now, now, with_derivatives))
    return Summary(layers, net.head, costs.head_flops, net.dtype.name, tuple(memory))


def html_of_network(net: MLP) -> str:
    """Return what a notebook shows of a network: its layers under its ``repr``."""
    table, _ = summary(net).tables()
    return html_table(TableData(table.rows, table.text_columns, repr(net)))


def html_of_layer(layer: Dense) -> str:
    """Return what a notebook shows of a layer: shapes and activation under its ``repr``."""
    bias = "-" if layer.bias is None else str(layer.bias.shape)
    rows = [
        ("weight", "bias", "activation", "dtype"),
        (str(layer.weight.shape), bias, str(layer.activation), str(layer.dtype)),
    ]
    return html_table(TableData(rows, 4, repr(layer)))
