"""What training makes small, and how scikit-learn counts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.losses import Loss

    Array = NDArray[Any]

__all__ = ["Objective", "Samples", "squares"]


@dataclass(frozen=True)
class Samples:
    """What a network learns from, as the core takes it.

    Attributes
    ----------
    x : ndarray of shape (samples, features), of the network's dtype
    targets : ndarray of shape (samples, targets), of the network's dtype; or of int64, (samples,)
    weights : ndarray of float64 of shape (samples,), or None
    """

    x: Array
    targets: Array
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def counted(self) -> Samples:
        """Without samples of the weight 0, which are as if they were not there."""
        if self.weights is None or self.weights.all():
            return self
        there = self.weights > 0
        return Samples(self.x[there], self.targets[there], self.weights[there])

    def decay(self, alpha: float, rows: int) -> float:
        """Return what L2 is beside the mean loss: `alpha` over what so many samples weigh.

        Raises
        ------
        ValueError
            If that is no number.
        """
        if self.weights is None:
            return alpha / rows
        with np.errstate(over="ignore"):
            weight = float(self.weights.mean())
        decay = alpha / (rows * weight)
        if not np.isfinite(decay):
            raise ValueError(
                f"sample_weight is {weight:g} in the mean, beside which alpha={alpha:g} is not "
                "finite: multiply all weights, or set alpha to 0"
            )
        return decay


@dataclass(frozen=True)
class Objective:
    """A loss of laminet, and what turns it into what scikit-learn follows and reports.

    Attributes
    ----------
    loss : Loss
    gradient_factor : float
        scikit-learn follows the gradient of so many times the loss. That of a squared error is of
        half the sum over outputs, not of the mean, so that a learning rate means the same here.
    report_factor : float
        It reports so many times the loss.
    report_shift : float
        And adds this.
    """

    loss: Loss
    gradient_factor: float = 1.0
    report_factor: float = 1.0
    report_shift: float = 0.0

    def reported(self, loss: float) -> float:
        """Return the loss that scikit-learn reports, without its L2 term."""
        return self.report_factor * loss + self.report_shift


def squares(weights: list[Array]) -> float:
    """Return the sum of squares of all weights, in float64."""
    return float(sum(np.vdot(w, w).real for w in (w.astype(np.float64) for w in weights)))
