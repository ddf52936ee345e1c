"""What every loss has: a name, parameters, and what it takes as targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion import as_real_array, real_array
from laminet.core.conversion.counts import as_step, shown
from laminet.core.described import Described

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["Loss", "first_row"]


class Loss(Described):
    """A loss; the kinds are `SquaredError`, `CrossEntropy` and others of `laminet.losses`.

    Attributes
    ----------
    name : str
        What it is called where a name will do: "squared_error".
    """

    __slots__ = ()
    _example = "ln.losses.SquaredError()"

    def num_targets(self, out_features: int) -> int:
        """Return how many targets a sample has for so many outputs.

        Raises
        ------
        ValueError
            If a network with so many outputs cannot have this loss.
        """
        return out_features

    def as_targets(
        self,
        targets: ArrayLike,
        out_features: int,
        dtype: DTypeLike = np.float64,
        argument: str = "y",
    ) -> NDArray[Any]:
        """Return targets as an array that the loss can be computed with; refuse what has no loss.

        Parameters
        ----------
        targets : array_like of shape (batch, targets) or (batch,)
            One axis is enough where there is one target; integer labels have one.
        out_features : int
            How many outputs the network has.
        dtype : {float64, float32}
            Of targets that are numbers; labels are int64.
        argument : str
            What the user gave them for, for messages.

        Returns
        -------
        ndarray of shape (batch, targets), or (batch,) for labels
            Not a copy where none is needed.

        Raises
        ------
        ValueError
            If the shape is wrong, `out_features` below 1, or a target infinite, NaN or out of the
            loss's bounds: the message names the first row.
        TypeError
            If they are no real numbers.
        """
        outputs = as_step(out_features, "out_features", least=1)
        count = self.num_targets(outputs)
        array = as_real_array(targets, _as_dtype(dtype), argument)
        if array.ndim == 1 and count == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != count:
            shape = f"(batch, {count})" + (" or (batch,)" if count == 1 else "")
            raise ValueError(
                f"{argument} must have shape {shape} for {type(self).__name__} of {outputs} "
                f"output{'' if outputs == 1 else 's'}, got shape {np.shape(targets)}"
            )
        if (row := first_row(~np.isfinite(array))) is not None:
            given = real_array(targets, argument).reshape(array.shape)[row]
            raise ValueError(
                f"{argument} must be finite: row {row} holds {_worst(array[row], given)}"
            )
        self._check(array, argument)
        return array

    def _check(self, targets: NDArray[Any], argument: str) -> None:
        """Raise a ValueError for finite targets that have no loss."""


def _as_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    for kind in (np.float32, np.float64):
        try:
            if np.dtype(dtype) == kind:
                return np.dtype(kind)
        except TypeError:
            break
    raise ValueError(f"dtype must be float32 or float64, got {shown(dtype)}")


def first_row(wrong: NDArray[Any]) -> int | None:
    """Return the first row in which something is wrong; None if nothing is."""
    # First of all at once: by rows, 10,000 of 4 columns take 200 us, a sixth of their step.
    if not wrong.any():
        return None
    rows = wrong if wrong.ndim == 1 else wrong.any(axis=1)
    return int(rows.argmax())


def _worst(row: NDArray[Any], given: NDArray[Any]) -> str:
    """Say what the first number of a row is that is not finite; `given` is the row before."""
    column = int(np.isfinite(row).argmin())
    if np.isnan(row[column]):
        return "NaN"
    if np.isfinite(given[column]):
        return f"a number that is too large for {row.dtype}"
    return "an infinity"
