"""Levenberg and Marquardt's method over a network, some iterations at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from laminet import _core
from laminet.core.conversion import as_real_array
from laminet.core.conversion.counts import as_count
from laminet.core.mlp import MLP
from laminet.core.parameters import by_name, parameters, places_of, with_parameters
from laminet.losses import SquaredError
from laminet.losses.loss import first_row
from laminet.optim import LevenbergMarquardt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["LeastSquaresFit", "LeastSquaresRun", "least_squares"]

_FLOAT64 = np.dtype(np.float64)


class LeastSquaresRun:
    """A network on its way to the least squares.

    It computes in float64, whatever the network's dtype: normal equations square the condition of
    the Jacobian. `network` rounds.

    Parameters
    ----------
    net : MLP
        Where to start, without a head; it has parameters.
    X : array_like of shape (batch, in_features)
        The samples, finite.
    y : array_like of shape (batch, out_features) or (batch,)
        What the outputs should be.
    optimizer : LevenbergMarquardt, optional
    sample_weight : array_like of shape (batch,), optional
        At least 0, and above it somewhere. A sample of weight 0 is not there.

    Attributes
    ----------
    loss : float
        The mean squared error now, by the weights, without decay.
    iterations : int
        How many were made.
    stopped : str or None
        Why there will be no further one: "gradient" or "change" where the optimiser's tolerance is
        reached, "damping" where no step makes the loss less, "not_finite" where the loss or a
        derivative is not; None as long as there may be one.

    Raises
    ------
    ValueError
        If shapes or numbers are wrong, or the network has a head or no parameters.
    TypeError
        If an argument is of a wrong type.
    MemoryError
        If there is none for the matrices of so many parameters.
    """

    loss: float
    iterations: int
    stopped: str | None

    def __init__(
        self,
        net: MLP,
        X: ArrayLike,
        y: ArrayLike,
        optimizer: LevenbergMarquardt | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        if not isinstance(net, MLP):
            raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
        method = LevenbergMarquardt() if optimizer is None else optimizer
        if not isinstance(method, LevenbergMarquardt):
            raise TypeError(
                f"optimizer must be a LevenbergMarquardt, got {type(optimizer).__name__}"
            )
        if net.head is not None:
            raise ValueError(
                f"the network ends in {net.head}, and LevenbergMarquardt is for squared_error, "
                "which has no head"
            )
        _require_memory(sum(value.size for value in parameters(net).values()))
        x = as_real_array(X, _FLOAT64, "X", net.feature_names)
        if x.ndim != 2 or x.shape[1] != net.in_features:
            raise ValueError(f"X must have shape (batch, {net.in_features}), got shape {x.shape}")
        targets = SquaredError().as_targets(y, net.out_features)
        if len(targets) != len(x):
            raise ValueError(f"X has {len(x)} rows and y has {len(targets)}")
        weights = None if sample_weight is None else _as_weights(sample_weight, len(x))
        if weights is not None and not weights.all():
            there = weights > 0
            x, targets, weights = x[there], targets[there], weights[there]
        if not len(x):
            raise ValueError("X has no samples" if weights is None else "all sample_weight are 0")
        if (row := first_row(~np.isfinite(x))) is not None:
            raise ValueError(f"X must be finite: row {row} is not")
        self._samples = x, targets, weights
        self._start = net
        self._places = places_of(net.layers)
        # The core refers to the network that it starts from.
        self._core = _core.LeastSquares.make(
            net.astype("float64")._core,
            method.damping,
            method.max_damping,
            method.tolerance_gradient,
            method.tolerance_change,
            method.weight_decay,
            method.decay_biases,
        )
        self.loss = self._core.loss(*self._samples)
        self.iterations = 0
        self.stopped = None

    def run(self, iterations: int = 1) -> Array:
        """Make iterations.

        What interrupts them, such as Ctrl-C, leaves the network as it was after one of them; `loss`
        and `iterations` are then those of the calls before.

        Parameters
        ----------
        iterations : int, default 1
            How many at most: fewer where it stops.

        Returns
        -------
        ndarray, float64
            The loss after each that was made.

        Raises
        ------
        ValueError
            If `iterations` is less than 1.
        TypeError
            If it is not an integer.
        """
        count = as_count(iterations, "iterations")
        if self.stopped is not None:
            return np.empty(0)
        losses, self.stopped = self._core.run(*self._samples, count)
        if len(losses):
            self.loss = float(losses[-1])
        self.iterations += len(losses)
        return losses

    @property
    def damping(self) -> float | None:
        """The optimiser's ``mu``; None before the first iteration."""
        return self._core.damping or None

    def network(self) -> MLP:
        """Return the network as it is now, of the class and dtype of the one it started from."""
        return with_parameters(self._start, by_name(self._core.parameters(), self._places))


