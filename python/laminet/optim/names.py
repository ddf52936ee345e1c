"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laminet.core.described import as_described
from laminet.optim.first_order import SGD, Adam, AdamW
from laminet.optim.full_batch import LBFGS, LevenbergMarquardt
from laminet.optim.muon import Muon
from laminet.optim.optimizer import Optimizer

__all__ = ["OPTIMIZERS", "as_optimizer"]

#: The optimisers that there are.
OPTIMIZERS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, Muon, LBFGS, LevenbergMarquardt)

# What others call them; and None for optimisers of similar names that are others.
_MEANINGS: dict[str, str | None] = {
    "momentum": "sgd",
    "nesterov": "sgd",
    "gradientdescent": "sgd",
    "bfgs": "lbfgs",
    "lbfgsb": "lbfgs",
    "lm": "levenberg_marquardt",
    "trainlm": "levenberg_marquardt",
    "levenberg": "levenberg_marquardt",
    "marquardt": "levenberg_marquardt",
    **dict.fromkeys(["adamax", "nadam", "radam", "adagrad", "adadelta", "sparseadam", "asgd"]),
}


def as_optimizer(
    value: Optimizer | str | Mapping[str, Any], argument: str = "optimizer"
) -> Optimizer:
    """Return an optimiser, the one of this name, or the one that `Optimizer.to_dict` has described.

    Parameters
    ----------
    value : Optimizer, str or dict
        "sgd", "adam", "adamw", "muon", "lbfgs" or "levenberg_marquardt"; of a name with its default
        parameters.
    argument : str
        What the user gave it for, for messages.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If there is no such name or parameter, or a parameter is out of its bounds.
    TypeError
        If it is neither of them.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.as_optimizer("adamw")
    AdamW(learning_rate=0.001)
    """
    return as_described(value, argument, Optimizer, OPTIMIZERS, _MEANINGS)
