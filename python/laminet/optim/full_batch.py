"""Optimisers that look at all samples in every iteration: for small networks and smooth losses."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from laminet.core.conversion.counts import as_step
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number_within
from laminet.optim.optimizer import FullBatch

__all__ = ["LBFGS", "LevenbergMarquardt"]


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class LBFGS(FullBatch):
    """Newton's method with a Hessian guessed from the last gradients [1]_.

    Defaults are those of ``scipy.optimize.minimize(method="L-BFGS-B")``, but for how many
    iterations.

    Parameters
    ----------
    max_iterations : int, default 200
        As of scikit-learn's networks.
    history : int, default 10
        How many of the last changes are remembered.
    tolerance_gradient : float, default 1e-5
        Stop where no element of the gradient is larger.
    tolerance_change : float, default 2.220446049250313e-09
        Stop where an iteration changes the loss by no more than this part of it, or of 1.
    weight_decay : float, default 0
        Adds ``weight_decay / 2`` times the sum of the squares of the parameters to the loss.
    decay_biases : bool, default False
        Whether decay is for biases and the parameters of norms, too.

    Raises
    ------
    ValueError
        If a number is out of its bounds.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition, 2006, algorithm 7.5.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.LBFGS(500, weight_decay=1e-4)
    LBFGS(max_iterations=500, weight_decay=0.0001)
    """

    _: KW_ONLY
    history: int = 10
    tolerance_change: float = 1e7 * 2.220446049250313e-16  # SciPy's factr of 1e7, times epsilon
    name: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(history=as_step(self.history, "history", least=1))


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class LevenbergMarquardt(FullBatch):
    """Gauss and Newton's method, damped: least squares of small networks [1]_, [2]_.

    Of the squared error alone. An iteration solves ``(H + mu I) d = -g``, where ``H`` is
    ``2 J^T J`` over the number of residuals (and the decay), and takes the step if the loss falls;
    if not, it raises ``mu`` and tries again. How well ``H`` has foretold the fall sets the next
    ``mu`` (Nielsen's rule).

    Parameters
    ----------
    max_iterations : int, default 1000
        As of MATLAB's trainlm.
    damping : float, default 1e-3
        The first ``mu``, as a part of the largest element of the diagonal of ``H``; above 0.
    max_damping : float, default 1e10
        Stop where ``mu`` would grow beyond this many times that element.
    tolerance_gradient : float, default 1e-7
        Stop where no element of the gradient is larger.
    tolerance_change : float, default 1e-8
        Stop where a step is no longer than this part of the parameters' norm.
    weight_decay, decay_biases
        As of `LBFGS`.

    Raises
    ------
    ValueError
        If a number is out of its bounds.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for Non-Linear Least Squares Problems",
       2nd edition, 2004, algorithm 3.16.
    .. [2] M. T. Hagan, M. B. Menhaj, "Training Feedforward Networks with the Marquardt Algorithm",
       IEEE Transactions on Neural Networks 5, 1994.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.LevenbergMarquardt(50)
    LevenbergMarquardt(max_iterations=50)
    """

    max_iterations: int = 1000
    _: KW_ONLY
    damping: float = 1e-3
    max_damping: float = 1e10
    tolerance_gradient: float = 1e-7
    tolerance_change: float = 1e-8
    name: ClassVar[str] = "levenberg_marquardt"

    def __post_init__(self) -> None:
        super().__post_init__()
        damping = as_number_within(self.damping, "damping", above=0)
        most = as_number_within(self.max_damping, "max_damping", above=damping)
        self._set(damping=damping, max_damping=most)
