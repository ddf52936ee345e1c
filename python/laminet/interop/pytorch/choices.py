"""Choices between two functions of one layer, as activations are spelled out by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.interop.pytorch.tensors import Comparison, Tracked
from laminet.interop.symbolic import functions
from laminet.interop.symbolic.functions import Function
from laminet.interop.symbolic.resolving import resolved
from laminet.interop.symbolic.value import Value

__all__ = ["where"]


def where(condition: Any, x: Any, y: Any) -> Tracked:
    """Return ``x where condition, else y`` where that is a function of one layer."""
    import torch

    if not isinstance(condition, Comparison):
        raise ValueError("selects between two results")
    asked = condition.tensor
    parts: list[Any] = []
    for part in (x, y) if condition.greater else (y, x):
        if isinstance(part, Tracked):
            same = part.value.form is asked.value.form
            if not same or not torch.equal(part.index, asked.index):
                raise ValueError("selects between results of different layers")
            parts.append(part.value.function)
        else:
            _, constant = asked.beside(torch.as_tensor(part))
            if not isinstance(constant, float):
                raise ValueError("selects between a result and a number for each feature")
            parts.append(functions.Poly((constant,)))
    u, value = asked.value.function, asked.value
    if not isinstance(u, functions.Poly):  # of an activation: that is a layer, and u a line of it
        inner = u.function if isinstance(u, functions.Scaled) else u
        u, *parts = (functions.in_terms_of(f, inner) for f in (u, *parts))
        value = Value(resolved(value.form, inner), u)
    return asked.with_value(
        value.with_function(_choice(u, condition.bound, *parts), "the choice between two functions")
    )


def _choice(u: Function, bound: float, above: Function, below: Function) -> Function | None:
    """Return ``above where u > bound, else below``."""
    number = functions.Poly((bound,))
    if (above, below) == (u, number):
        return functions.clip(u, bound, np.inf)
    if (above, below) == (number, u):
        return functions.clip(u, -np.inf, bound)
    return functions.where_greater(u, bound, above, below)
