"""Functions of one number, as models spell them out; `recognition` says which activation each is.

Exporters write ``gelu`` as ``x * (1 + erf(x / sqrt(2))) * 0.5``, ``silu`` as ``x * sigmoid(x)``
and so on, in every order. A `Function` is such an expression in one variable, kept in a normal form
(numbers are pulled outwards, polynomials are multiplied out), so that `recognition` needs one
pattern for each activation, not one for each order.

What is recognised is ``p s(k t + m) + q``: k and m belong to the layer before, p and q to the one
after, so that ``x * sigmoid(1.702 * x)`` is a silu too, by exact algebra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from laminet.core.activation import Activation

__all__ = [
    "FLOAT32_TOLERANCE",
    "Apply",
    "Function",
    "Poly",
    "Product",
    "Scaled",
    "add",
    "applies",
    "apply",
    "clip",
    "contains",
    "depth",
    "in_terms_of",
    "line",
    "maximum",
    "multiply",
    "near",
    "power",
    "reciprocal",
    "scaled",
    "text",
    "variable",
    "where_greater",
]

#: Four roundings of a constant in float32: how exactly models hold ``1 / sqrt(2)`` and its like.
FLOAT32_TOLERANCE = 4 * 2.0**-24

_HIGHEST_DEGREE = 6  # gelu_tanh has 3; the limit is for those who square a square of a square


def _check_finite(*numbers: float) -> None:
    """Refuse what is infinite or NaN: numbers that are multiplied out may become so."""
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number that scales or shifts features is too large for float64")


@dataclass(frozen=True)
class Poly:
    """``c[0] + c[1] t + c[2] t**2 + ...``; a number has one coefficient."""

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_finite(*self.coefficients)


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

    def __post_init__(self) -> None:
        _check_finite(self.k, self.m)


Function: TypeAlias = Poly | Apply | Product | Scaled

_ELEMENTARY = ("erf", "exp", "log", "abs", "clip", "reciprocal", "sqrt")


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
    if isinstance(f, Scaled) and f.k == f.m and applies(f.function, "exp"):
        assert isinstance(f.function, Apply)
        sigmoid = Apply(Activation("sigmoid"), scaled(f.function.argument, -1, 0))
        return scaled(sigmoid, 1 / f.k, 0)
    if isinstance(f, Scaled) and f.m == 0:
        return scaled(reciprocal(f.function), 1 / f.k, 0)
    if applies(f, "reciprocal"):
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
    u, below = upper.argument, lower.argument
    negative = Apply("clip", u, (-math.inf, 0.0))
    minus = scaled(Apply("abs", u), -1.0, 0.0)
    softplus = lower.function == Activation("softplus") and below == minus
    if upper == negative and softplus and g.k == -f.k:  # k (min(u, 0) - softplus(-|u|))
        return scaled(Apply(Activation("softplus"), scaled(u, -1.0, 0.0)), g.k, f.m + g.m)
    if upper.function != Activation("relu"):
        return None
    if lower == negative:  # k relu(u) + l min(u, 0)
        leaky = Apply(Activation("leaky_relu", alpha=g.k / f.k), u)
        return scaled(leaky, f.k, f.m + g.m)
    if lower.function == "exp" and below == negative:  # k relu(u) + l exp(min(u, 0)) - l + ...
        elu = Apply(Activation("elu", alpha=g.k / f.k), u)
        return scaled(elu, f.k, f.m + g.m + g.k)
    if softplus and f.k == g.k:
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
    inner = _bounds(f)
    if inner is not None and isinstance(f, Apply):  # one clip after another
        lower, upper = (min(max(bound, low), high) for bound in inner)
        if lower < upper:  # else all that is left is a number, by two layers
            return clip(f.argument, lower, upper)
    if (low, high) == (0.0, math.inf):
        return Apply(Activation("relu"), f)
    return Apply("clip", f, (low, high))


def _bounds(f: Function) -> tuple[float, float] | None:
    """Return between which numbers a function clips its argument; None if it is no clip."""
    if not isinstance(f, Apply):
        return None
    if f.function == "clip":
        return f.bounds
    return (0.0, math.inf) if f.function == Activation("relu") else None


def in_terms_of(f: Function, inner: Function) -> Function:
    """Return f as a function of `inner`, which it is a function of: ``inner`` becomes t."""
    if f == inner:
        return variable()
    if isinstance(f, Scaled):
        return scaled(in_terms_of(f.function, inner), f.k, f.m)
    if isinstance(f, Product):
        return Product(tuple(in_terms_of(factor, inner) for factor in f.factors))
    if isinstance(f, Apply):
        return Apply(f.function, in_terms_of(f.argument, inner), f.bounds)
    if len(f.coefficients) == 1:
        return f
    raise ValueError(f"{text(f)} is no function of {text(inner)}")


def contains(f: Function, inner: Function) -> bool:
    """Whether f is a function of `inner`, which is nowhere cut apart in it."""
    if f == inner:
        return True
    if isinstance(f, Poly):
        return len(f.coefficients) == 1
    if isinstance(f, Product):
        return all(contains(factor, inner) for factor in f.factors)
    return contains(f.function if isinstance(f, Scaled) else f.argument, inner)


def where_greater(u: Function, bound: float, f: Function, g: Function) -> Function | None:
    """Return ``f where u > bound, else g`` if that is one of the forms here; None for else."""
    zero = Poly((0.0,))
    if bound == 0 and isinstance(u, Poly) and isinstance(f, Poly) and len(f.coefficients) == 2:
        k, m = line(f)
        u_k, u_m = line(u) if len(u.coefficients) == 2 else (0.0, 0.0)
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
    return equal_length and all(near(a, b, FLOAT32_TOLERANCE) for a, b in pairs)


def maximum(f: Function, g: Function) -> Function | None:
    """Return ``max(f, g)`` of a function and a number, or of two lines through 0; None for else."""
    if isinstance(f, Poly) and len(f.coefficients) == 1:
        f, g = g, f
    if isinstance(g, Poly) and len(g.coefficients) == 1:
        return clip(f, g.coefficients[0], math.inf)
    if not (isinstance(f, Poly) and isinstance(g, Poly)):
        return None
    lines = sorted(line(h) for h in (f, g) if len(h.coefficients) == 2)
    if len(lines) != 2 or lines[0][1] != 0 or lines[1][1] != 0 or lines[1][0] <= 0:
        return None
    (low, _), (high, _) = lines  # slopes: high for positive t, low for negative t
    return scaled(apply(Activation("leaky_relu", alpha=low / high), variable()), high, 0)


def applies(f: Function, name: str) -> bool:
    """Whether f is that elementary function of something."""
    return isinstance(f, Apply) and f.function == name


def line(f: Function) -> tuple[float, float]:
    """Return k and m of ``k t + m``; the caller has looked that it is one."""
    assert isinstance(f, Poly)
    m, k = (*f.coefficients, 0.0)[:2]
    return k, m


def near(a: float, b: float, tolerance: float) -> bool:
    """Whether a is b, up to a relative tolerance."""
    return abs(a - b) <= tolerance * abs(b)


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
