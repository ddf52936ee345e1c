"""One step of each optimiser that follows gradients, in NumPy float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array
from laminet.core.conversion.counts import as_step
from laminet.core.scalar_arguments import as_flag, as_number_within
from laminet.reference.arguments import require_items, require_kind

if TYPE_CHECKING:
    from laminet.optim import SGD, Adam, AdamW, Muon, Optimizer

__all__ = ["OptimizerState", "newton_schulz", "optimizer_step"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


class OptimizerState(NamedTuple):
    """What an optimiser remembers from step to step, by parameter; empty where it is nothing.

    Attributes
    ----------
    first : tuple of ndarray
        The momentum of SGD and Muon, the first moment of Adam and AdamW.
    second : tuple of ndarray
        The second moment of Adam and AdamW; of Muon that of what is no matrix.
    average : tuple of ndarray
        The average of the parameters.
    """

    first: tuple[Array, ...] = ()
    second: tuple[Array, ...] = ()
    average: tuple[Array, ...] = ()


def optimizer_step(
    optimizer: Optimizer | str | Mapping[str, Any],
    parameters: Sequence[ArrayLike],
    gradients: Sequence[ArrayLike],
    state: OptimizerState | None = None,
    step_number: int = 0,
    *,
    decayed: Sequence[bool] | None = None,
    factors: Sequence[float] | None = None,
    total_steps: int | None = None,
    losses: Sequence[float] = (),
) -> tuple[list[Array], OptimizerState]:
    """Return the parameters after one step, and what is remembered for the next.

    Parameters
    ----------
    optimizer : Optimizer or str
        One of `laminet.optim` that follows gradients: SGD, Adam, AdamW or Muon.
    parameters, gradients : sequence of array_like
        Of the same shapes.
    state : OptimizerState, optional
        What the step before returned; nothing before the first.
    step_number : int, default 0
        How many steps were made before this one.
    decayed : sequence of bool, optional
        Which parameters decay makes smaller; as ``optimizer.decays`` says if it is not given.
    factors : sequence of float, optional
        Of the learning rate, by parameter; 1 if not given.
    total_steps, losses
        For the schedule, as of `laminet.optim.schedules.Schedule.factor`.

    Returns
    -------
    parameters : list of ndarray, float64
        New arrays.
    state : OptimizerState

    Raises
    ------
    ValueError
        If there are not as many of one as of the other, a shape is another, a factor or a number of
        steps is below 0, or a factor not finite.
    TypeError
        If something does not hold real numbers, or is of a wrong type, or the optimiser is one that
        looks at all samples.

    Notes
    -----
    With the gradient ``g`` of parameter ``p``, the learning rate ``r`` (times schedule and factor),
    the decay ``d`` and ``t`` the number of this step, from 1 on::

        clip    g = g min(1, clip_norm / (norm + 1e-6))
        SGD     g = g + d p;  m = momentum m + (1 - dampening) g, at first g
                p = p - r m, with nesterov p - r (g + momentum m)
        Adam    g = g + d p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
                p = p - r / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
        AdamW   p = (1 - r d) p, then as Adam without decay
        Muon    m = m + (1 - momentum)(g - m);  u = m, with nesterov g + momentum (m - g)
                p = (1 - r d) p - r scale NewtonSchulz(u)
        average a = average a + (1 - average) p, at first p

    The norm is that of all gradients whose factor is not 0.

    Examples
    --------
    >>> import laminet as ln
    >>> after, _ = ln.reference.optimizer_step(ln.optim.SGD(0.5), [[1.0, 2.0]], [[1.0, -1.0]])
    >>> after
    [array([0.5, 2.5])]
    """
    from laminet.optim import FirstOrder, as_optimizer  # for those alone who train

    chosen = as_optimizer(optimizer)
    if not isinstance(chosen, FirstOrder):
        raise TypeError(
            f"optimizer must be one that follows gradients, SGD, Adam, AdamW or Muon, got "
            f"{type(chosen).__name__}"
        )
    given = require_items(parameters, "parameters", "arrays")
    before = [as_real_array(p, _FLOAT64, f"parameters[{i}]") for i, p in enumerate(given)]
    grads = _like(before, gradients, "gradients")
    marked = [chosen.decays(p.ndim) for p in before]
    if decayed is not None:
        flags = require_items(decayed, "decayed", "bool")
        marked = [as_flag(flag, f"decayed[{i}]") for i, flag in enumerate(flags)]
    rates = [1.0] * len(before)
    if factors is not None:
        numbers = require_items(factors, "factors", "numbers")
        rates = [as_number_within(n, f"factors[{i}]", least=0) for i, n in enumerate(numbers)]
    for name, count in (("decayed", len(marked)), ("factors", len(rates))):
        if count != len(before):
            raise ValueError(f"{name} has {count} elements, parameters has {len(before)}")
    kept = OptimizerState()
    if state is not None:
        parts = require_kind(state, OptimizerState, "state")._asdict().items()
        kept = OptimizerState(**{k: _remembered(before, v, f"state.{k}") for k, v in parts})
    step_number = as_step(step_number, "step_number")

    rate = chosen.rate_factor(step_number, total_steps, losses)
    with np.errstate(all="ignore"):
        if chosen.clip_norm is not None:
            grads = _clipped(grads, rates, chosen.clip_norm)
        after, first, second = [], [], []
        for i, (p, g) in enumerate(zip(before, grads, strict=True)):
            one = _One(
                p,
                g,
                kept.first[i] if kept.first else None,
                kept.second[i] if kept.second else np.zeros_like(p),
                rate * rates[i],
                chosen.weight_decay if marked[i] else 0.0,
                step_number + 1,
            )
            # A factor of 0 leaves all as it is, whatever the gradient.
            frozen = rates[i] == 0
            p, m, v = _frozen(one) if frozen else _STEPS[chosen.name](chosen, one)
            after.append(p)
            first.append(m)
            second.append(v)
        average: tuple[Array, ...] = ()
        if chosen.average is not None:
            part = chosen.average
            old = kept.average or after
            average = tuple(part * a + (1 - part) * p for a, p in zip(old, after, strict=True))
    return after, OptimizerState(tuple(first), tuple(second), average)


def newton_schulz(matrix: Array, steps: int) -> Array:
    """Return a matrix with singular values near 1, and the same singular vectors.

    Parameters
    ----------
    matrix : ndarray of shape (m, n)
        It is divided by its Frobenius norm first.
    steps : int
        How often ``X = a X + (b X X^T + c (X X^T)^2) X`` is done, with the coefficients and the
        least norm of `laminet.optim.muon`.

    Returns
    -------
    ndarray of shape (m, n), float64
    """
    from laminet.optim.muon import NEWTON_SCHULZ, NEWTON_SCHULZ_EPS

    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / max(_norm([x]), NEWTON_SCHULZ_EPS)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class _One(NamedTuple):
    """One parameter, and all that its step depends on."""

    p: Array
    g: Array
    m: Array | None  # None before the first step
    v: Array
    rate: float  # what the learning rate is multiplied by
    decay: float
    t: int


_After = tuple[Array, Array, Array]


def _frozen(one: _One) -> _After:
    return one.p.copy(), np.zeros_like(one.p), one.v


def _sgd(kind: SGD, one: _One) -> _After:
    g = one.g + one.decay * one.p
    # Dampening is of the momentum, and PyTorch leaves it out where there is none.
    m = (
        g
        if one.m is None or kind.momentum == 0
        else kind.momentum * one.m + (1 - kind.dampening) * g
    )
    along = g + kind.momentum * m if kind.nesterov else m
    return one.p - kind.learning_rate * one.rate * along, m, one.v


def _adam(kind: Adam, one: _One) -> _After:
    g = one.g + one.decay * one.p
    return _adaptive(one._replace(g=g), kind.learning_rate * one.rate, kind.betas, kind.eps)


def _adamw(kind: AdamW, one: _One) -> _After:
    rate = kind.learning_rate * one.rate
    p = (1 - rate * one.decay) * one.p
    return _adaptive(one._replace(p=p), rate, kind.betas, kind.eps)


def _adaptive(one: _One, rate: float, betas: tuple[float, float], eps: float) -> _After:
    b1, b2 = betas
    m = b1 * (0.0 if one.m is None else one.m) + (1 - b1) * one.g
    v = b2 * one.v + (1 - b2) * one.g**2
    root = np.sqrt(v) / math.sqrt(1 - b2**one.t) + eps
    return one.p - rate / (1 - b1**one.t) * m / root, m, v


def _muon(kind: Muon, one: _One) -> _After:
    if one.p.ndim != 2:
        rate = kind.adamw_learning_rate * one.rate
        p = (1 - rate * one.decay) * one.p
        return _adaptive(one._replace(p=p), rate, kind.adamw_betas, kind.adamw_eps)
    rate = kind.learning_rate * one.rate
    m = np.zeros_like(one.p) if one.m is None else one.m
    m = m + (1 - kind.momentum) * (one.g - m)
    update = one.g + kind.momentum * (m - one.g) if kind.nesterov else m
    update = kind.scale_of(one.p.shape) * newton_schulz(update, kind.steps)
    return (1 - rate * one.decay) * one.p - rate * update, m, one.v


_STEPS: dict[str, Callable[[Any, _One], _After]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "muon": _muon,
}


def _clipped(gradients: list[Array], factors: list[float], most: float) -> list[Array]:
    # 1e-6: what torch.nn.utils.clip_grad_norm_ adds.
    norm = _norm([g for g, factor in zip(gradients, factors, strict=True) if factor != 0])
    coefficient = most / (norm + 1e-6)
    return [g * coefficient for g in gradients] if not coefficient >= 1 else gradients


def _norm(arrays: Sequence[Array]) -> float:
    """Return the root of the sum of all squares, none of which overflows."""
    largest = float(np.max([np.max(np.abs(a), initial=0.0) for a in arrays], initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(sum(float(np.sum((a / largest) ** 2)) for a in arrays))


def _remembered(
    parameters: list[Array], given: Sequence[ArrayLike], name: str
) -> tuple[Array, ...]:
    """Return arrays of the shapes of the parameters, or none."""
    items = require_items(given, name, "arrays")
    return tuple(_like(parameters, items, name)) if len(items) else ()


def _like(parameters: list[Array], given: Sequence[ArrayLike], name: str) -> list[Array]:
    """Return arrays of the shapes of the parameters."""
    items = require_items(given, name, "arrays")
    arrays = [as_real_array(g, _FLOAT64, f"{name}[{i}]") for i, g in enumerate(items)]
    if len(arrays) != len(parameters):
        raise ValueError(f"{name} has {len(arrays)} arrays, parameters has {len(parameters)}")
    for i, (p, g) in enumerate(zip(parameters, arrays, strict=True)):
        if p.shape != g.shape:
            raise ValueError(f"{name}[{i}] must have shape {p.shape}, got shape {g.shape}")
    return arrays
