"""The outside of a safetensors file: the length of its header, the header, the tensors' places.

Everything is checked against the size of the file before any tensor is read, so that what reading
it allocates is bounded by the file, whatever the header claims.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from laminet.core.errors import FormatError

__all__ = [
    "ITEM_SIZES",
    "MAX_HEADER",
    "METADATA",
    "fail",
    "is_count",
    "parse_json",
    "quoted",
    "read",
    "shortened",
    "written",
]

METADATA = "__metadata__"
#: The types that a network may have, in a file of laminet (the first two) or a state dict.
ITEM_SIZES = {"F32": 4, "F64": 8, "F16": 2, "BF16": 2}
# What else may lie beside the weights of a state dict.
_OTHER_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2}
_OTHER_SIZES |= {"I32": 4, "U32": 4, "I64": 8, "U64": 8, "C64": 8}
_MOST_AXES = 64
# Room for some 80,000 layers. Parsed JSON can take 25 times the memory of its text; the 100 MB that
# the safetensors library accepts would let a hostile file of that size allocate gigabytes.
MAX_HEADER = 16 * 2**20
_LARGEST_COUNT = 2**63 - 1


def fail(message: str) -> NoReturn:
    """Raise a FormatError."""
    raise FormatError(message)


def read(path: str, key: str) -> tuple[bytes, dict[str, Any], bool]:
    """Read the file and its header, and check each number in it against the size of the file.

    The last result is whether the metadata have the key of laminet: the file must then be one that
    laminet wrote, with tensors of no other types and shapes.

    The whole file is read once, not mapped: what was checked is what is used, even if another
    program changes the file meanwhile.
    """
    # Before open(): opening a named pipe would wait for a writer, perhaps for ever.
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        fail("not a regular file" if not Path(path).is_dir() else "a directory, not a file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            fail(f"the file has {len(prefix)} bytes; a safetensors file begins with 8")
        (length,) = struct.unpack("<Q", prefix)
        if length > size - 8:
            fail(
                f"bytes 0 to 7 say that the header has {length} bytes, and {size - 8} follow: "
                "truncated, or not a safetensors file"
            )
        if length > MAX_HEADER:
            fail(f"the header has {length} bytes; at most {MAX_HEADER} are accepted")
        text = file.read(length)
        header = parse_json(text, "header")
        if not isinstance(header, dict):
            fail("header: must be a JSON object")
        metadata = header.get(METADATA)
        own = isinstance(metadata, dict) and key in metadata
        _check_layout(header, size - 8 - length, own)
        return prefix + text + file.read(), header, own


def written(
    tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """Return what stands before the tensors' bytes, and the order in which these follow.

    Not by the library of the format, which writes no bfloat16 of NumPy's and copies every tensor
    twice before the first byte is in the file.

    Parameters
    ----------
    tensors : mapping of str to (str, sequence of int)
        Types and shapes by name.
    metadata : mapping of str to str
    """
    # The largest elements first, so that each lies at a multiple of its size.
    order = sorted(tensors, key=lambda name: (-ITEM_SIZES[tensors[name][0]], name))
    header: dict[str, Any] = {METADATA: dict(metadata)}
    end = 0
    for name in order:
        dtype, shape = tensors[name]
        begin, end = end, end + ITEM_SIZES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def parse_json(text: bytes | str, where: str) -> Any:
    """Return what a JSON text says; refuse what the standard does not allow, and keys twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                fail(f"{where}: the key {quoted(key)} appears twice")
            result[key] = value
        return result

    def no_constant(name: str) -> NoReturn:
        fail(f"{where}: {name} is not a JSON number")

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except FormatError:
        raise
    except RecursionError:
        fail(f"{where}: JSON nested too deeply")
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of 5000 digits
        raise FormatError(f"{where}: not JSON: {error}") from error


def quoted(value: object) -> str:
    """Return a value from the file for a message: escaped, and short whatever the file holds."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # an integer of 5000 digits, lists in lists in lists
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def shortened(text: str, most: int) -> str:
    """Return a text for a message: of a long one, as of deep places, beginning and end."""
    end = most * 2 // 3
    return text if len(text) <= most else f"{text[: most - end - 3]}...{text[-end:]}"


def is_count(value: object) -> bool:
    """Whether a value from the file is an integer that can count or size something."""
    # The limit keeps products of two counts, and messages of them, short.
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return 0 <= value <= _LARGEST_COUNT


def _check_layout(header: dict[str, Any], data_size: int, own: bool) -> None:
    """Check that the tensors are well described and tile the `data_size` bytes of data."""
    sizes = ITEM_SIZES if own else ITEM_SIZES | _OTHER_SIZES
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        if name == METADATA:
            continue
        where = f"tensor {quoted(name)}"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            fail(f"{where}: must have dtype, shape and data_offsets, and nothing else")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in sizes:
            fail(f"{where}: dtype is {quoted(dtype)}; a network is F32, F64, F16 or BF16")
        if not isinstance(shape, list) or not all(map(is_count, shape)):
            fail(f"{where}: shape {quoted(shape)} is not a list of sizes")
        if len(shape) > (2 if own else _MOST_AXES):
            fail(f"{where}: shape {quoted(shape)} has {len(shape)} axes; 1 or 2 are possible")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_count, offsets)):
            fail(f"{where}: data_offsets {quoted(offsets)} is not a pair of positions")
        begin, end = offsets
        if not begin <= end <= data_size:
            fail(
                f"{where}: data_offsets {quoted(offsets)} leave the {data_size} bytes of data"
                " in the file: truncated?"
            )
        needed = sizes[dtype]
        for extent in shape:
            needed *= extent
        if end - begin != needed:
            fail(
                f"{where}: shape {quoted(shape)} of {dtype} takes {quoted(needed)} bytes, and "
                f"data_offsets {quoted(offsets)} hold {end - begin}"
            )
        spans.append((begin, end, where))
    spans.sort()
    for (_, end, where), (begin, _, other) in pairwise(spans):
        if begin != end:
            what = "overlap" if begin < end else "leave a gap"
            fail(f"{where} and {other} {what} at byte {min(begin, end)} of the data")
    if spans and spans[0][0] != 0:
        fail(f"{spans[0][2]}: the first tensor begins at byte {spans[0][0]} of the data, not 0")
    used = spans[-1][1] if spans else 0
    if used != data_size:
        fail(f"the tensors end at byte {used} of the data, and the file has {data_size}")
