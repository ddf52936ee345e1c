"""Losses of classes and labels. Outputs are logits: no softmax or sigmoid comes before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from laminet.core.conversion import real_array
from laminet.core.conversion.counts import as_step
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number_within
from laminet.losses.loss import Loss, first_row

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["BinaryCrossEntropy", "CrossEntropy"]

# How far from 1 the sum of a sample's probabilities may be: float16 rounds a thousand of them so.
_SUM_TOLERANCE = 1e-3


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class CrossEntropy(Loss):
    """The cross entropy of softmax, for one of several classes: ``-sum_k p_k log softmax(o)_k``.

    Outputs are logits; targets are labels 0, 1, ... or the probabilities ``p`` of the classes. As
    ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    label_smoothing : float, default 0
        At least 0 and less than 1: ``p`` becomes ``(1 - label_smoothing) p + label_smoothing / K``
        for ``K`` classes [1]_.

    Raises
    ------
    ValueError
        If `label_smoothing` is out of its bounds.
    TypeError
        If `label_smoothing` is not a real number.

    Notes
    -----
    Weights ``c`` of the classes multiply the terms of the sum. The mean is then divided by the sum
    of the weights of the samples' labels; of probabilities, as by PyTorch, by their number.

    References
    ----------
    .. [1] C. Szegedy and others, "Rethinking the Inception Architecture for Computer Vision",
       CVPR 2016, section 7.

    Examples
    --------
    >>> import laminet as ln
    >>> round(ln.reference.loss(ln.losses.CrossEntropy(), [[2.0, 0.0], [0.0, 0.0]], [0, 1]), 4)
    0.41
    """

    label_smoothing: float = 0.0
    name: ClassVar[str] = "cross_entropy"

    def __post_init__(self) -> None:
        self._set(label_smoothing=_as_smoothing(self.label_smoothing))

    def num_targets(self, out_features: int) -> int:
        """Return how many probabilities a sample has as target, one for each output.

        Raises
        ------
        ValueError
            If there is one output: its softmax is always 1.
        """
        if out_features < 2:
            raise ValueError(
                f"CrossEntropy takes two outputs or more, the network has {out_features}: "
                "BinaryCrossEntropy is the loss of one logit"
            )
        return out_features

    def as_targets(
        self,
        targets: ArrayLike,
        out_features: int,
        dtype: DTypeLike = np.float64,
        argument: str = "y",
    ) -> NDArray[Any]:
        """Return labels as int64 of shape (batch,), probabilities as (batch, out_features).

        Parameters
        ----------
        targets : array_like of shape (batch,) or (batch, out_features)
            Integer labels from 0 on; a column of them, (batch, 1), will do. Or probabilities.
        out_features, dtype, argument
            As in `Loss.as_targets`.

        Returns
        -------
        ndarray

        Raises
        ------
        ValueError
            If the shape is wrong, a label is none of the classes, or probabilities are below 0 or
            do not sum to 1: the message names the first row.
        TypeError
            If they are no real numbers, or labels are no integers.
        """
        outputs = as_step(out_features, "out_features", least=1)
        array = real_array(targets, argument)
        column = array.ndim == 2 and array.shape[1] == 1
        if array.ndim != 1 and not column:
            return super().as_targets(array, outputs, dtype, argument)
        count = self.num_targets(outputs)
        if array.dtype.kind not in "biu":
            raise TypeError(
                f"{argument} must hold integers where it holds labels, got {array.dtype}; "
                f"{argument}.astype(int) makes such, and probabilities have shape (batch, {count})"
            )
        labels = array[:, 0] if column else array
        if (row := first_row((labels < 0) | (labels >= count))) is not None:
            raise ValueError(
                f"{argument} must hold labels from 0 to {count - 1}: row {row} holds {labels[row]}"
            )
        return np.require(labels, np.int64, ["ALIGNED"])

    def _check(self, targets: NDArray[Any], argument: str) -> None:
        if (row := first_row(targets < 0)) is not None:
            raise ValueError(
                f"{argument} must hold probabilities: row {row} holds {targets[row].min():g}"
            )
        sums = targets.sum(axis=1, dtype=np.float64)
        if (row := first_row(np.abs(sums - 1) > _SUM_TOLERANCE)) is not None:
            raise ValueError(
                f"{argument} must hold probabilities that sum to 1: those of row {row} sum to "
                f"{sums[row]:g}"
            )


@named_in("laminet.losses")
@dataclass(frozen=True, repr=False)
class BinaryCrossEntropy(Loss):
    """The cross entropy of sigmoid, for each of any number of labels by itself.

    ``-(y log sigmoid(o) + (1 - y) log sigmoid(-o))``. Outputs are logits; a target is 0, 1 or a
    probability. As ``torch.nn.BCEWithLogitsLoss``.

    Parameters
    ----------
    label_smoothing : float, default 0
        At least 0 and less than 1: ``y`` becomes ``(1 - label_smoothing) y + label_smoothing / 2``.

    Raises
    ------
    ValueError
        If `label_smoothing` is out of its bounds.
    TypeError
        If `label_smoothing` is not a real number.

    Examples
    --------
    >>> import laminet as ln
    >>> round(ln.reference.loss(ln.losses.BinaryCrossEntropy(), [[2.0], [0.0]], [1, 0]), 4)
    0.41
    """

    label_smoothing: float = 0.0
    name: ClassVar[str] = "binary_cross_entropy"

    def __post_init__(self) -> None:
        self._set(label_smoothing=_as_smoothing(self.label_smoothing))

    def _check(self, targets: NDArray[Any], argument: str) -> None:
        wrong = (targets < 0) | (targets > 1)
        if (row := first_row(wrong)) is not None:
            raise ValueError(
                f"{argument} must be from 0 to 1 for BinaryCrossEntropy: row {row} holds "
                f"{targets[row][wrong[row]][0]:g}"
            )


def _as_smoothing(value: object) -> float:
    return as_number_within(value, "label_smoothing", least=0, below=1)
