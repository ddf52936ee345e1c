"""A form with a function of each feature: which activation that is, as a form."""

from __future__ import annotations

import numpy as np

from laminet.core.activation import Activation
from laminet.interop.symbolic import functions
from laminet.interop.symbolic.forms import Averaged, Form
from laminet.interop.symbolic.functions import Apply, Function, Scaled
from laminet.interop.symbolic.recognition import recognized

__all__ = ["resolved"]

# Clips that activations are: relu6 and hard_sigmoid.
_ACTIVATIONS = ((0.0, 6.0), (0.0, 1.0))


def resolved(form: Form, function: Function) -> Form:
    """Return a function of each feature of a form; one form, however often it is asked for.

    Raises
    ------
    ValueError
        If it is none of the activations.
    """
    return form.kept(function, lambda: _resolved(_settled(form), function))


def _resolved(form: Form, function: Function) -> Form:
    scaled = function if isinstance(function, Scaled) else Scaled(function, 1.0, 0.0)
    outer = scaled.function
    if isinstance(outer, Apply) and outer.function == "clip" and outer.bounds not in _ACTIVATIONS:
        return resolved(form, outer.argument).clipped(*outer.bounds).scaled(scaled.k, scaled.m)
    found = recognized(function, form.source.reading.tolerance)
    if found is not None:
        return form.scaled(found.k, found.m).activated(found.activation).scaled(found.p, found.q)
    if isinstance(outer, Apply) and (
        isinstance(outer.function, Activation) or outer.function == "clip"
    ):
        # An activation of an activation: two layers.
        inner = resolved(form, outer.argument)
        again = Apply(outer.function, functions.variable(), outer.bounds)
        return resolved(inner, functions.scaled(again, scaled.k, scaled.m))
    text = functions.text(function)
    raise ValueError(f"is given {text}, which is no activation that laminet has")


def _settled(form: Form) -> Form:
    """Return a mean over features as the matrix that it is; any other form as it stands.

    A form of a mean is nothing but the mean, once or several times: all else is made of this.
    """
    step = form.step
    if not isinstance(step, Averaged):
        return form
    of = resolved(step.of, step.function)
    mean = of.linear(np.full((1, of.width or 0), 1 / (of.width or 1)))
    return mean if form.columns is None else mean.selected(form.columns)
