"""Arrays of other libraries: what they give as an array of NumPy, or need to be told first."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from laminet.core.conversion import refusals

__all__ = ["tensor_array"]

Array = np.ndarray[Any, np.dtype[Any]]


def tensor_array(value: Any, name: str) -> Array:
    """Return an object that is neither a list nor a NumPy array as an array of any dtype.

    Raises
    ------
    TypeError, ValueError
        If it cannot be read, with what can be done about it.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, getattr(torch, "Tensor", ())):
        return _torch_array(torch, value, name)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, BufferError) as error:
        refusals.refuse_unreadable(value, name, error)
        raise


def _torch_array(torch: Any, tensor: Any, name: str) -> Array:
    if tensor.is_nested:
        raise TypeError(f"{name} is a nested tensor: give {name}.to_padded_tensor(0.0)")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} is a sparse tensor: give {name}.to_dense()")
    if tensor.is_quantized:
        raise TypeError(f"{name} is a quantized tensor: give {name}.dequantize()")
    if tensor.is_complex():
        raise TypeError(
            f"{name} must hold real numbers, got {tensor.dtype}; "
            f"the network takes real numbers, as in {name}.real or {name}.abs()"
        )
    if tensor.requires_grad:
        raise TypeError(
            f"{name} is a tensor that requires grad, which ends here: give {name}.detach()"
        )
    if tensor.device.type == "meta":
        raise TypeError(f"{name} is a tensor on the device meta: it holds no numbers")
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is a tensor on the device {tensor.device}: give {name}.cpu()")
    # bfloat16 and float8, which NumPy does not have; float32 holds them exactly.
    if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
        tensor = tensor.float()
    try:
        return np.asarray(tensor.resolve_neg())
    except (TypeError, ValueError, RuntimeError) as error:
        refusals.refuse_unreadable(tensor, name, error)
        raise
