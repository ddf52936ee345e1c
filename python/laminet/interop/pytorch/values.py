"""The numbers of PyTorch's tensors."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["as_array", "as_optional", "unit_roundoff"]

Array = NDArray[Any]


def as_array(tensor: Any, name: str) -> Array:
    """Return a tensor's numbers: float64 as such, all narrower types as float32.

    Raises
    ------
    ValueError
        If it holds no real floating-point numbers that can be read.
    """
    import torch

    if tensor.is_meta or isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise ValueError(f"{name} has no values yet")
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_quantized:
        kind = str(tensor.dtype).removeprefix("torch.")
        layout = "" if tensor.layout == torch.strided else f"{tensor.layout} ".replace("torch.", "")
        raise ValueError(f"{name} is a {layout}tensor of {kind}, not of real numbers")
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    plain = tensor.detach().to(device="cpu", dtype=wide)
    if type(plain) is not torch.Tensor:
        raise ValueError(f"{name} is a {type(plain).__name__}, whose values cannot be read")
    array: Array = plain.numpy()
    return array


def as_optional(tensor: Any, name: str) -> Array | None:
    """Return a tensor's numbers, None where there is no tensor."""
    return None if tensor is None else as_array(tensor, name)


def unit_roundoff(tensor: Any) -> float:
    """Return the distance of 1 to the next number of a tensor's type."""
    import torch

    return float(torch.finfo(tensor.dtype).eps)
