"""Bounds of `bounds` and `derivative_bounds` for layers of any kind, side by side and summed.

**Values.** As in `bounds`, an error e of what a layer reads becomes one of what it gives; m is the
largest that a number it reads may have been, and all parameters are numbers of the dtype.

- Rescale: ``|s| e + gamma_2 (|s| m + |t|)``; to clip makes no error larger.
- Side by side: each branch's own. A sum of M branches: the sum of their errors, and gamma_{M+1} of
  the sum of their magnitudes, M - 1 additions and a factor that is rounded itself.
- Residual: the same of two. The sum may also be the end of the last product, in any order: then x
  is one more of its K + 2 summands.
- LayerNorm, RMSNorm: y = c / s with c = x - mean(x), or c = x, and s = sqrt(mean(c^2) + eps). An
  error e of x is one of e + mean(e) of c; mean and subtraction, in any order of summation, add
  gamma_{n+4} (m + mean(m)). With e_c their sum, s, a norm of (c / sqrt n, sqrt eps), is off by at
  most the root of the mean of e_c^2; n products, a sum and a root add gamma_{n+4} s. So
  ``|y^ - y| <= (e_c + |y| e_s) / (s - e_s)``; then a product with 1 / s, and weight and bias.

**Derivatives.** Each layer's Jacobian is bounded by three matrices: D of absolute values of the
exact one; F of those with errors added; and A, at least F, of absolute values of all that is summed
where the Jacobian is multiplied with, which for a norm, (I - 1 1^T / n - y y^T / n) / s, is more
than its own absolute values. In series they multiply, side by side they are stacked, of a sum
added; then

    |J^ - J|  <=  P(F) - P(D) + gamma_N P(A)

with N the roundings of all layers together, which no path exceeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from bounds import _activated, _product, gamma, smallest_subnormal, unit_roundoff
from derivative_bounds import slope_factor

import laminet as ln
from laminet import reference
from laminet.reference.heads import apply_head, head_jacobian
from laminet.reference.layers import jacobian, value
from laminet.reference.rounding import EXACT, Rounding, rounding_of

_ROUNDING_OF_THE_BOUND = 1 + 2.0**-30


class At(NamedTuple):
    """A place in a network: what the reference has there, and how far the others may be off."""

    a: np.ndarray
    e: np.ndarray  # of what is computed in the dtype
    e_ref: np.ndarray

    def error(self, dtype) -> np.ndarray:
        return self.e_ref if dtype is np.float64 else self.e

    def most(self, dtype) -> np.ndarray:
        """The largest that a computed number may be."""
        return np.abs(self.a) + self.e_ref + (0 if dtype is np.float64 else self.e)


def _wide(array, otherwise=0.0):
    return np.asarray(otherwise if array is None else array, np.float64)


def start(x: np.ndarray) -> At:
    zero = np.zeros(np.shape(x))
    return At(np.asarray(x, np.float64), zero, zero)


class _Way(NamedTuple):
    """What products do with what they read, and what they are held against."""

    # Round it to bfloat16 (unit roundoff 2^-8), and take as zero what is below 2^-126: factors, and
    # sums after each step.
    rounds: bool = False
    # The reference does, too: what both read is the same unless a number of bfloat16 has its
    # rounding's end between what the two computed.
    with_model: bool = False

    @property
    def rounding(self) -> Rounding:
        return rounding_of("bfloat16") if self.with_model else EXACT


_PLAIN = _Way()
_way: ContextVar[_Way] = ContextVar("_way", default=_PLAIN)


@contextmanager
def _of_way(net: ln.MLP, with_model: bool) -> Iterator[None]:
    rounds = net.precision == "bfloat16"
    token = _way.set(_Way(rounds, rounds and with_model))
    try:
        yield
    finally:
        _way.reset(token)


def _read(at: At) -> At:
    """A place as products read it: the reference reads it as it is, or rounds it, too."""
    way = _way.get()
    if not way.with_model:
        return at._replace(e=at.e + 2.0**-8 * at.most(None) + 2.0**-126) if way.rounds else at
    # Rounding is monotonic, and one number of bfloat16 is read for most intervals.
    read, both = way.rounding.read, at.e + at.e_ref
    spread = read(at.a + both) - read(at.a - both)
    spread_ref = read(at.a + at.e_ref) - read(at.a - at.e_ref)
    return At(read(at.a), spread, spread_ref)


def z_error(layer: ln.Dense, at: At, dtype) -> np.ndarray:
    weight, bias = np.abs(_wide(layer.weight)), np.abs(_wide(layer.bias))
    at = _read(at)
    flushed = weight.shape[1] * 2.0**-126 if _way.get().rounds and dtype != np.float64 else 0.0
    return _product(weight, bias, at.most(dtype), at.error(dtype), dtype) + flushed


class NormParts(NamedTuple):
    y: np.ndarray  # without weight and bias
    s: np.ndarray
    e_y: np.ndarray
    e_s: np.ndarray


def norm_parts(layer, at: At, dtype) -> NormParts:
    n = at.a.shape[-1]
    centre = isinstance(layer, ln.LayerNorm)
    c = at.a - at.a.mean(-1, keepdims=True) if centre else at.a
    s = np.sqrt(np.mean(c**2, -1, keepdims=True) + layer.eps)
    e, m = at.error(dtype), at.most(dtype)
    if centre:
        e = e + e.mean(-1, keepdims=True) + gamma(n + 4, dtype) * (m + m.mean(-1, keepdims=True))
    e_s = np.sqrt(np.mean(e**2, -1, keepdims=True))
    e_s = e_s + gamma(n + 4, dtype) * (s + e_s) + smallest_subnormal(dtype) / s
    y = c / s
    e_y = (e + np.abs(y) * e_s) / np.where(s > e_s, s - e_s, np.nan)
    return NormParts(y, s, e_y + gamma(3, dtype) * (np.abs(y) + e_y), e_s)


def _own_error(layer, at: At, y: np.ndarray, dtype) -> np.ndarray:
    """The error of what a layer without others within gives; y is the reference's."""
    e, m = at.error(dtype), at.most(dtype)
    if isinstance(layer, ln.Dense):
        return _activated(layer.activation, np.abs(y), z_error(layer, at, dtype), dtype)
    if isinstance(layer, ln.Activation):
        return _activated(layer, np.abs(y), e, dtype)
    if isinstance(layer, ln.Rescale):
        s, t = np.abs(_wide(layer.scale)), np.abs(_wide(layer.shift))
        return s * e + gamma(2, dtype) * (s * m + t) + 2 * smallest_subnormal(dtype)
    if isinstance(layer, ln.Select):
        return np.take(e, layer.indices(e.shape[-1]), -1)
    if isinstance(layer, ln.Dropout):
        return e
    assert isinstance(layer, (ln.LayerNorm, ln.RMSNorm)), layer
    parts = norm_parts(layer, at, dtype)
    weight = np.abs(_wide(layer.weight, 1.0))
    bias = np.abs(_wide(getattr(layer, "bias", None)))
    error = weight * parts.e_y
    return error + gamma(2, dtype) * (weight * np.abs(parts.y) + error + bias)


