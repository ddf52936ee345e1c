"""Tensors in ONNX files as NumPy arrays: nothing is allocated that the file does not hold."""

from __future__ import annotations

import math
import os
import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.bfloat16 import widened

__all__ = ["FLOAT_UNITS", "INTEGERS", "External", "to_array"]

Array = NDArray[Any]

# Number in TensorProto.DataType: name, NumPy type of the bytes, field for what is not in bytes.
_TYPES: dict[int, tuple[str, str, str]] = {
    1: ("FLOAT", "<f4", "float_data"),
    2: ("UINT8", "<u1", "int32_data"),
    3: ("INT8", "<i1", "int32_data"),
    4: ("UINT16", "<u2", "int32_data"),
    5: ("INT16", "<i2", "int32_data"),
    6: ("INT32", "<i4", "int32_data"),
    7: ("INT64", "<i8", "int64_data"),
    9: ("BOOL", "?", "int32_data"),
    10: ("FLOAT16", "<f2", "int32_data"),
    11: ("DOUBLE", "<f8", "double_data"),
    12: ("UINT32", "<u4", "uint64_data"),
    13: ("UINT64", "<u8", "uint64_data"),
    16: ("BFLOAT16", "<u2", "int32_data"),
}
#: The integer types, and NumPy's names of them.
INTEGERS = {2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 12: "u4", 13: "u8"}
#: The floating-point types that a network's values may have, and their unit roundoffs.
FLOAT_UNITS = {1: 2.0**-24, 10: 2.0**-11, 11: 2.0**-53, 16: 2.0**-8}

_STRING, _BFLOAT16 = 8, 16
_EXTERNAL = 1  # TensorProto.DataLocation


class External:
    """The folder in which a model's external data may lie.

    Parameters
    ----------
    folder : str or None
        None for a model that is in no file.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else os.path.realpath(folder)

    def read(self, entries: dict[str, str], size: int) -> bytes:
        """Return `size` bytes of the file that a tensor names.

        Raises
        ------
        ValueError
            If the place is not within the folder, or the file does not hold that much.
        """
        if self._folder is None:
            raise ValueError("its data is in another file, and the model is in none: give its path")
        location = entries.get("location", "")
        path = os.path.realpath(os.path.join(self._folder, location))
        inside = os.path.commonpath([self._folder, path]) == self._folder
        if not location or "\0" in location or os.path.isabs(location) or not inside:
            raise ValueError(f"its data is at {location[:60]!r}, outside the model's folder")
        begin, length = (_count(entries.get(key, "0")) for key in ("offset", "length"))
        if "length" in entries and length != size:
            raise ValueError(f"its data has {length} bytes, and its shape takes {size}")
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"its data is at {location[:60]!r}, which is not a regular file")
            if begin + size > status.st_size:
                raise ValueError(
                    f"its data ends at byte {begin + size} of {location[:60]!r}, which has "
                    f"{status.st_size}"
                )
            with open(path, "rb") as file:
                file.seek(begin)
                data = file.read(size)
        except OSError as error:
            raise ValueError(f"its data is at {location[:60]!r}: {error.strerror}") from None
        if len(data) != size:
            raise ValueError(f"its data at {location[:60]!r} is truncated")
        return data


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"the place of its data is {text[:40]!r}, not a number")
    return int(text)


def to_array(tensor: Any, external: External) -> Array:
    """Return a TensorProto as an array, bfloat16 as float32.

    Raises
    ------
    ValueError
        If it is of another type, or its data does not fit its shape.
    """
    shape = tuple(tensor.dims)
    if any(extent < 0 for extent in shape) or len(shape) > 32:
        raise ValueError(f"a constant of shape {shape[:8]} is no tensor")
    size = math.prod(shape)
    if tensor.data_type == _STRING:
        return _reshaped(
            np.array([_text(b) for b in tensor.string_data], dtype=object), size, shape
        )
    if tensor.data_type not in _TYPES:
        raise ValueError(f"a constant has the type {_type_name(tensor)}, which is not read")
    _, raw_type, field = _TYPES[tensor.data_type]
    if tensor.data_location == _EXTERNAL:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        data = external.read(entries, size * np.dtype(raw_type).itemsize)
        array = np.frombuffer(data, raw_type)
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size * np.dtype(raw_type).itemsize:
            raise ValueError(f"a constant of shape {shape} has {len(tensor.raw_data)} bytes")
        array = np.frombuffer(tensor.raw_data, raw_type)
    else:
        values = np.array(getattr(tensor, field))
        if tensor.data_type in (10, _BFLOAT16):  # 16 bits, kept in integers
            array = values.astype(np.uint16).view(raw_type)
        else:
            array = values.astype(raw_type)
    if tensor.data_type == _BFLOAT16:
        array = widened(array)
    return _reshaped(array, size, shape)


def _type_name(tensor: Any) -> str:
    from onnx import TensorProto

    names: dict[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(int(tensor.data_type), str(tensor.data_type))


def _reshaped(array: Array, size: int, shape: tuple[int, ...]) -> Array:
    if array.size != size:
        raise ValueError(f"a constant of shape {shape} has {array.size} elements")
    return array.reshape(shape)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a label is not text in UTF-8") from None
