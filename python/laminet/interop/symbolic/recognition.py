"""Which activation a function of one number is: one pattern for each, in the normal form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from laminet.core.activation import Activation
from laminet.interop.symbolic.functions import (
    FLOAT32_TOLERANCE,
    Apply,
    Function,
    Poly,
    Product,
    Scaled,
    applies,
    near,
)
from laminet.interop.symbolic.functions import line as line_of

__all__ = ["Recognized", "recognized"]


@dataclass(frozen=True)
class Recognized:
    """``p s(k t + m) + q``."""

    k: float
    m: float
    activation: Activation
    p: float
    q: float


def recognized(f: Function, tolerance: float) -> Recognized | None:
    """Return the activation that a function is, or None.

    Parameters
    ----------
    f : Function
        What a model computes from one number.
    tolerance : float
        How far, relatively, constants such as ``1 / sqrt(2)`` may be from the exact ones: models
        hold them rounded.

    Returns
    -------
    Recognized or None
    """
    outer = f if isinstance(f, Scaled) else Scaled(f, 1.0, 0.0)
    core = outer.function
    if isinstance(core, Poly):
        if len(core.coefficients) > 2:
            return None
        k, m = line_of(core)
        return Recognized(k, m, Activation("identity"), 1.0, 0.0)
    found = _of_product(core, tolerance) if isinstance(core, Product) else _of_apply(core)
    if found is None:
        return None
    p, q = outer.k * found.p, outer.k * found.q + outer.m
    if isinstance(core, Product) and abs(p - 1) <= min(tolerance, FLOAT32_TOLERANCE):
        p = 1.0  # a sixth times six: the weights of the next layer keep their bits
    return Recognized(found.k, found.m, found.activation, p, q)


def _of_apply(f: Function) -> Recognized | None:
    """Recognise a function of a line: an activation or a clip; every clip is one."""
    if not isinstance(f, Apply) or not isinstance(f.argument, Poly):
        return None
    if len(f.argument.coefficients) > 2:
        return None
    k, m = line_of(f.argument)
    if isinstance(f.function, Activation):
        return Recognized(k, m, f.function, 1.0, 0.0)
    if f.function != "clip":
        return None
    low, high = f.bounds
    if math.isinf(high):  # max(u, low) = relu(u - low) + low
        return Recognized(k, m - low, Activation("relu"), 1.0, low)
    if math.isinf(low):  # min(u, high) = high - relu(high - u)
        return Recognized(-k, high - m, Activation("relu"), -1.0, high)
    if (low, high) == (0.0, 6.0):
        return Recognized(k, m, Activation("relu6"), 1.0, 0.0)
    width = high - low  # clip(u) = width clip((u - low) / width, 0, 1) + low
    name = Activation("hard_sigmoid", alpha=1 / width, beta=(0.0 - low) / width)
    return Recognized(k, m, name, width, low)


def _of_product(f: Product, tolerance: float) -> Recognized | None:
    """Recognise ``u g(u)``: a line times a function of the same line, up to a factor."""
    lines = [g for g in f.factors if isinstance(g, Poly) and len(g.coefficients) == 2]
    others = [g for g in f.factors if not (isinstance(g, Poly) and len(g.coefficients) == 2)]
    if len(lines) != 1 or len(others) != 1:
        return None
    (line,), (other,) = lines, others
    of_parameters = _gated(other, line, tolerance)
    if of_parameters is not None:
        return of_parameters
    for gate in (_gate_of_sigmoid, _gate_of_line, _gate_of_clip):
        found = gate(other, line, tolerance)
        if found is None:
            continue
        k, m, activation, p = found
        # The gate says what u is; the line before it must be r u.
        line_k, line_m = line_of(line)
        if k == 0:
            return None
        r = line_k / k
        if not near(line_m, r * m, tolerance):
            return None
        return Recognized(k, m, activation, p * r, 0.0)
    return None


def _gated(other: Function, line: Poly, tolerance: float) -> Recognized | None:
    """Recognise ``u (k sigmoid(a u) + b)`` with a b that is not 0: a gate that never shuts."""
    if not isinstance(other, Scaled) or other.m == 0 or other.k + other.m == 0:
        return None
    f = other.function
    if not isinstance(f, Apply) or f.function != Activation("sigmoid") or not _is_line(f.argument):
        return None
    (k, m), (line_k, line_m) = line_of(f.argument), line_of(line)
    steepness = k / line_k
    if not near(m, steepness * line_m, tolerance):
        return None
    total = other.k + other.m
    total = 1.0 if near(total, 1.0, tolerance) else total
    gate = Activation("gated", alpha=steepness, beta=other.m / total)
    return Recognized(line_k, line_m, gate, total, 0.0)


_Gate: TypeAlias = tuple[float, float, Activation, float] | None
_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


def _gate_of_line(other: Function, line: Poly, tolerance: float) -> _Gate:
    """Recognise the gates of silu, gelu, mish and softsign; return u and p."""
    gate = other if isinstance(other, Scaled) else Scaled(other, 1.0, 0.0)
    f = gate.function
    if not isinstance(f, Apply):
        return None
    argument = f.argument
    if f.function == Activation("sigmoid") and gate.m == 0 and _is_line(argument):
        return (*line_of(argument), Activation("silu"), gate.k)
    if f.function == "erf" and _is_line(argument) and near(gate.k, gate.m, tolerance):
        # u (1 + erf(u / sqrt 2)) = 2 gelu(u)
        k, m = line_of(argument)
        k, m = _snapped(k / _SQRT_HALF, m / _SQRT_HALF, line, tolerance)
        return k, m, Activation("gelu"), 2 * gate.k
    inner = argument.argument if isinstance(argument, Apply) else argument
    softplus = isinstance(argument, Apply) and argument.function == Activation("softplus")
    if f.function == Activation("tanh") and gate.m == 0 and softplus and _is_line(inner):
        return (*line_of(inner), Activation("mish"), gate.k)
    if f.function == "reciprocal" and isinstance(argument, Scaled) and argument.k == argument.m:
        # u / (1 + |u|), where |u| = k |t| of any line
        size = argument.function
        if applies(size, "abs") and isinstance(size, Apply) and _is_line(size.argument):
            return (*line_of(size.argument), Activation("softsign"), gate.k / argument.k)
    return None


def _gate_of_sigmoid(other: Function, line: Poly, tolerance: float) -> _Gate:
    """Recognise gelu_tanh.

    Its gate is ``1 + tanh(v)`` or ``2 sigmoid(2 v)``, where v = sqrt(2/pi) (u + 0.044715 u^3).
    """
    gate = other if isinstance(other, Scaled) else Scaled(other, 1.0, 0.0)
    f = gate.function
    if not isinstance(f, Apply) or not isinstance(f.argument, Poly):
        return None
    if len(f.argument.coefficients) != 4:
        return None
    if f.function == Activation("tanh") and near(gate.k, gate.m, tolerance):
        factor, p = 1.0, 2 * gate.k
    elif f.function == Activation("sigmoid") and gate.m == 0:
        factor, p = 2.0, gate.k
    else:
        return None
    # Of the line u = k t, without a shift: exporters apply it to a value as it is.
    zero, first, second, third = f.argument.coefficients
    if zero != 0 or second != 0 or line.coefficients[0] != 0:
        return None
    k, _ = _snapped(first / (factor * _SQRT_2_OVER_PI), 0.0, line, tolerance)
    if not near(third, factor * _SQRT_2_OVER_PI * 0.044715 * k**3, 3 * tolerance):
        return None
    return k, 0.0, Activation("gelu_tanh"), p


def _gate_of_clip(other: Function, line: Poly, tolerance: float) -> _Gate:
    """Recognise hard_swish: ``u clip(u / 6 + 1/2, 0, 1)``, or the clip as a hard_sigmoid."""
    gate = other if isinstance(other, Scaled) else Scaled(other, 1.0, 0.0)
    f = gate.function
    if not isinstance(f, Apply) or gate.m != 0 or not _is_line(f.argument):
        return None
    k, m = line_of(f.argument)
    p = gate.k
    if isinstance(f.function, Activation) and f.function.name == "hard_sigmoid":
        alpha, beta = f.function.alpha or 0.0, f.function.beta or 0.0
        k, m = 6 * alpha * k, 6 * (alpha * m + beta) - 3
    elif f.function == Activation("relu6"):
        k, m, p = k, m - 3, 6 * p
    elif f.function == "clip" and f.bounds[0] == 0 and math.isfinite(f.bounds[1]):
        high = f.bounds[1]
        k, m, p = 6 * k / high, 6 * m / high - 3, high * p
    else:
        return None
    k, m = _snapped(k, m, line, tolerance)
    return k, m, Activation("hard_swish"), p


def _is_line(f: Function) -> bool:
    return isinstance(f, Poly) and len(f.coefficients) == 2


def _snapped(k: float, m: float, line: Poly, tolerance: float) -> tuple[float, float]:
    """Return k and m of u, or those of the line beside it where they differ by rounding only."""
    line_k, line_m = line_of(line)
    # The line may hold a power of two that belongs to p, as in (0.5 t) (1 + erf(t / sqrt 2)).
    factor = 2.0 ** round(math.log2(abs(line_k / k))) if k * line_k else 1.0
    line_k, line_m = line_k / factor, line_m / factor
    if near(k, line_k, tolerance) and abs(m - line_m) <= tolerance * max(abs(line_m), 3.0):
        return line_k, line_m
    return k, m
