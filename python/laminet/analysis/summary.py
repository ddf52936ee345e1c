"""The summary of a network, with what its layers cost."""

from __future__ import annotations

from laminet.analysis.cost import cost
from laminet.core.layers.chain import dense_chain
from laminet.core.mlp import MLP
from laminet.core.summary import LayerSummary, Summary, WeightCopy

__all__ = ["LayerSummary", "Summary", "WeightCopy", "summary"]


def summary(net: MLP) -> Summary:
    """Return a table with a row for each layer; see `MLP.summary`."""
    chain = dense_chain(net, "net.summary")
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
        for layer, counts in zip(chain, costs.layers, strict=True)
    )
    memory = [
        WeightCopy(kind, now, prepared, prepared) for kind, now, prepared in net._core.memory()
    ]
    for kind, now, with_derivatives in net._derivatives.memory():
        memory.append(WeightCopy(kind, now, now, with_derivatives))
    return Summary(layers, net.head, costs.head_flops, net.dtype.name, tuple(memory))
