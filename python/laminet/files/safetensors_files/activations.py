"""Activation functions as JSON."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from laminet.core.activation import ACTIVATIONS, Activation, activation_named
from laminet.files.safetensors_files.header import fail, quoted

__all__ = ["from_json", "parameters_to_json"]


def parameters_to_json(activation: Activation) -> dict[str, Any]:
    """Return the parameters; those by unit as lists: they are no weights, and of float64."""
    values = activation.parameters.items()
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values}


def from_json(name: Any, parameters: dict[str, Any], where: str) -> Activation:
    """Return an activation; raise FormatError. A list is a parameter by unit."""
    if not isinstance(name, str):
        fail(f"{where}: names no activation")
    if name not in ACTIVATIONS:
        fail(f"{where}: unknown activation {quoted(name)}")
    for key, value in parameters.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                fail(f"{where}: {quoted(key)} is {quoted(number)}, not a number")
            if not abs(number) <= sys.float_info.max:
                fail(f"{where}: {quoted(key)} is {quoted(number)}, not a finite number")
    known = sorted(ACTIVATIONS[name])
    if sorted(parameters) != known:
        found = quoted(sorted(parameters))
        fail(f"{where}: {name!r} has the parameters {known}, not {found}")
    # As floats: of large integers NumPy makes an array of objects.
    numbers = {
        k: list(map(float, v)) if isinstance(v, list) else float(v) for k, v in parameters.items()
    }
    try:
        return activation_named(name, **numbers)
    except ValueError as error:
        fail(f"{where}: {error}")
