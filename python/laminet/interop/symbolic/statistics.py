"""Statistics of each sample, and the normalisations that models spell out by them.

A layer normalisation is ``d / sqrt(mean(d ** 2) + eps)`` of ``d = x - mean(x)``, an RMS
normalisation the same of x itself. Only the mean is a matrix; what else is made of a mean and is
none of these has no place in a network.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, cast

from laminet.interop.symbolic import functions
from laminet.interop.symbolic.exact import Array
from laminet.interop.symbolic.forms import Averaged, Centred, Form, Normalised, Summed
from laminet.interop.symbolic.functions import Apply, Function, Poly, Scaled
from laminet.interop.symbolic.resolving import resolved

__all__ = ["averaged", "combined", "normalised", "variance"]

_Pair: TypeAlias = tuple[Form, Function]


def normalised(
    form: Form, kind: str, eps: float, weight: Array | None = None, bias: Array | None = None
) -> Form:
    """Return a normalisation of each sample, ``layer`` or ``rms``."""
    if form.width is None:
        raise ValueError("normalises an unknown number of features")
    for array in (weight, bias):
        if array is not None and array.shape != (form.width,):
            raise ValueError(f"an array of shape {array.shape} does not fit {form.width} features")
    if not 0 <= eps < math.inf:
        raise ValueError(f"has an epsilon of {eps:g}")
    name = cast(Literal["layer", "rms"], kind)
    shift = bias if kind == "layer" else None
    result = form.over(Normalised(form, name, eps, weight, shift), form.width)
    return result if shift is bias or bias is None else result.scaled(1.0, bias)


def averaged(form: Form, function: Function) -> Form:
    """Return the mean of a function of each sample's features: one feature."""
    return form.over(Averaged(form, function), 1)


def variance(form: Form, function: Function, correction: float) -> _Pair:
    """Return the variance of each sample's features: a form and the function of it."""
    of = resolved(form, function)
    width = of.width or 1
    if correction >= width:
        raise ValueError(f"is the variance of {width} numbers, divided by {width - correction:g}")
    centred = of.centred()
    mean = centred.over(Averaged(centred, Poly((0.0, 0.0, 1.0))), 1)
    return mean, Poly((0.0, width / (width - correction)))


def combined(a: _Pair, b: _Pair, operation: str) -> Form | None:
    """Return two values combined where one is a statistic of the other; None for others."""
    for (form, function), other in ((a, b), (b, a)):
        statistic = _statistic(other[0], form.width)
        if statistic is None:
            continue
        if operation == "add":
            return _centred(form, function, statistic, other[1])
        if operation == "multiply" or (operation == "divide" and other is b):
            return _divided(form, function, statistic, other[1], operation == "divide")
    return None


def _statistic(form: Form, width: int | None) -> Averaged | None:
    """Return the mean that a form is, as often as there are features; None for other forms."""
    step = form.step
    return step if isinstance(step, Averaged) and form.width == width else None


def _centred(form: Form, function: Function, mean: Averaged, of_mean: Function) -> Form | None:
    """Return ``k x - k mean(x)``, or a sum with such an x among its parts."""
    if not isinstance(of_mean, Poly) or len(of_mean.coefficients) != 2 or of_mean.coefficients[0]:
        return None
    k = -of_mean.coefficients[1]
    if form is mean.of:
        if functions.scaled(mean.function, k, 0.0) != function:
            return None
        return resolved(form, mean.function).centred().scaled(k, 0.0)
    if k != 1 or not isinstance(form.step, Summed) or not form.plain:
        return None
    if function != functions.variable():
        return None
    part = resolved(mean.of, mean.function)
    parts = [p.centred() if p is part else p for p in form.step.parts]
    if not any(p is part for p in form.step.parts):
        return None
    return form.over(Summed(tuple(parts)), form.width)


def _divided(
    form: Form, function: Function, mean: Averaged, of_mean: Function, divides: bool
) -> Form | None:
    """Return ``x / sqrt(k mean(x ** 2) + m)``."""
    if mean.of is not form or functions.power(function, 2) != mean.function:
        return None
    found = of_mean if divides else functions.reciprocal(of_mean)
    factor = 1.0
    if isinstance(found, Scaled) and found.m == 0:  # c sqrt(...)
        factor, found = found.k, found.function
    if not isinstance(found, Apply) or found.function != "sqrt":
        return None
    inside = found.argument
    if not isinstance(inside, Poly) or len(inside.coefficients) != 2:
        return None
    m, k = inside.coefficients
    if k <= 0 or m < 0:
        return None
    x = resolved(form, function)
    if isinstance(x.step, Centred) and x.plain:
        result = normalised(x.step.of, "layer", m / k)
    else:
        result = normalised(x, "rms", m / k)
    return result.scaled(1 / (factor * math.sqrt(k)), 0.0)
