"""In which precision a network is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laminet.core.precision import as_precision

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.core.name_types import PrecisionName

__all__ = ["training_precision"]


def training_precision(value: object, net: MLP) -> PrecisionName:
    """Return the precision of training that is asked for; None is that of the dtype.

    Raises
    ------
    ValueError
        If there is no such precision, none to train a network of this dtype, or a weight is beyond
        its range.
    TypeError
        If it is no str.
    """
    name = as_precision(value, net.dtype)
    if name == "bfloat16_weights":
        raise ValueError(
            "precision 'bfloat16_weights' is of networks that are done, whose bytes it halves: "
            "train in 'float32' or 'bfloat16', and ask for it with net.with_precision afterwards"
        )
    if name == "bfloat16":
        net.with_precision(name)  # refuses a weight beyond its range, and names the layer
    return name