def after(layer, at: At, dtype) -> At:
    """Return the place after a layer."""
    if isinstance(layer, ln.Residual):
        return _after_residual(layer, at, dtype)
    if isinstance(layer, ln.Parallel):
        ends = [series(branch, at, dtype)[-1] for branch in layer.branches]
        if layer.join == "concat":
            return At(*(np.concatenate(arrays, -1) for arrays in zip(*ends, strict=True)))
        factor = 1 / len(ends) if layer.join == "mean" else 1.0
        errors = []
        for kind in (dtype, np.float64):
            most = sum(end.most(kind) for end in ends)
            error = sum(end.error(kind) for end in ends)
            errors.append(factor * (error + gamma(len(ends) + 1, kind) * most))
        return At(factor * sum(end.a for end in ends), *errors)
    y = value(layer, at.a, rounding=_way.get().rounding)
    ref = _own_error(layer, at, y, np.float64)
    return At(y, _own_error(layer, at, np.abs(y) + ref, dtype), ref)


def _after_residual(layer: ln.Residual, at: At, dtype) -> At:
    places = series(layer.layers, at, dtype)
    last, before, end = layer.layers[-1], places[-2], places[-1]
    errors = []
    for kind in (dtype, np.float64):
        extra = gamma(1, kind) * (at.most(kind) + end.most(kind))
        if isinstance(last, ln.Dense):
            weight, bias = np.abs(_wide(last.weight)), np.abs(_wide(last.bias))
            extra = extra + gamma(weight.shape[1] + 2, kind) * at.most(kind)
            extra = extra + gamma(1, kind) * (_read(before).most(kind) @ weight.T + bias)
        errors.append(at.error(kind) + end.error(kind) + extra)
    return At(at.a + end.a, *errors)  # as the reference adds, which would go through all again


