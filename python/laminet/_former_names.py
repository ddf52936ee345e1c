"""Modules by names that they had before: pickles hold them."""

from __future__ import annotations

import sys

from laminet.core import (
    activation,
    errors,
    gradients,
    mlp,
    outputs,
    plan,
    probes,
    runtime,
    trace,
)
from laminet.core.layers import dense

_FORMER = {
    "activation": activation,
    "analysis.plan": plan,
    "dense": dense,
    "errors": errors,
    "gradients": gradients,
    "mlp": mlp,
    "outputs": outputs,
    "probe": probes,
    "runtime": runtime,
    "trace": trace,
}


def keep() -> None:
    """Let the former names find their modules, where no module of today has the name."""
    for name, module in _FORMER.items():
        sys.modules.setdefault(f"laminet.{name}", module)
