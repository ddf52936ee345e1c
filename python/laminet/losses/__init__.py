"""What training makes small: losses, with what they take as targets.

A loss is chosen by its name, ``"cross_entropy"``, or as an object with parameters,
``ln.losses.CrossEntropy(label_smoothing=0.1)``. All are means, as PyTorch's with reduction "mean":
over samples and outputs, of cross entropy over samples. With weights ``w_i`` of samples it is ::

    sum_i w_i loss_i / sum_i w_i

where ``loss_i`` is the mean over the outputs of sample ``i``. A sample of weight 0 counts as if it
were absent. `laminet.reference.loss` says what each means, in NumPy.
"""

from __future__ import annotations

from laminet.losses.classification import BinaryCrossEntropy, CrossEntropy
from laminet.losses.loss import Loss
from laminet.losses.names import LOSSES, as_loss
from laminet.losses.regression import AbsoluteError, Huber, Poisson, Quantile, SquaredError

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Huber",
    "Loss",
    "Poisson",
    "Quantile",
    "SquaredError",
    "as_loss",
]
