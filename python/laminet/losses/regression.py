"""Losses of quantities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number_within
from laminet.losses.loss import Loss, first_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AbsoluteError", "Huber", "Poisson", "Quantile", "SquaredError"]


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class SquaredError(Loss):
    """The squared error, ``(o - y)**2``: what is learnt is the mean. As ``torch.nn.MSELoss``.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.reference.loss(ln.losses.SquaredError(), [[1.0], [5.0]], [1.0, 3.0])
    2.0
    """

    name: ClassVar[str] = "squared_error"


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class AbsoluteError(Loss):
    """The absolute error, ``|o - y|``: what is learnt is the median. As ``torch.nn.L1Loss``.

    Its derivative where output and target are equal is 0.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.reference.loss(ln.losses.AbsoluteError(), [[1.0], [5.0]], [1.0, 3.0])
    1.0
    """

    name: ClassVar[str] = "absolute_error"


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class Huber(Loss):
    """Half the squared error of small errors, and the absolute one of large errors [1]_.

    ``(o - y)**2 / 2`` where ``|o - y| <= delta``, else ``delta (|o - y| - delta / 2)``. As
    ``torch.nn.HuberLoss``.

    Parameters
    ----------
    delta : float, default 1
        From where on an error counts as large; above 0.

    Raises
    ------
    ValueError
        If `delta` is out of its bounds.
    TypeError
        If `delta` is not a real number.

    References
    ----------
    .. [1] P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical
       Statistics 35, 1964.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.reference.loss(ln.losses.Huber(delta=2.0), [[1.0], [7.0]], [0.0, 0.0])
    6.25
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        self._set(delta=as_number_within(self.delta, "delta", above=0))


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class Quantile(Loss):
    """The pinball loss: what is learnt are quantiles [1]_.

    ``max(q e, (q - 1) e)`` of ``e = y - o``, for each level ``q``. A network has an output for each
    level of each target, the levels of one target side by side: that of target ``t`` and level
    ``q`` is output ``t * len(levels) + q``. Nothing keeps quantiles from crossing.

    Parameters
    ----------
    levels : sequence of float, or float, default (0.5,)
        Between 0 and 1, increasing; 0.5 is the median.

    Raises
    ------
    ValueError
        If there is no level, one is out of its bounds, or they do not increase.
    TypeError
        If they are not real numbers.

    Notes
    -----
    The derivative where output and target are equal is 0.

    References
    ----------
    .. [1] R. Koenker, G. Bassett, "Regression Quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> import laminet as ln
    >>> loss = ln.losses.Quantile([0.1, 0.9])
    >>> loss.num_targets(6)
    3
    >>> round(ln.reference.loss(loss, [[1.0, 4.0]], [2.0]), 4)
    0.15
    """

    levels: Any = (0.5,)  # what __post_init__ makes of it is a tuple of float
    name: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        levels = self.levels
        if isinstance(levels, np.ndarray) and levels.ndim <= 1:
            levels = levels.tolist()
        if isinstance(levels, str) or not isinstance(levels, Sequence):
            levels = (levels,)
        if len(levels) == 0:
            raise ValueError("levels is empty; a quantile needs at least one")
        numbers = tuple(
            as_number_within(level, f"levels[{i}]", above=0, below=1)
            for i, level in enumerate(levels)
        )
        for i, (one, other) in enumerate(pairwise(numbers)):
            if other <= one:
                raise ValueError(
                    f"levels must increase, and levels[{i + 1}] is {other:g} after {one:g}"
                )
        self._set(levels=numbers)

    def num_targets(self, out_features: int) -> int:
        """Return how many targets a sample has: an output is for one level of one target.

        Raises
        ------
        ValueError
            If the outputs cannot be shared out so.
        """
        count = len(self.levels)
        if out_features % count:
            raise ValueError(
                f"Quantile of {count} levels takes a multiple of {count} outputs, the network has "
                f"{out_features}"
            )
        return out_features // count


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class Poisson(Loss):
    """The negative log-likelihood of counts, ``exp(o) - y o``: outputs are logarithms of rates.

    As ``torch.nn.PoissonNLLLoss``: what depends on the targets alone, ``log(y!)``, is left out.
    Targets are not below 0.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.reference.loss(ln.losses.Poisson(), [[0.0], [0.0]], [1, 4])
    1.0
    """

    name: ClassVar[str] = "poisson"

    def _check(self, targets: NDArray[Any], argument: str) -> None:
        if (row := first_row(targets < 0)) is not None:
            raise ValueError(
                f"{argument} must be at least 0 for Poisson: row {row} holds {targets[row].min():g}"
            )
