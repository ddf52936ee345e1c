"""A network's Jacobian against central differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from laminet import reference
from laminet.analysis.arguments import require_network
from laminet.core.floating_point import silent
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from laminet.core.mlp import MLP

__all__ = ["JacobianCheck", "check_jacobian"]


@dataclass(frozen=True, repr=False)
class JacobianCheck(Report):
    """What `check_jacobian` found.

    Attributes
    ----------
    max_error : float
        The largest difference of an entry from its central difference.
    index : tuple of int
        Where: (output, input), or (sample, output, input) for a batch.
    analytic, numerical : float
        The two values there.
    scale : float
        The largest entry of the Jacobian, by its absolute value: what `max_error` is to be
        compared with.
    """

    max_error: float
    index: tuple[int, ...]
    analytic: float
    numerical: float
    scale: float

    def tables(self) -> list[TableData]:
        """Return a table of one line."""
        heading = ("worst at", "analytic", "numerical", "difference", "largest entry")
        line = (
            str(self.index),
            f"{self.analytic:.9g}",
            f"{self.numerical:.9g}",
            f"{self.max_error:.3g}",
            f"{self.scale:.3g}",
        )
        return [TableData([heading, line], text_columns=1)]


@silent
def check_jacobian(net: MLP, x: ArrayLike, *, step: float | None = None) -> JacobianCheck:
    """Compare ``net.jacobian(x)`` with central differences in float64.

    Parameters
    ----------
    net : MLP
        The network, of either dtype; the differences are taken in float64 of the same weights.
    x : array_like of shape (in_features,) or (batch, in_features)
        Where; at least one sample.
    step : float, optional
        The step of the differences; by default what balances their two errors, see
        `laminet.reference.numerical_jacobian`.

    Returns
    -------
    JacobianCheck
        ``.max_error`` and ``.index``: the worst entry, and where. A NaN in either Jacobian is the
        worst there is.

    Raises
    ------
    ValueError
        If `x` has a wrong shape or no samples, or `step` is not a positive number.
    TypeError
        If `net` is not an MLP, `x` does not hold real numbers, or `step` is none.

    Notes
    -----
    A right Jacobian differs by some 1e-9 of its scale in float64, and by the rounding of float32,
    some 1e-6 of it, otherwise. Where a kink of an activation lies between ``x - step`` and
    ``x + step`` the difference is of the order of 1, and says nothing.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP.init([4, 8, 3], "tanh", dtype="float64", seed=0)
    >>> bool(ln.check_jacobian(net, [0.1, 0.2, 0.3, 0.4]).max_error < 1e-8)
    True
    """
    require_network(net)
    reference.check_step(step)
    # In the network's dtype, so that both see the same sample.
    points = np.array(net.trace(x).activations[0])
    if points.size == 0:
        raise ValueError("x has no samples")
    analytic = net.jacobian(points).astype(np.float64)
    numerical = reference.numerical_jacobian(net, points, step)
    error = np.abs(analytic - numerical)
    flat = int(np.argmax(error))  # the first NaN where there is one
    index = tuple(int(i) for i in np.unravel_index(flat, error.shape))
    return JacobianCheck(
        max_error=float(error[index]),
        index=index,
        analytic=float(analytic[index]),
        numerical=float(numerical[index]),
        scale=float(np.abs(analytic).max()),
    )
