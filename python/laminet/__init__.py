"""laminet: multilayer perceptrons on CPUs. NumPy in, NumPy out.

>>> import laminet as ln
>>> net = ln.MLP.init([784, 256, 128, 10], activation="relu", seed=0)
>>> net
MLP(784 -> 256 relu -> 128 relu -> 10 identity, float32, 235146 parameters)
"""

from laminet import _interrupt  # first: it watches over the other imports

# isort: split
from laminet import _threadpoolctl, reference
from laminet._core import __version__
from laminet.activation import Activation
from laminet.analysis.check_jacobian import check_jacobian
from laminet.analysis.cost import cost
from laminet.analysis.gradient_flow import gradient_flow
from laminet.analysis.machine import machine
from laminet.analysis.roofline import roofline
from laminet.dense import Dense, linear
from laminet.errors import FormatError
from laminet.gradients import Gradients
from laminet.interop import from_keras, from_onnx, from_sklearn, from_torch, load, to_onnx, to_torch
from laminet.mlp import MLP
from laminet.outputs import Classes, Labels, Quantities
from laminet.runtime import (
    backend,
    build_info,
    get_backend,
    get_num_threads,
    num_threads,
    set_backend,
    set_num_threads,
)
from laminet.trace import Trace

_threadpoolctl.announce()
_interrupt.end()

__all__ = [
    "MLP",
    "Activation",
    "Classes",
    "Dense",
    "FormatError",
    "Gradients",
    "Labels",
    "Quantities",
    "Trace",
    "__version__",
    "backend",
    "build_info",
    "check_jacobian",
    "cost",
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "get_backend",
    "get_num_threads",
    "gradient_flow",
    "linear",
    "load",
    "machine",
    "num_threads",
    "reference",
    "roofline",
    "set_backend",
    "set_num_threads",
    "to_onnx",
    "to_torch",
]
