"""Features of several values side by side: parts of the inputs, or results of layers over one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.chain import Chain, joined
from laminet.interop.onnx.node import Node
from laminet.interop.onnx.values import Tensor

__all__ = ["side_by_side"]

Array = NDArray[Any]
Inputs = tuple[tuple[str, "int | None"], ...]


def side_by_side(node: Node, values: list[Tensor]) -> tuple[Chain, Inputs]:
    """Return the features of some values, in that order, and the inputs that they depend on.

    Several inputs become one, in the order in which they come first.

    Raises
    ------
    ValueError
        If the values are results of different layers, or of different inputs.
    """
    chains = [node.resolved(v).selected(v.feature_order().ravel()) for v in values]
    inputs = tuple(dict.fromkeys(pair for value in values for pair in value.inputs))
    if all(chain.before is None and chain.weight is None for chain in chains):
        return _of_inputs(chains, [v.inputs for v in values], inputs), inputs
    if any(value.inputs != inputs for value in values):
        names = " and ".join(repr(name[:60]) for name, _ in inputs[:3])
        raise ValueError(
            f"joins results of different inputs, {names}: a laminet network has one input, and "
            "only inputs that are joined before the first layer can be one"
        )
    try:
        return joined(chains), inputs
    except ValueError:
        raise ValueError(
            "joins results of different layers, and in a laminet network each layer takes the one "
            "before it"
        ) from None


def _of_inputs(chains: list[Chain], of: list[Inputs], inputs: Inputs) -> Chain:
    starts: dict[str, int] = {}
    total = 0
    for name, width in inputs:
        if width is None:
            raise ValueError(
                f"joins the input {name[:60]!r}, of which the model does not fix how many features "
                "it has"
            )
        starts[name] = total
        total += width
    columns, scales, shifts = [], [], []
    for chain, own in zip(chains, of, strict=True):
        places = np.concatenate([np.arange(starts[n], starts[n] + (w or 0)) for n, w in own])
        taken = places if chain.columns is None else places[chain.columns]
        columns.append(taken)
        scales.append(np.broadcast_to(1.0 if chain.scale is None else chain.scale, taken.size))
        shifts.append(np.broadcast_to(0.0 if chain.shift is None else chain.shift, taken.size))
    base = Chain(width=total, source=inputs if len(inputs) > 1 else inputs[0][0])
    return base.selected(np.concatenate(columns)).scaled(
        np.concatenate(scales), np.concatenate(shifts)
    )
