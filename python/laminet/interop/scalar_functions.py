"""Functions of one number, as models spell them out, and which activation each of them is.

Exporters write ``gelu`` as ``x * (1 + erf(x / sqrt(2))) * 0.5``, ``silu`` as ``x * sigmoid(x)``
and so on, in every order. A `Function` is such an expression in one variable, kept in a normal form
(numbers are pulled outwards, polynomials are multiplied out), so that `recognized` needs one
pattern for each activation, not one for each order.

What is recognised is ``p s(k t + m) + q``: k and m belong to the layer before, p and q to the one
after, so that ``x * sigmoid(1.702 * x)`` is a silu too, by exact algebra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from laminet.activation import Activation

__all__ = [
    "Apply",
    "Function",
    "Poly",
    "Product",
    "Recognized",
    "Scaled",
    "add",
    "apply",
    "clip",
    "depth",
    "maximum",
    "multiply",
    "power",
    "reciprocal",
    "recognized",
    "scaled",
    "text",
    "variable",
    "where_greater",
]

#: Four roundings of a constant in float32.
_FLOAT32_TOLERANCE = 4 * 2.0**-24

_HIGHEST_DEGREE = 6  # gelu_tanh has 3; the limit is for those who square a square of a square


@dataclass(frozen=True)
class Poly:
    """``c[0] + c[1] t + c[2] t**2 + ...``; a number has one coefficient."""

    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Apply:
    """A named function of an argument: one of `_ELEMENTARY`, or an activation."""

    function: str | Activation
    argument: Function
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of "clip"


@dataclass(frozen=True)
class Product:
    """A product of two or more functions, in no order; none of them `Scaled` with m = 0."""

    factors: tuple[Function, ...]


@dataclass(frozen=True)
class Scaled:
    """``k f + m``, where f is an `Apply` or a `Product`."""

    function: Function
    k: float
    m: float


Function: TypeAlias = Poly | Apply | Product | Scaled

_ELEMENTARY = ("erf", "exp", "log", "abs", "clip", "reciprocal")


@dataclass(frozen=True)
class Recognized:
    """``p s(k t + m) + q``."""

    k: float
    m: float
    activation: Activation
    p: float
    q: float


# --- Building ---------------------------------------------------------------------------------


def variable() -> Function:
    """Return the variable t."""
    return Poly((0.0, 1.0))


def scaled(f: Function, k: float, m: float) -> Function:
    """Return ``k f + m``."""
    if isinstance(f, Poly):
        low, *rest = (k * c for c in f.coefficients)
        return _poly([low + m, *rest])
    if isinstance(f, Scaled):
        return scaled(f.function, k * f.k, k * f.m + m)
    return f if (k, m) == (1, 0) else Scaled(f, k, m)


def _poly(coefficients: list[float]) -> Poly:
    while len(coefficients) > 1 and coefficients[-1] == 0:
        coefficients.pop()
    return Poly(tuple(coefficients))


def multiply(f: Function, g: Function) -> Function | None:
    """Return ``f g``; None where that is too much."""
    if isinstance(f, Poly) and isinstance(g, Poly):
        product = [0.0] * (len(f.coefficients) + len(g.coefficients) - 1)
        if len(product) > _HIGHEST_DEGREE + 1:
            return None
        for i, a in enumerate(f.coefficients):
            for j, b in enumerate(g.coefficients):
                product[i + j] += a * b
        return _poly(product)
    scale = 1.0
    factors: list[Function] = []
    for given in (f, g):
        factor = given
        if isinstance(factor, Scaled) and factor.m == 0:
            scale *= factor.k
            factor = factor.function
        if isinstance(factor, Poly) and len(factor.coefficients) == 1:
            scale *= factor.coefficients[0]
        else:
            factors += factor.factors if isinstance(factor, Product) else [factor]
    if len(factors) > 4:
        return None
    return scaled(factors[0] if len(factors) == 1 else Product(tuple(factors)), scale, 0.0)


def power(f: Function, exponent: float) -> Function | None:
    """Return ``f ** exponent`` for an exponent of 1, 2, 3 or -1; None for others."""
    if exponent == -1:
        return reciprocal(f)
    if exponent not in (1, 2, 3):
        return None
    result: Function | None = f
    for _ in range(int(exponent) - 1):
        result = result and multiply(result, f)
    return result


def reciprocal(f: Function) -> Function:
    """Return ``1 / f``."""
    # 1 / (k exp(u) + k) = sigmoid(-u) / k
    if isinstance(f, Scaled) and f.k == f.m and _is(f.function, "exp"):
        assert isinstance(f.function, Apply)
        sigmoid = Apply(Activation("sigmoid"), scaled(f.function.argument, -1, 0))
        return scaled(sigmoid, 1 / f.k, 0)
    if isinstance(f, Scaled) and f.m == 0:
        return scaled(reciprocal(f.function), 1 / f.k, 0)
    if _is(f, "reciprocal"):
        assert isinstance(f, Apply)
        return f.argument
    return Apply("reciprocal", f)


def add(f: Function, g: Function) -> Function | None:
    """Return ``f + g`` where that is of the forms here; None where not."""
    if isinstance(f, Poly) and isinstance(g, Poly):
        longer = max(len(f.coefficients), len(g.coefficients))
        padded = [(*h.coefficients, *[0.0] * (longer - len(h.coefficients))) for h in (f, g)]
        return _poly([a + b for a, b in zip(*padded, strict=True)])
    if isinstance(g, Poly):
        f, g = g, f
    if isinstance(f, Poly) and len(f.coefficients) == 1:
        return scaled(g, 1, f.coefficients[0])
    f_scaled = f if isinstance(f, Scaled) else Scaled(f, 1, 0)
    g_scaled = g if isinstance(g, Scaled) else Scaled(g, 1, 0)
    if f_scaled.function == g_scaled.function:
        return scaled(f_scaled.function, f_scaled.k + g_scaled.k, f_scaled.m + g_scaled.m)
    return _of_halves(f_scaled, g_scaled) or _of_halves(g_scaled, f_scaled)


def _of_halves(f: Scaled, g: Scaled) -> Function | None:
    """Return a function that is spelled out as k relu(u) plus something for negative u."""
    upper, lower = f.function, g.function
    if not (isinstance(upper, Apply) and isinstance(lower, Apply)) or f.k == 0:
        return None
    if upper.function != Activation("relu"):
        return None
    u, below = upper.argument, lower.argument
    negative = Apply("clip", u, (-math.inf, 0.0))
    if lower == negative:  # k relu(u) + l min(u, 0)
        leaky = Apply(Activation("leaky_relu", alpha=g.k / f.k), u)
        return scaled(leaky, f.k, f.m + g.m)
    if lower.function == "exp" and below == negative:  # k relu(u) + l exp(min(u, 0)) - l + ...
        elu = Apply(Activation("elu", alpha=g.k / f.k), u)
        return scaled(elu, f.k, f.m + g.m + g.k)
    size = scaled(Apply("abs", u), -1.0, 0.0)
    if lower.function == Activation("softplus") and below == size and f.k == g.k:
        return scaled(Apply(Activation("softplus"), u), f.k, f.m + g.m)
    return None


def apply(function: str | Activation, f: Function) -> Function:
    """Return a named function or an activation of f."""
    # log(1 + exp(u)) = softplus(u)
    if function == "log" and isinstance(f, Scaled) and (f.k, f.m) == (1, 1):
        inner = f.function
        if isinstance(inner, Apply) and inner.function == "exp":
            return Apply(Activation("softplus"), inner.argument)
    # log(sigmoid(u)) = -softplus(-u)
    if function == "log" and isinstance(f, Apply) and f.function == Activation("sigmoid"):
        return scaled(Apply(Activation("softplus"), scaled(f.argument, -1, 0)), -1, 0)
    if isinstance(function, Activation) and function.name == "identity":
        return f
    return Apply(function, f)


def clip(f: Function, low: float, high: float) -> Function | None:
    """Return ``min(max(f, low), high)``; None where low is not below high."""
    if not low < high:
        return None
    if (low, high) == (-math.inf, math.inf):
        return f
    if (low, high) == (0.0, math.inf):
        return Apply(Activation("relu"), f)
    return Apply("clip", f, (low, high))


def where_greater(u: Function, bound: float, f: Function, g: Function) -> Function | None:
    """Return ``f where u > bound, else g`` if that is one of the forms here; None for else."""
    zero = Poly((0.0,))
    if bound == 0 and isinstance(u, Poly) and isinstance(f, Poly) and len(f.coefficients) == 2:
        k, m = _line(f)
        u_k, u_m = _line(u) if len(u.coefficients) == 2 else (0.0, 0.0)
        if u_k <= 0 or u_m != 0 or m != 0 or k == 0:
            return None
        t = variable()
        if g == zero:
            return scaled(apply(Activation("relu"), t), k, 0)
        if isinstance(g, Poly) and len(g.coefficients) == 2 and g.coefficients[0] == 0:
            slope = g.coefficients[1] / k
            return scaled(Apply(Activation("leaky_relu", alpha=slope), t), k, 0)
        if isinstance(g, Scaled) and g.m == -g.k and g.function == Apply("exp", t):
            return scaled(Apply(Activation("elu", alpha=g.k / k), t), k, 0)
        return None
    # As PyTorch computes it: x itself where softplus(u) rounds to u.
    g_scaled = g if isinstance(g, Scaled) else Scaled(g, 1.0, 0.0)
    softplus = g_scaled.function == Apply(Activation("softplus"), u) and g_scaled.m == 0
    if softplus and bound >= 20 and _same_line(f, scaled(u, g_scaled.k, 0)):
        return g
    return None


def _same_line(f: Function, g: Function) -> bool:
    if not (isinstance(f, Poly) and isinstance(g, Poly)):
        return False
    pairs = zip(f.coefficients, g.coefficients, strict=False)
    equal_length = len(f.coefficients) == len(g.coefficients)
    return equal_length and all(_near(a, b, _FLOAT32_TOLERANCE) for a, b in pairs)


def maximum(f: Function, g: Function) -> Function | None:
    """Return ``max(f, g)`` of a function and a number, or of two lines through 0; None for else."""
    if isinstance(f, Poly) and len(f.coefficients) == 1:
        f, g = g, f
    if isinstance(g, Poly) and len(g.coefficients) == 1:
        return clip(f, g.coefficients[0], math.inf)
    if not (isinstance(f, Poly) and isinstance(g, Poly)):
        return None
    lines = sorted(_line(h) for h in (f, g) if len(h.coefficients) == 2)
    if len(lines) != 2 or lines[0][1] != 0 or lines[1][1] != 0 or lines[1][0] <= 0:
        return None
    (low, _), (high, _) = lines  # slopes: high for positive t, low for negative t
    return scaled(apply(Activation("leaky_relu", alpha=low / high), variable()), high, 0)


def depth(f: Function) -> int:
    """Return how many functions are nested in one another."""
    if isinstance(f, Poly):
        return 0
    if isinstance(f, Scaled):
        return depth(f.function)
    if isinstance(f, Product):
        return 1 + max(map(depth, f.factors))
    return 1 + depth(f.argument)


def text(f: Function) -> str:
    """Return a function as a formula, for messages."""
    if isinstance(f, Poly):
        terms = [
            f"{c:g}" + ("" if i == 0 else " t" if i == 1 else f" t^{i}")
            for i, c in enumerate(f.coefficients)
            if c != 0
        ]
        formula = " + ".join(terms) or "0"
        return {"1 t": "t"}.get(formula, formula)
    if isinstance(f, Scaled):
        factor = "" if f.k == 1 else f"{f.k:g} "
        return f"{factor}{text(f.function)}" + (f" + {f.m:g}" if f.m else "")
    if isinstance(f, Product):
        return " * ".join(f"({text(g)})" for g in f.factors)
    bounds = f", {f.bounds[0]:g}, {f.bounds[1]:g}" if f.function == "clip" else ""
    return f"{f.function}({text(f.argument)}{bounds})"


# --- Recognising ------------------------------------------------------------------------------


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
        k, m = _line(core)
        return Recognized(k, m, Activation("identity"), 1.0, 0.0)
    found = _of_product(core, tolerance) if isinstance(core, Product) else _of_apply(core)
    if found is None:
        return None
    p, q = outer.k * found.p, outer.k * found.q + outer.m
    if isinstance(core, Product) and abs(p - 1) <= min(tolerance, _FLOAT32_TOLERANCE):
        p = 1.0  # a sixth times six: the weights of the next layer keep their bits
    return Recognized(found.k, found.m, found.activation, p, q)


def _is(f: Function, name: str) -> bool:
    return isinstance(f, Apply) and f.function == name


def _line(f: Function) -> tuple[float, float]:
    """Return k and m of ``k t + m``, for which the caller has looked."""
    assert isinstance(f, Poly)
    m, k = (*f.coefficients, 0.0)[:2]
    return k, m


def _of_apply(f: Function) -> Recognized | None:
    """Recognise a function of a line: an activation or a clip; every clip is one."""
    if not isinstance(f, Apply) or not isinstance(f.argument, Poly):
        return None
    if len(f.argument.coefficients) > 2:
        return None
    k, m = _line(f.argument)
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
    for gate in (_gate_of_sigmoid, _gate_of_line, _gate_of_clip):
        found = gate(other, line, tolerance)
        if found is None:
            continue
        k, m, activation, p = found
        # The gate says what u is; the line before it must be r u.
        line_k, line_m = _line(line)
        if k == 0:
            return None
        r = line_k / k
        if not _near(line_m, r * m, tolerance):
            return None
        return Recognized(k, m, activation, p * r, 0.0)
    return None


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
        return (*_line(argument), Activation("silu"), gate.k)
    if f.function == "erf" and _is_line(argument) and _near(gate.k, gate.m, tolerance):
        # u (1 + erf(u / sqrt 2)) = 2 gelu(u)
        k, m = _line(argument)
        k, m = _snapped(k / _SQRT_HALF, m / _SQRT_HALF, line, tolerance)
        return k, m, Activation("gelu"), 2 * gate.k
    inner = argument.argument if isinstance(argument, Apply) else argument
    softplus = isinstance(argument, Apply) and argument.function == Activation("softplus")
    if f.function == Activation("tanh") and gate.m == 0 and softplus and _is_line(inner):
        return (*_line(inner), Activation("mish"), gate.k)
    if f.function == "reciprocal" and isinstance(argument, Scaled) and argument.k == argument.m:
        # u / (1 + |u|), where |u| = k |t| of any line
        size = argument.function
        if _is(size, "abs") and isinstance(size, Apply) and _is_line(size.argument):
            return (*_line(size.argument), Activation("softsign"), gate.k / argument.k)
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
    if f.function == Activation("tanh") and _near(gate.k, gate.m, tolerance):
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
    if not _near(third, factor * _SQRT_2_OVER_PI * 0.044715 * k**3, 3 * tolerance):
        return None
    return k, 0.0, Activation("gelu_tanh"), p


def _gate_of_clip(other: Function, line: Poly, tolerance: float) -> _Gate:
    """Recognise hard_swish: ``u clip(u / 6 + 1/2, 0, 1)``, or the clip as a hard_sigmoid."""
    gate = other if isinstance(other, Scaled) else Scaled(other, 1.0, 0.0)
    f = gate.function
    if not isinstance(f, Apply) or gate.m != 0 or not _is_line(f.argument):
        return None
    k, m = _line(f.argument)
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
    line_k, line_m = _line(line)
    # The line may hold a power of two that belongs to p, as in (0.5 t) (1 + erf(t / sqrt 2)).
    factor = 2.0 ** round(math.log2(abs(line_k / k))) if k * line_k else 1.0
    line_k, line_m = line_k / factor, line_m / factor
    if _near(k, line_k, tolerance) and abs(m - line_m) <= tolerance * max(abs(line_m), 3.0):
        return line_k, line_m
    return k, m


def _near(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance * abs(b)