def series(layers, at: At, dtype) -> list[At]:
    """Return the places before and after layers in series."""
    places = [at]
    for layer in layers:
        places.append(after(layer, places[-1], dtype))
    return places


def value_bound(net: ln.MLP, x: np.ndarray, *, with_model: bool = False) -> np.ndarray:
    """Return the bound of |net(x) - reference.forward(net, x)|.

    Or, with the model of its precision, of ``reference.forward(net, x, precision=net.precision)``.
    """
    with _of_way(net, with_model):
        end = series(net.layers, start(x), net.dtype)[-1]
    if net.head is None:
        return (end.e + end.e_ref) * _ROUNDING_OF_THE_BOUND
    return sum(_head_error(net.head, end, kind) for kind in (net.dtype, np.float64))


def _head_error(head: str, end: At, dtype) -> np.ndarray:
    """An error of the logits changes each probability by a factor of at most exp(2 e).

    The softmax itself rounds like a sum of n exponentials of 2 ULP each, its logarithm like that
    and a logarithm; a - max is one rounding. Whatever the logits, probabilities are 0 to 1.
    """
    n = end.a.shape[-1]
    e = end.error(dtype).max(-1, keepdims=True)
    spread = (end.most(dtype).max(-1, keepdims=True)) * 2 * unit_roundoff(dtype)
    exponent = 2 * (e + spread) + 2 * (n + 8) * unit_roundoff(dtype)
    y = np.abs(apply_head(head, end.a))
    if head == "softmax":
        with np.errstate(over="ignore", invalid="ignore"):
            error = y * np.expm1(exponent) + n * smallest_subnormal(dtype)
        return np.fmin(error, 1 + 2 * (n + 8) * unit_roundoff(dtype))
    return exponent + 8 * unit_roundoff(dtype) * (y + 1)


# --- Derivatives ------------------------------------------------------------------------------


class Three(NamedTuple):
    """D, F and A; gradients as rows, (batch, rows, features), or Jacobians."""

    d: np.ndarray
    f: np.ndarray
    a: np.ndarray

    def over(self, function) -> Three:
        return Three(*map(function, self))

    def __matmul__(self, other: Three) -> Three:
        return Three(*(x @ y for x, y in zip(self, other, strict=True)))

    def plus(self, other: Three) -> Three:
        return Three(*(x + y for x, y in zip(self, other, strict=True)))


def roundings(layers, features: int) -> int:
    """Return how many roundings a number passes through in layers, at most, in either direction."""
    total = 0
    for layer in layers:
        if isinstance(layer, ln.Residual):
            total += roundings(layer.layers, features) + 2
        elif isinstance(layer, ln.Parallel):
            total += sum(roundings(branch, features) for branch in layer.branches)
            total += 2 * len(layer.branches) + 2
        elif isinstance(layer, ln.Dense):
            total += sum(layer.weight.shape) + 3
        else:
            # A norm sums features twice; a selection, the gradients of what was taken twice.
            total += 2 * max(features, layer._gives(features, "", "")) + 8
        features = layer._gives(features, "", "")
    return total


def _slopes(activation, z, e_z, dtype) -> Three:
    factor = slope_factor(activation, z, e_z, dtype)
    return Three(factor.d, factor.f, factor.f)


