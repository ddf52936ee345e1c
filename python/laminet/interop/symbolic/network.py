"""Networks of what has been read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.heads import as_head
from laminet.core.mlp import MLP
from laminet.core.outputs import Outputs, Quantities
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.layout import laid_out
from laminet.interop.symbolic.value import Value

__all__ = ["network", "network_of_several"]


def network(
    form: Form,
    dtype: np.dtype[Any],
    head: str | None = None,
    *,
    in_features: int | None = None,
    inputs: Sequence[tuple[str, int]] = (),
    outputs: Outputs | None = None,
    feature_names: Sequence[str] | None = None,
) -> MLP:
    """Return the network whose outputs are a form, or the head of it.

    Parameters
    ----------
    form : Form
    dtype : numpy.dtype
    head : {None, "softmax", "log_softmax"}
    in_features : int, optional
        How many features the input has; by default as many as the first layers take.
    inputs : sequence of (str, int)
        The names and widths of inputs side by side; of one they are not kept.
    outputs : Outputs, optional
    feature_names : sequence of str, optional

    Raises
    ------
    ValueError
        If a step has no place in a network, a folded weight is too large for `dtype`, or no layer
        says how many inputs there are.
    """
    layers, width = laid_out(form, dtype)
    form.source.reading.memo.clear()
    features = width if in_features is None else in_features
    if features is None:
        raise ValueError("no layer says how many features the network takes")
    return MLP(
        layers or [Activation("identity")],
        head=as_head(head),
        outputs=outputs,
        inputs=inputs if len(inputs) > 1 else None,
        feature_names=feature_names,
        in_features=features,
        dtype=dtype,
    )


def network_of_several(
    values: Mapping[str, Value], dtype: np.dtype[Any], *, named: bool = True, **options: Any
) -> MLP:
    """Return the network whose outputs are some values, side by side in that order.

    Several are `Quantities`, by the names of the values where these are `named`: of one with
    several features they are ``name[0]``, ``name[1]``. `options` are those of `network`.

    Raises
    ------
    ValueError
        As `network`, or if a softmax goes over one of several values.
    """
    heads = [value.head for value in values.values()]
    if len(values) == 1:
        (value,) = values.values()
        return network(value.resolved(), dtype, value.head, **options)
    if any(head is not None for head in heads):
        raise ValueError(
            "has several outputs, and a softmax over one of them: laminet has one over all outputs"
        )
    form = joined([value.resolved() for value in values.values()])
    outputs = Quantities(_names(values) if named else None)
    return network(form, dtype, outputs=outputs, **options)


def _names(values: Mapping[str, Value]) -> list[str] | None:
    """Return a name for each feature of some values; None where they would not differ."""
    names = [
        name if value.width == 1 else f"{name}[{i}]"
        for name, value in values.items()
        for i in range(value.width or 0)
    ]
    return names if all(names) and len(set(names)) == len(names) else None
