"""How training makes a loss small: optimisers and schedules, as plain descriptions.

An optimiser is chosen by its name, ``"adamw"``, or as an object with parameters,
``ln.optim.AdamW(1e-3, weight_decay=0.1, schedule="cosine")``. Update rules and defaults are
PyTorch's where PyTorch has them, but that decay leaves biases and the parameters of norms alone.
`laminet.reference.optimizer_step` says what each does, in NumPy.
"""

from __future__ import annotations

from laminet.optim import schedules
from laminet.optim.first_order import SGD, Adam, AdamW
from laminet.optim.full_batch import LBFGS, LevenbergMarquardt
from laminet.optim.muon import Muon
from laminet.optim.names import OPTIMIZERS, as_optimizer
from laminet.optim.optimizer import FirstOrder, FullBatch, Optimizer

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "AdamW",
    "FirstOrder",
    "FullBatch",
    "LevenbergMarquardt",
    "Muon",
    "Optimizer",
    "as_optimizer",
    "schedules",
]
