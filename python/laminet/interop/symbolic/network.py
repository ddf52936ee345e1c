"""Networks of forms, and trees of layers of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.heads import as_head
from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.interop.symbolic import layers as kinds
from laminet.interop.symbolic.forms import Form, Input
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.layers import Tree
from laminet.interop.symbolic.layout import laid_out
from laminet.interop.symbolic.value import Value

__all__ = ["network", "tree"]


def network(form: Form, dtype: np.dtype[Any], head: str | None = None) -> MLP:
    """Return the network whose outputs are a form, or the head of it.

    Raises
    ------
    ValueError
        If no layer says how many inputs there are, a folded weight is too large for `dtype`, or
        the form is no chain of dense layers.
    """
    if isinstance(form.step, Input) or not form.plain:
        form = form.layer(Activation("identity"))
    found = laid_out(form, dtype)
    form.source.reading.memo.clear()
    dense = [layer for layer in found if isinstance(layer, kinds.Dense)]
    if len(dense) < len(found):
        others = {type(layer).__name__ for layer in found} - {"Dense"}
        raise ValueError(f"is no chain of dense layers: it has {', '.join(sorted(others))}")
    made = [Dense(layer.weight, layer.bias, layer.activation) for layer in dense]
    return MLP(made, head=as_head(head))


def tree(
    values: Mapping[str, Value],
    dtype: np.dtype[Any],
    in_features: int,
    inputs: Sequence[tuple[str, int]] = (),
) -> Tree:
    """Return the tree of layers whose outputs are some values, side by side by their names.

    Raises
    ------
    ValueError
        If a step has no place in a network, with the reason.
    """
    heads = {value.head for value in values.values()}
    if len(values) > 1 and heads != {None}:
        raise ValueError(
            "has several outputs, and a softmax over one of them: laminet has one, of all outputs"
        )
    form = joined([value.resolved() for value in values.values()])
    names = [(name, value.width or 0) for name, value in values.items()]
    layers = laid_out(form, dtype)
    form.source.reading.memo.clear()
    return Tree(
        layers,
        in_features,
        heads.pop(),
        tuple(names) if len(names) > 1 else (),
        tuple(inputs),
    )
