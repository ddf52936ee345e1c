"""Losses by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laminet.core.described import as_described
from laminet.losses.classification import BinaryCrossEntropy, CrossEntropy
from laminet.losses.loss import Loss
from laminet.losses.regression import AbsoluteError, Huber, Poisson, Quantile, SquaredError

__all__ = ["LOSSES", "as_loss"]

#: The losses that there are.
LOSSES: tuple[type[Loss], ...] = (
    SquaredError,
    AbsoluteError,
    Huber,
    Quantile,
    Poisson,
    CrossEntropy,
    BinaryCrossEntropy,
)

# What others call them; and None for losses of similar names that are others.
_MEANINGS: dict[str, str | None] = {
    **dict.fromkeys(
        ["mse", "mseloss", "l2", "l2loss", "meansquarederror", "meansquared", "squared"],
        "squared_error",
    ),
    **dict.fromkeys(
        ["mae", "maeloss", "l1", "l1loss", "meanabsoluteerror", "meanabsolute", "absolute"],
        "absolute_error",
    ),
    **dict.fromkeys(["smoothl1", "smoothl1loss", "huberloss"], "huber"),
    **dict.fromkeys(["pinball", "pinballloss", "quantileloss"], "quantile"),
    **dict.fromkeys(["poissonnll", "poissonnllloss", "poissonloss"], "poisson"),
    **dict.fromkeys(
        [
            *("crossentropyloss", "categoricalcrossentropy", "sparsecategoricalcrossentropy"),
            *("ce", "softmax", "nll", "nllloss", "logloss"),
        ],
        "cross_entropy",
    ),
    **dict.fromkeys(
        ["bce", "bceloss", "bcewithlogits", "bcewithlogitsloss", "sigmoid"],
        "binary_cross_entropy",
    ),
    **dict.fromkeys(
        [
            *("meansquaredlogarithmicerror", "msle", "rootmeansquarederror", "rmse"),
            *("focal", "binaryfocalcrossentropy", "categoricalfocalcrossentropy"),
            *("squaredhinge", "mape", "meanabsolutepercentageerror"),
        ]
    ),
}


def as_loss(value: Loss | str | Mapping[str, Any], argument: str = "loss") -> Loss:
    """Return a loss, the one of this name, or the one that `Loss.to_dict` has described.

    Parameters
    ----------
    value : Loss, str or dict
        "squared_error", "absolute_error", "huber", "quantile", "poisson", "cross_entropy" or
        "binary_cross_entropy"; of a name with its default parameters.
    argument : str
        What the user gave it for, for messages.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If there is no such name or parameter, or a parameter is out of its bounds.
    TypeError
        If it is neither of them.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.losses.as_loss("huber")
    Huber(delta=1.0)
    """
    return as_described(value, argument, Loss, LOSSES, _MEANINGS)
