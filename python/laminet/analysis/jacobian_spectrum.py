"""The singular values of a Jacobian: what `gradient_flow` is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from laminet.core.floating_point import silent
from laminet.core.public_module import named_in
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["EPS", "HEADING", "JacobianSpectrum"]

EPS = float(np.finfo(np.float64).eps)

#: Of a table of spectra.
HEADING = ("Jacobian", "shape", "rank", "norm", "median", "smallest", "condition")


@named_in("laminet.analysis.gradient_flow")
@dataclass(frozen=True, eq=False, repr=False)
class JacobianSpectrum(Report):
    """The singular values of a Jacobian, averaged over the samples.

    Attributes
    ----------
    name : str
        ``"J3"`` for the third layer, ``"J5...J3"`` for the product from the output down to it.
    shape : tuple of int
        Of the matrix.
    singular_values : ndarray of shape (min(shape),), float64
        Largest first; the mean of each over the samples, as computed: where the matrix has not full
        rank, the last ones are rounding errors, which a table shows as 0.
    rank : float
        The mean number of singular values above ``max(shape) eps`` times the largest, ``eps`` being
        2^-52: what float64 can tell from zero. (As `numpy.linalg.matrix_rank` counts.)
    """

    name: str
    shape: tuple[int, int]
    singular_values: Array
    rank: float

    @property
    def norm(self) -> float:
        """The spectral norm, the largest singular value: how much a gradient grows at most."""
        return float(self.singular_values[0])

    @property
    def floor(self) -> float:
        """``max(shape) eps`` times the norm: what is not above it is zero but for rounding."""
        return max(self.shape) * EPS * self.norm

    @property
    @silent
    def condition_number(self) -> float:
        """Largest by smallest singular value; infinite where the rank is not full."""
        if self.rank < min(self.shape):
            return float("inf")
        return float(self.singular_values[0] / self.singular_values[-1])

    @silent
    def cells(self) -> tuple[str, ...]:
        """Return a line of a table, with 0 for what is not above `floor`."""
        values = np.where(self.singular_values > self.floor, self.singular_values, 0.0)
        return (
            self.name,
            f"{self.shape[0]} x {self.shape[1]}",
            f"{self.rank:.4g}",
            f"{self.norm:.3g}",
            f"{np.median(values):.3g}",
            f"{values[-1]:.3g}",
            f"{self.condition_number:.3g}",
        )

    def tables(self) -> list[TableData]:
        """Return a table of one line."""
        return [TableData([HEADING, self.cells()], text_columns=2)]
