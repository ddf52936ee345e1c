"""Levenberg and Marquardt's method, an iteration at a time, in NumPy float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from laminet.optim import LevenbergMarquardt

__all__ = ["DampingState", "levenberg_marquardt_step"]

Array = NDArray[np.float64]


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
    now = DampingState() if state is None else state
    decay = np.broadcast_to(optimizer.weight_decay * np.asarray(decayed, float), parameters.shape)

    def loss(p: Array, r: Array) -> float:
        return float(r @ r + decay @ (p * p) / 2)

    with np.errstate(all="ignore"):
        r, jacobian = residuals(parameters)
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


def _solved(matrix: Array, right: Array) -> Array | None:
    """Return the solution of a symmetric system; None if the matrix is not positive definite."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    found = np.linalg.solve(lower.T, np.linalg.solve(lower, right))
    return found if math.isfinite(float(np.abs(found).sum())) else None