@dataclass(frozen=True, eq=False)
class LeastSquaresFit:
    """What `least_squares` returns.

    Attributes
    ----------
    network : MLP
    losses : ndarray, float64
        That of the network given, then after each iteration.
    stopped : str
        That of `LeastSquaresRun`, or "iterations" where there were as many as the optimiser has at
        most, or "callback".
    """

    network: MLP
    losses: Array
    stopped: str


def least_squares(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    optimizer: LevenbergMarquardt | None = None,
    sample_weight: ArrayLike | None = None,
    on_iteration: Callable[[LeastSquaresRun], object] | None = None,
) -> LeastSquaresFit:
    """Return a network whose squared error is small, by Levenberg and Marquardt's method.

    Parameters
    ----------
    net, X, y, optimizer, sample_weight
        As of `LeastSquaresRun`.
    on_iteration : callable, optional
        Is given the run after each iteration; what is true stops it.

    Returns
    -------
    LeastSquaresFit

    Raises
    ------
    ValueError, TypeError, MemoryError
        As `LeastSquaresRun` raises them.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> from laminet.training.least_squares import least_squares
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> net = ln.MLP.init([1, 5, 1], activation="tanh", dtype="float64", seed=0)
    >>> fit = least_squares(net, x, np.sin(x))
    >>> bool(fit.losses[-1] < 1e-6 < fit.losses[0])
    True
    """
    if on_iteration is not None and not callable(on_iteration):
        raise TypeError(f"on_iteration must be callable, got {type(on_iteration).__name__}")
    run = LeastSquaresRun(net, X, y, optimizer, sample_weight)
    most = (LevenbergMarquardt() if optimizer is None else optimizer).max_iterations
    losses = [np.array([run.loss])]
    stopped = None
    while stopped is None:
        losses.append(run.run(most if on_iteration is None else 1))
        if run.stopped is not None:
            stopped = run.stopped
        elif on_iteration is not None and on_iteration(run):
            stopped = "callback"
        elif run.iterations >= most:
            stopped = "iterations"
    return LeastSquaresFit(run.network(), np.concatenate(losses), stopped)


def _require_memory(parameters: int) -> None:
    if parameters == 0:
        raise ValueError("the network has no parameters that could be trained")
    # The normal equations, their factor, half of it again, and what is summed for the widest layer.
    needed, there = 3 * 8 * parameters**2, _core.available_memory()
    if there and needed > there:  # 0 where nobody knows
        raise MemoryError(
            f"LevenbergMarquardt is for small networks: matrices of {parameters:,} parameters take "
            f"{needed / 2**30:,.0f} GiB, and {there / 2**30:,.0f} are free; LBFGS takes none"
        )


def _as_weights(value: ArrayLike, batch: int) -> Array:
    weights = as_real_array(value, _FLOAT64, "sample_weight")
    if weights.shape != (batch,):
        raise ValueError(f"sample_weight must have shape ({batch},), got shape {weights.shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if (i := first_row(wrong)) is not None:
        raise ValueError(
            f"sample_weight must be finite and at least 0: sample_weight[{i}] is {weights[i]:g}"
        )
    # Their sum may overflow.
    return np.ascontiguousarray(weights / weights.max(initial=0.0) if weights.any() else weights)
