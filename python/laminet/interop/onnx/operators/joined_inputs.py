"""Features of several values side by side."""

from __future__ import annotations

from laminet.interop.onnx.values import Tensor
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import joined
from laminet.interop.symbolic.reading import BranchError

__all__ = ["side_by_side"]


def side_by_side(values: list[Tensor]) -> tuple[Form, tuple[tuple[str, int | None], ...]]:
    """Return the features of some values, in that order, and the inputs that they depend on.

    Raises
    ------
    ValueError
        If they are results of inputs that cannot be one, because of one the width is not known.
    """
    forms = [v.value.resolved().selected(v.feature_order().ravel()) for v in values]
    inputs = tuple(dict.fromkeys(pair for value in values for pair in value.inputs))
    try:
        return joined(forms), inputs
    except BranchError:
        names = " and ".join(repr(name[:60]) for name, _ in inputs[:3])
        raise ValueError(
            f"joins results of different inputs, {names}, and the model does not fix how many "
            "features each has"
        ) from None
