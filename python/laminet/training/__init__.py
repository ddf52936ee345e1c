"""Making networks: `laminet.fit`, and `laminet.Trainer` for loops of one's own."""

from __future__ import annotations

from laminet.training.check_gradients import GradientCheck, ParameterCheck, check_gradients
from laminet.training.errors import TrainingError
from laminet.training.fitting import fit
from laminet.training.history import Epoch, Fit, History
from laminet.training.trainer import Trainer

__all__ = [
    "Epoch",
    "Fit",
    "GradientCheck",
    "History",
    "ParameterCheck",
    "Trainer",
    "TrainingError",
    "check_gradients",
    "fit",
]
