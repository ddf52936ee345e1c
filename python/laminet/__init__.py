"""laminet: multilayer perceptrons on CPUs. NumPy in, NumPy out.

>>> import laminet as ln
>>> net = ln.MLP.init([784, 256, 128, 10], activation="relu", seed=0)
>>> net
MLP(784 -> 256 relu -> 128 relu -> 10 identity, float32, 235146 parameters)
"""

from laminet.core import interruption  # first: it watches over the other imports

# isort: split
from typing import TYPE_CHECKING

import numpy  # before the extension, within whose own import an interrupt would be an ImportError

# isort: split
from laminet import _former_names, _wiring
from laminet._core import __version__
from laminet.core import thread_limits
from laminet.core.activation import Activation
from laminet.core.errors import FormatError
from laminet.core.gradients import Gradients
from laminet.core.layers.dense import Dense, linear
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels, Quantities
from laminet.core.runtime import (
    backend,
    build_info,
    get_backend,
    get_num_threads,
    num_threads,
    set_backend,
    set_num_threads,
)
from laminet.core.trace import Trace

if TYPE_CHECKING:
    from laminet import distributed, losses, optim, reference
    from laminet.analysis.check_jacobian import check_jacobian
    from laminet.analysis.cost import cost
    from laminet.analysis.gradient_flow import gradient_flow
    from laminet.analysis.machine import machine
    from laminet.analysis.precision import compare_precision
    from laminet.analysis.roofline import roofline
    from laminet.interop.files import load
    from laminet.interop.keras import from_keras
    from laminet.interop.onnx import from_onnx, to_onnx
    from laminet.interop.pytorch import from_torch, to_torch
    from laminet.interop.sklearn import from_sklearn
    from laminet.scoring import score
    from laminet.training import Trainer, TrainingError, fit

    # Of its module: mypy takes the name in the package for the module itself.
    from laminet.training.check_gradients import check_gradients
else:
    # Loaded when it is first asked for: those who only run a network do not wait for the many
    # classes of importers and training, three quarters of what all takes.
    _LATER = {
        "distributed": (),
        "losses": (),
        "optim": (),
        "reference": (),
        "analysis.check_jacobian": ("check_jacobian",),
        "analysis.cost": ("cost",),
        "analysis.gradient_flow": ("gradient_flow",),
        "analysis.machine": ("machine",),
        "analysis.precision": ("compare_precision",),
        "analysis.roofline": ("roofline",),
        "interop.files": ("load",),
        "interop.keras": ("from_keras",),
        "interop.onnx": ("from_onnx", "to_onnx"),
        "interop.pytorch": ("from_torch", "to_torch"),
        "interop.sklearn": ("from_sklearn",),
        "scoring": ("score",),
        "training": ("Trainer", "TrainingError", "check_gradients", "fit"),
    }

    def __getattr__(name):
        import importlib

        for module, names in _LATER.items():
            if name in names or (name == module and not names):
                found = importlib.import_module(f"laminet.{module}")
                value = globals()[name] = getattr(found, name) if names else found
                return value
        raise AttributeError(f"module 'laminet' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


_wiring.connect()
_former_names.keep()
thread_limits.announce()
interruption.end()
del TYPE_CHECKING, numpy

__all__ = [
    "MLP",
    "Activation",
    "Classes",
    "Dense",
    "Dropout",
    "FormatError",
    "Gradients",
    "Labels",
    "LayerNorm",
    "Parallel",
    "Quantities",
    "RMSNorm",
    "Rescale",
    "Residual",
    "Select",
    "Trace",
    "Trainer",
    "TrainingError",
    "__version__",
    "backend",
    "build_info",
    "check_gradients",
    "check_jacobian",
    "compare_precision",
    "cost",
    "distributed",
    "fit",
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "get_backend",
    "get_num_threads",
    "gradient_flow",
    "linear",
    "load",
    "losses",
    "machine",
    "num_threads",
    "optim",
    "reference",
    "roofline",
    "score",
    "set_backend",
    "set_num_threads",
    "to_onnx",
    "to_torch",
]
