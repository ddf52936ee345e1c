"""The layers of a network as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laminet.analysis.cost import cost
from laminet.analysis.text_table import text_table

if TYPE_CHECKING:
    from laminet.mlp import MLP


def summary(net: MLP) -> str:
    """Return a table with a row for each layer; see `MLP.summary`."""
    rows = [("layer", "weight", "bias", "activation", "parameters", "FLOPs")]
    costs = cost(net)
    for i, (layer, layer_cost) in enumerate(zip(net.layers, costs.layers, strict=True), start=1):
        parameters = layer.weight.size + (0 if layer.bias is None else layer.bias.size)
        bias = "-" if layer.bias is None else str(layer.bias.shape)
        rows.append(
            (
                str(i),
                str(layer.weight.shape),
                bias,
                str(layer.activation),
                f"{parameters:,}",
                f"{layer_cost.flops:,}",
            )
        )
    if net.head:
        rows.append(("head", "", "", net.head, "", f"{costs.head_flops:,}"))
    rows.append(("all", "", "", str(net.dtype), f"{net.num_parameters:,}", f"{costs.flops:,}"))
    return text_table(rows, text_columns=4)