def _own_jacobian(layer, at: At, dtype) -> Three:
    if isinstance(layer, ln.Dense):
        z = _read(at).a @ _wide(layer.weight).T + _wide(layer.bias)
        slopes = _slopes(layer.activation, z, z_error(layer, at, dtype), dtype)
        return slopes.over(lambda s: s[..., :, None] * np.abs(_wide(layer.weight)))
    if isinstance(layer, ln.Activation):
        slopes = _slopes(layer, at.a, at.error(dtype), dtype)
        return slopes.over(lambda s: s[..., :, None] * np.eye(s.shape[-1]))
    exact = np.abs(jacobian(layer, at.a))
    if isinstance(layer, ln.Rescale):
        # Near a bound either slope is right.
        z = _wide(layer.scale) * at.a + _wide(layer.shift)
        e = _own_error(layer, at, z, dtype)
        near = (np.abs(z - _wide(layer.low, -np.inf)) <= e) | (
            np.abs(z - _wide(layer.high, np.inf)) <= e
        )
        jump = np.where(near, np.abs(_wide(layer.scale)), 0.0)[..., None] * np.eye(z.shape[-1])
        return Three(exact, exact + jump, exact + jump)
    if isinstance(layer, (ln.Select, ln.Dropout)):
        return Three(exact, exact, exact)
    assert isinstance(layer, (ln.LayerNorm, ln.RMSNorm)), layer
    n = at.a.shape[-1]
    y, s, e_y, e_s = norm_parts(layer, at, dtype)
    least = (s - e_s)[..., None]
    weight = np.abs(_wide(layer.weight, 1.0))[..., None]
    mean = 1 / n if isinstance(layer, ln.LayerNorm) else 0.0
    outer = (np.abs(y) + e_y)[..., :, None] * (np.abs(y) + e_y)[..., None, :] / n
    spread = outer - np.abs(y)[..., :, None] * np.abs(y)[..., None, :] / n
    most = exact * (s[..., None] / least) + weight * spread / least
    return Three(exact, most, np.maximum(most, weight * (np.eye(n) + mean + outer) / least))


def back(layers, places: list[At], g: Three, dtype, seen) -> Three:
    """Return rows of gradients before layers of those after; `seen` gets each layer's own."""
    for layer, at in reversed(list(zip(layers, places[:-1], strict=True))):
        if isinstance(layer, ln.Residual):
            g = g.plus(back(layer.layers, series(layer.layers, at, dtype), g, dtype, seen))
        elif isinstance(layer, ln.Parallel):
            parts = []
            first = 0
            for branch in layer.branches:
                inside = series(branch, at, dtype)
                width = inside[-1].a.shape[-1]
                if layer.join == "concat":
                    part = g.over(lambda rows, k=first, w=width: rows[..., k : k + w])
                    first += width
                else:
                    factor = 1 / len(layer.branches) if layer.join == "mean" else 1.0
                    part = g.over(lambda rows, factor=factor: rows * factor)
                parts.append(back(branch, inside, part, dtype, seen))
            g = parts[0]
            for part in parts[1:]:
                g = g.plus(part)
        else:
            seen(layer, at, g)
            g = g @ _own_jacobian(layer, at, dtype)
    return g


def _of_both(
    net: ln.MLP, x, rows: np.ndarray, seen=lambda kind, *_: None, *, with_model: bool = False
) -> np.ndarray:
    """Return the bound of what `rows` of gradients of the outputs are, at the inputs."""
    with _of_way(net, with_model):
        return _of_both_kinds(net, x, rows, seen)


def _of_both_kinds(net: ln.MLP, x, rows: np.ndarray, seen) -> np.ndarray:
    total = 0.0
    for kind in (net.dtype, np.float64):
        places = series(net.layers, start(x), kind)
        g = Three(*(np.abs(rows.astype(np.float64)),) * 3)
        n = roundings(net.layers, net.in_features) + 3 * net.out_features + 8
        if net.head is not None:
            g = g @ _head_three(net.head, places[-1], kind)
        g = back(net.layers, places, g, kind, lambda *one, kind=kind: seen(kind, *one))
        underflow = 8 * n * smallest_subnormal(kind) * (1 + g.a.max(initial=0.0)) ** 2
        total = total + g.f - g.d + gamma(n, kind) * g.a + underflow
    return total * _ROUNDING_OF_THE_BOUND


def _head_three(head: str, end: At, dtype) -> Three:
    p, exact = reference.softmax(end.a), np.abs(head_jacobian(head, end.a))
    grown = p + _head_error("softmax", end, dtype)
    eye = np.eye(p.shape[-1])
    if head == "log_softmax":
        most = exact + (grown - p)[..., None, :]
        return Three(exact, most, np.maximum(most, eye + grown[..., None, :]))
    spread = grown[..., :, None] * (eye + grown[..., None, :])
    spread = spread - p[..., :, None] * (eye + p[..., None, :])
    most = exact + spread
    return Three(exact, most, np.maximum(most, grown[..., :, None] * (eye + grown[..., None, :])))


