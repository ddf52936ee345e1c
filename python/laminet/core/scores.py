"""Labels and probabilities, as they are computed of a network's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.dense import Dense, linear
from laminet.core.layers.tree import ending, without_ending

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.name_types import ActivationName
    from laminet.core.network import Network

    Array = NDArray[Any]

__all__ = [
    "index_of_largest",
    "last_activation",
    "logits",
    "of_each",
    "refuse_nan",
    "require_scores",
    "softmax",
]

# How many rows a message names.
_SHOWN = 4

_WHAT_TO_WRITE = (
    "say what they stand for: net.with_outputs(ln.Classes([...])) for one of several classes, "
    "ln.Labels([...]) for any of several labels, ln.Quantities() for numbers"
)


def last_activation(net: Network) -> str:
    """Return the name of the activation that the outputs end in; other words where it is none."""
    return ending(net.layers)


def logits(net: Network, x: ArrayLike) -> Array:
    """Return what is before the sigmoid, or the identity, that the outputs end in."""
    if last_activation(net) == "identity":
        return net(x)
    if isinstance(net.layers[-1], Dense):
        return net.trace(x).pre_activations[-1]
    before: Array = net._like(without_ending(net.layers), outputs=None)(x)
    return before


def of_each(z: Array, weight: list[list[float]], activation: ActivationName) -> Array:
    """Return ``s(w z)`` of each element, side by side for each w: one column becomes as many."""
    # Elements as samples of one feature: the kernels' functions, with their bits for every batch.
    column = np.ascontiguousarray(z).reshape(-1, 1)
    result = linear(column, np.array(weight, z.dtype), None, activation)
    return result.reshape(*z.shape[:-1], z.shape[-1] * len(weight))


def softmax(net: Network, x: ArrayLike, head: str) -> Array:
    """Return the head of the last layer, "softmax" or "log_softmax", which must give logits."""
    if net.head is None and last_activation(net) != "identity":
        raise ValueError(
            f"the outputs end in {last_activation(net)}: they are no logits, whose softmax would "
            "be probabilities; net(x) gives them as they are"
        )
    result: Array = net._core.forward_head(x, head)
    return result


def index_of_largest(y: Array) -> Any:
    """Return the place of each sample's largest output, the first of equal ones; refuse NaN."""
    index = y.argmax(axis=-1)
    # argmax gives the place of a NaN where there is one.
    refuse_nan(np.take_along_axis(y, np.expand_dims(index, -1), axis=-1))
    return index


def refuse_nan(y: Array) -> None:
    """Raise a ValueError that names the samples with a NaN."""
    nan = np.isnan(y).any(axis=-1)
    if not nan.any():
        return
    if y.ndim == 1:
        raise ValueError("the sample has a NaN among its outputs, and so no label")
    rows = np.flatnonzero(nan)
    if len(rows) == 1:
        raise ValueError(f"sample {rows[0]} has a NaN among its outputs, and so no label")
    shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
    raise ValueError(
        f"samples {shown} ({len(rows)} of {len(y)}) have a NaN among their outputs, and so no label"
    )


def require_scores(net: Network) -> None:
    """Raise a ValueError unless the outputs are scores of classes, without anybody saying so."""
    if net.out_features == 1:
        raise ValueError(
            "the network has one output, and nothing tells whether it is a number or the "
            f"probability of a class; {_WHAT_TO_WRITE}"
        )
    if net.head is None and last_activation(net) != "identity":
        raise ValueError(
            f"the network's outputs end in {last_activation(net)}, and are no logits of classes; "
            f"{_WHAT_TO_WRITE}"
        )
