"""Levenberg and Marquardt's method, an iteration at a time, in NumPy float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from laminet.core.conversion import as_real_array
from laminet.reference.arguments import require_kind

if TYPE_CHECKING:
    from laminet.optim import LevenbergMarquardt

__all__ = ["DampingState", "levenberg_marquardt_step"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


class DampingState(NamedTuple):
    """What Levenberg and Marquardt's method remembers from one iteration to the next.

    Attributes
    ----------
    damping : float or None
        ``mu``; None before the first iteration.
    growth : float
        What ``mu`` is multiplied by when a step fails.
    stopped : str
        Why there will be no further iteration: "gradient", "change" or "damping"; else empty.
    """

    damping: float | None = None
    growth: float = 2.0
    stopped: str = ""


def levenberg_marquardt_step(
    optimizer: LevenbergMarquardt,
    parameters: Array,
    residuals: Callable[[Array], tuple[Array, Array]],
    state: DampingState | None = None,
    decayed: Array | bool = True,
) -> tuple[Array, DampingState]:
    """Return the parameters after one iteration: the first step that makes the loss less.

    Parameters
    ----------
    optimizer : LevenbergMarquardt
    parameters : ndarray of shape (P,)
    residuals : callable
        Of parameters: residuals ``r`` of shape (N,), whose sum of squares is the loss, and their
        derivatives ``J``, (N, P).
    state : DampingState, optional
        What the iteration before returned.
    decayed : ndarray of shape (P,) of bool, or bool
        Which parameters decay makes smaller.

    Returns
    -------
    parameters : ndarray of shape (P,)
        Those given where no step was found.
    state : DampingState

    Raises
    ------
    ValueError
        If a shape is wrong.
    TypeError
        If something is of a wrong type, or does not hold real numbers.

    Notes
    -----
    The loss ``F = r^T r + d/2 p^T p``, with the decay ``d`` of those that decay; its gradient
    ``g = 2 J^T r + d p``; ``H = 2 J^T J + d I``. Madsen, Nielsen and Tingleff's algorithm 3.16, of
    which ``F`` is half: solve ``(H + mu I) s = -g``; the gain ``q`` is ``F(p) - F(p + s)`` over
    ``s^T (mu s - g) / 2``. Above 0 the step is taken, ``mu = mu max(1/3, 1 - (2q - 1)^3)`` and the
    growth is 2; else ``mu`` is multiplied by the growth, which doubles, and it tries again.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> line = lambda p: (p - 3.0, np.eye(1))
    >>> method = ln.optim.LevenbergMarquardt(damping=1e-9)
    >>> after, _ = ln.reference.levenberg_marquardt_step(method, np.zeros(1), line)
    >>> after.round(6)
    array([3.])
    """
    from laminet.optim import LevenbergMarquardt

    require_kind(optimizer, LevenbergMarquardt, "optimizer")
    now = DampingState() if state is None else require_kind(state, DampingState, "state")
    parameters = as_real_array(parameters, _FLOAT64, "parameters")
    if parameters.ndim != 1:
        raise ValueError(f"parameters must have shape (P,), got shape {parameters.shape}")
    marked = as_real_array(decayed, _FLOAT64, "decayed")
    if marked.shape not in ((), parameters.shape):
        raise ValueError(
            f"decayed must be a bool or have shape {parameters.shape}, got shape {marked.shape}"
        )
    decay = np.broadcast_to(optimizer.weight_decay * marked, parameters.shape)

    def loss(p: Array, r: Array) -> float:
        return float(r @ r + decay @ (p * p) / 2)

    with np.errstate(all="ignore"):
        r, jacobian = _linearised(residuals, parameters)
        before = loss(parameters, r)
        gradient = 2 * jacobian.T @ r + decay * parameters
        hessian = 2 * jacobian.T @ jacobian + np.diag(decay)
        if np.abs(gradient).max(initial=0.0) <= optimizer.tolerance_gradient:
            return parameters, now._replace(stopped="gradient")
        # All derivatives may be 0, as of dead units, but then so is the gradient, or decay is not.
        largest = float(hessian.diagonal().max())
        mu = optimizer.damping * largest if now.damping is None else now.damping
        growth = now.growth
        while True:
            if not mu <= optimizer.max_damping * largest:
                return parameters, DampingState(mu, growth, "damping")
            step = _solved(hessian + mu * np.eye(len(hessian)), -gradient)
            if step is not None:
                if np.linalg.norm(step) <= optimizer.tolerance_change * (
                    np.linalg.norm(parameters) + optimizer.tolerance_change
                ):
                    return parameters, DampingState(mu, growth, "change")
                after = parameters + step
                gain = (before - loss(after, residuals(after)[0])) / (
                    step @ (mu * step - gradient) / 2
                )
                if gain > 0:
                    mu *= max(1 / 3, 1 - (2 * float(gain) - 1) ** 3)
                    return after, DampingState(mu, 2.0)
            mu, growth = mu * growth, growth * 2


def _linearised(
    residuals: Callable[[Array], tuple[Array, Array]], parameters: Array
) -> tuple[Array, Array]:
    """Return residuals and their derivatives; refuse other shapes than (N,) and (N, P)."""
    if not callable(residuals):
        raise TypeError(f"residuals must be a function, got {type(residuals).__name__}")
    found = residuals(parameters)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise TypeError("residuals must return a tuple of two arrays: residuals and derivatives")
    r, jacobian = (as_real_array(one, _FLOAT64, "residuals") for one in found)
    if r.ndim != 1 or jacobian.shape != (r.size, parameters.size):
        raise ValueError(
            f"residuals must return arrays of shapes (N,) and (N, {parameters.size}), got "
            f"{r.shape} and {jacobian.shape}"
        )
    return r, jacobian


def _solved(matrix: Array, right: Array) -> Array | None:
    """Return the solution of a symmetric system; None if the matrix is not positive definite."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    found = np.linalg.solve(lower.T, np.linalg.solve(lower, right))
    return found if math.isfinite(float(np.abs(found).sum())) else None
