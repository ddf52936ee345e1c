"""Gates with parameters for each feature: ``(b + k sigmoid(a z)) z``, which is an activation."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from laminet.core.activation import Activation
from laminet.interop.symbolic.exact import Array
from laminet.interop.symbolic.forms import Activated, Form
from laminet.interop.symbolic.functions import FLOAT32_TOLERANCE, Function
from laminet.interop.symbolic.resolving import resolved

__all__ = ["gated"]

_Pair: TypeAlias = tuple[Form, Function]
_SIGMOID = Activation("sigmoid")


def gated(a: _Pair, b: _Pair) -> Form | None:
    """Return the product of a value and a gate made of it; None where it is none."""
    for (form, function), (other, of_other) in ((a, b), (b, a)):
        gate = _gate(_resolved_or_none(other, of_other), form, function)
        if gate is not None:
            return gate
    return None


def _resolved_or_none(form: Form, function: Function) -> Form | None:
    """Return a function of a form; None if it is no activation."""
    try:
        return resolved(form, function)
    except ValueError:
        return None


def _gate(gate: Form | None, form: Form, function: Function) -> Form | None:
    """Return ``z (k sigmoid(a z) + b)`` as ``(k + b) gated(z)``."""
    if gate is None or gate.weight is not None or gate.columns is not None:
        return None
    step = gate.step
    if not isinstance(step, Activated) or step.activation != _SIGMOID or form.width is None:
        return None
    z = _resolved_or_none(form, function)
    steepness = None if z is None else _steepness(step.of, z)
    if z is None or steepness is None:
        return None
    k = np.broadcast_to(1.0 if gate.scale is None else gate.scale, form.width)
    b = np.broadcast_to(0.0 if gate.shift is None else gate.shift, form.width)
    total = k + b
    if not np.isfinite(total).all() or (total == 0).any():
        return None
    # 1 - b is rounded where the model computes it: then the sum of both is 1 as it is meant.
    total = np.where(np.abs(total - 1) <= FLOAT32_TOLERANCE, 1.0, total)
    activation = Activation("gated", alpha=_one_or_each(steepness), beta=_one_or_each(b / total))
    return z.layer(activation).scaled(total, 0.0)


def _steepness(inner: Form, z: Form) -> Array | None:
    """Return a where `inner` is ``a z``, None where it is something else."""
    width = z.width or 0
    if inner is z:
        return np.ones(width)
    base, scale, shift = inner.scaled_of or (None, 1.0, 0.0)
    return np.broadcast_to(scale, width) if base is z and not np.any(shift) else None


def _one_or_each(values: Array) -> float | Array:
    first = float(values.flat[0])
    return first if (values == first).all() else np.array(values, np.float64)
