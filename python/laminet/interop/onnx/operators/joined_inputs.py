"""Features of several values side by side: parts of the inputs, or results of layers over one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.values import Tensor
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.reading import BranchError

__all__ = ["side_by_side"]

Array = NDArray[Any]
Inputs = tuple[tuple[str, "int | None"], ...]


def side_by_side(values: list[Tensor]) -> tuple[Form, Inputs]:
    """Return the features of some values, in that order, and the inputs that they depend on.

    Several inputs become one, in the order in which they come first.

    Raises
    ------
    ValueError
        If the values are results of different layers, or of different inputs.
    """
    forms = [v.value.resolved().selected(v.feature_order().ravel()) for v in values]
    inputs = tuple(dict.fromkeys(pair for value in values for pair in value.inputs))
    of_inputs = all(form.step is form.source and form.weight is None for form in forms)
    if of_inputs and not forms[0].blocks:
        return _of_inputs(forms, [v.inputs for v in values], inputs), inputs
    if any(value.inputs != inputs for value in values):
        names = " and ".join(repr(name[:60]) for name, _ in inputs[:3])
        raise ValueError(
            f"joins results of different inputs, {names}: a laminet network has one input, and "
            "only inputs that are joined before the first layer can be one"
        )
    try:
        return joined(forms), inputs
    except BranchError:
        raise ValueError(
            "joins results of different layers, and in a laminet network each layer takes the one "
            "before it"
        ) from None


def _of_inputs(forms: list[Form], of: list[Inputs], inputs: Inputs) -> Form:
    starts: dict[str, int] = {}
    total = 0
    for name, width in inputs:
        if width is None:
            raise ValueError(
                f"joins the input {name[:60]!r}, of which the model does not fix how many features "
                "it has"
            )
        starts[name] = total
        total += width
    columns, scales, shifts = [], [], []
    for form, own in zip(forms, of, strict=True):
        places = np.concatenate([np.arange(starts[n], starts[n] + (w or 0)) for n, w in own])
        taken = places if form.columns is None else places[form.columns]
        columns.append(taken)
        scales.append(np.broadcast_to(1.0 if form.scale is None else form.scale, taken.size))
        shifts.append(np.broadcast_to(0.0 if form.shift is None else form.shift, taken.size))
    base = Form.input(total, reading=forms[0].source.reading, name=inputs)
    return base.selected(np.concatenate(columns)).scaled(
        np.concatenate(scales), np.concatenate(shifts)
    )
