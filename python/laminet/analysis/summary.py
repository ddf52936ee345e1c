"""The summary of a network, with what its layers cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laminet.analysis.cost import cost
from laminet.core.mlp import MLP
from laminet.core.steps import program_of
from laminet.core.summary import LayerSummary, Summary, WeightCopy

if TYPE_CHECKING:
    from laminet.core.steps import LayerAt, Step

__all__ = ["LayerSummary", "Summary", "WeightCopy", "summary"]


def summary(net: MLP) -> Summary:
    """Return a table with a row for each layer; see `MLP.summary`."""
    program = program_of(net)
    costs = cost(net)
    steps = program.before_head
    flops = {step.place: row.flops for step, row in zip(steps, costs.layers, strict=True)}
    by_source = {step.source.place: step for step in steps if step.source is not None}
    functions = {step.function.place for step in steps if step.function is not None}
    layers: list[LayerSummary] = []
    for at in program.layers:
        step = by_source.get(at.place)
        # A function is in the row of the layer before it; what is made of others is in theirs.
        if step is not None or (at.is_leaf and at.place not in functions):
            row = _row(len(layers) + 1, at, step, flops)
            layers.append(row)
    memory = [
        WeightCopy(kind, now, prepared, prepared) for kind, now, prepared in net._core.memory()
    ]
    for kind, now, with_derivatives in net._derivatives.memory():
        memory.append(WeightCopy(kind, now, now, with_derivatives))
    return Summary(tuple(layers), net.head, costs.head_flops, net.dtype.name, tuple(memory))


def _row(index: int, at: LayerAt, step: Step | None, flops: dict[str, int]) -> LayerSummary:
    layer = at.layers[0] if at.layers else None
    arrays: dict[str, Any] = {name: getattr(layer, name, None) for name in ("weight", "bias")}
    shapes = {name: None if a is None else a.shape for name, a in arrays.items()}
    function = None if step is None else step.activation
    return LayerSummary(
        index=index,
        weight_shape=shapes["weight"],
        bias_shape=shapes["bias"],
        activation="" if function is None else str(function),
        parameters=sum(one._num_parameters() for one in at.layers if at.is_leaf),
        flops=0 if step is None else flops[step.place],
        kind=step.kind if step is not None else at.layers[0]._brief(),
        place=at.place if step is None else step.place,
        copies=len(at.layers) or 1,
    )