def jacobian_bound(net: ln.MLP, x: np.ndarray, *, with_model: bool = False) -> np.ndarray:
    """Return the bound of |net.jacobian(x) - reference.jacobian(net, x)|, of a batch.

    Or, with the model of its precision, of ``reference.jacobian(..., precision=net.precision)``.
    """
    eye = np.broadcast_to(np.eye(net.out_features), (len(x), *(net.out_features,) * 2))
    return _of_both(net, x, eye, with_model=with_model)


def vjp_bound(net: ln.MLP, x: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _of_both(net, x, v[:, None, :])[:, 0, :]


def jvp_bound(net: ln.MLP, matrices: np.ndarray, bounds: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Of the Jacobian and its bounds: rows, each times |u|, with a rounding for each column."""
    total = 0.0
    columns = np.abs(u.astype(np.float64))[:, :, None]
    most = (np.abs(matrices) + bounds) @ columns
    for kind in (net.dtype, np.float64):
        total = total + gamma(net.in_features + 2, kind) * most
    return (bounds @ columns + total)[:, :, 0]


def gradient_bounds(
    net: ln.MLP, x: np.ndarray, g: np.ndarray, *, with_model: bool = False
) -> dict[int, list[np.ndarray]]:
    """Return the bounds of the gradients of weight and bias, by id of each dense layer and norm.

    And of alpha, by id of each leaky_relu that has one for each unit: sums of g min(z, 0), which
    moves by no more than z does.
    """
    found: dict[int, list[np.ndarray]] = {}
    n = roundings(net.layers, net.in_features) + 3 * net.out_features + 8 + len(x) + 2

    def by_unit(kind, activation, z, error, rows: Three) -> None:
        if activation.in_features is None:
            return
        exact = np.abs(np.minimum(z, 0.0))
        most = exact + error
        parts = zip(rows, (exact, most, most), strict=True)
        sums = Three(*((r[:, 0, :] * p).sum(0) for r, p in parts))
        tiny = 8 * n * smallest_subnormal(kind) * (1 + rows.a.max(initial=0.0)) * (1 + exact.max())
        bound = (sums.f - sums.d + gamma(n, kind) * sums.a + tiny) * _ROUNDING_OF_THE_BOUND
        found[id(activation)] = [found.get(id(activation), [0.0])[0] + bound]

    def seen(kind, layer, at: At, rows: Three) -> None:
        if isinstance(layer, ln.Dense):
            read = _read(at)
            z = read.a @ _wide(layer.weight).T + _wide(layer.bias)
            by_unit(kind, layer.activation, z, z_error(layer, at, kind), rows)
            slopes = _slopes(layer.activation, z, z_error(layer, at, kind), kind)
            dz = Three(*(r[:, 0, :] * s for r, s in zip(rows, slopes, strict=True)))
            exact, most = np.abs(read.a), read.most(kind)
            pairs = Three(dz.d.T @ exact, dz.f.T @ most, dz.a.T @ most)
        elif isinstance(layer, (ln.LayerNorm, ln.RMSNorm)):
            parts = norm_parts(layer, at, kind)
            dz = rows.over(lambda r: r[:, 0, :])
            exact, most = np.abs(parts.y), np.abs(parts.y) + parts.e_y
            pairs = Three(*((r * y).sum(0) for r, y in zip(dz, (exact, most, most), strict=True)))
        else:
            if isinstance(layer, ln.Activation):
                by_unit(kind, layer, at.a, at.error(kind), rows)
            return
        both = [pairs, dz.over(lambda r: r.sum(0))]
        tiny = 8 * n * smallest_subnormal(kind) * (1 + rows.a.max(initial=0.0)) * (1 + most.max())
        bounds = [b.f - b.d + gamma(n, kind) * b.a + tiny for b in both]
        known = found.get(id(layer), [0.0, 0.0])
        found[id(layer)] = [
            a + b * _ROUNDING_OF_THE_BOUND for a, b in zip(known, bounds, strict=True)
        ]

    _of_both(net, x, g[:, None, :], seen, with_model=with_model)
    return found
