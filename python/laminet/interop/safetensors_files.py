"""Networks in files: safetensors, written and read with the library of that name.

Layer ``i`` of a network, counted from 0, is the tensor ``i.weight`` of shape (out, in) and, where
the layer has a bias, ``i.bias`` of shape (out,); all tensors are F32, or all are F64. These are
the names that ``torch.nn.Sequential`` gives when each layer is one module. The header's metadata
has one entry, ``laminet``, a JSON text with the version of this layout and the activations::

    {"format": 1, "layers": [{"activation": "elu", "alpha": 1.0}, {"activation": "identity"}]}

A network with a head is of format 2, which has one more key: ``"head": "softmax"``.

A safetensors file is 8 bytes (the length of the header, little-endian), the header (JSON) and the
tensors' bytes. `load` checks the whole header against the size of the file before any tensor is
read, so that what it allocates is bounded by the file, whatever the header claims.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from laminet.activation import ACTIVATIONS, Activation
from laminet.errors import FormatError
from laminet.head import HEADS
from laminet.interop.atomic import errors_about, replacing, text_path

if TYPE_CHECKING:
    from laminet.mlp import MLP
    from laminet.reference import Layer

__all__ = ["load", "save", "write_layers"]

FORMAT_VERSION = 2
_METADATA = "__metadata__"
_KEY = "laminet"
_ITEM_SIZES = {"F32": 4, "F64": 8}
# Room for some 80,000 layers. Parsed JSON can take 25 times the memory of its text; the 100 MB that
# the safetensors library accepts would let a hostile file of that size allocate gigabytes.
_MAX_HEADER = 16 * 2**20
_LARGEST_COUNT = 2**63 - 1


def save(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a network to a safetensors file.

    The weights keep their type and every bit. The file is complete or absent: it is written
    beside `path` and moved over it at the end.

    Parameters
    ----------
    net : MLP
        The network.
    path : str or path-like
        The file to write; one that exists is replaced. The usual suffix is ``.safetensors``.

    Raises
    ------
    TypeError
        If `path` is neither a str nor path-like.
    OSError
        If the file cannot be written.
    """
    write_layers(net.layers, path, head=net.head)


def write_layers(
    layers: Iterable[Layer], path: str | os.PathLike[str], *, head: str | None = None
) -> None:
    """Write layers to a safetensors file; `save` without the need for a network.

    Parameters
    ----------
    layers : iterable of Dense
        Objects with ``weight``, ``bias`` and ``activation`` (an `Activation`).
    path : str or path-like
        The file to write.
    head : {None, "softmax", "log_softmax"}
        What follows the last layer.

    Raises
    ------
    TypeError
        If `path` is neither a str nor path-like.
    OSError
        If the file cannot be written.
    ValueError
        If there are more layers, some 80,000, than `load` would accept.
    """
    from safetensors.numpy import save as serialize

    tensors: dict[str, NDArray[Any]] = {}
    rows: list[dict[str, Any]] = []
    for index, layer in enumerate(layers):
        # The library writes the memory behind the array as it lies: strides would be lost.
        tensors[f"{index}.weight"] = np.ascontiguousarray(layer.weight)
        if layer.bias is not None:
            tensors[f"{index}.bias"] = np.ascontiguousarray(layer.bias)
        rows.append({"activation": layer.activation.name, **layer.activation.parameters})
    # The oldest format that can say it, so that the oldest laminet that can run it reads it.
    description: dict[str, Any] = {"format": 1, "layers": rows}
    if head is not None:
        description.update(format=2, head=head)
    data = serialize(tensors, metadata={_KEY: json.dumps(description, allow_nan=False)})
    (length,) = struct.unpack_from("<Q", data)
    if length > _MAX_HEADER:
        raise ValueError(f"{len(rows)} layers are too many for one file: load would refuse it")
    # The library's own save_file makes the file readable for its owner only.
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | os.PathLike[str]) -> MLP:
    """Read a network from a safetensors file that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    MLP
        The network, equal to the one saved, bit for bit.

    Raises
    ------
    FormatError
        If the file is not a laminet network, is damaged, or was made by a later laminet.
    OSError
        If the file is missing or cannot be read.
    TypeError
        If `path` is neither a str nor path-like.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    from laminet.dense import Dense
    from laminet.mlp import MLP

    name = text_path(path)
    try:
        with errors_about(name):
            data, header = _read(name)
        activations, head = _description(header.pop(_METADATA, None))
        names = _check_tensors(header, len(activations))
        try:
            tensors = deserialize(data)
        except SafetensorError as error:
            _fail(f"the safetensors library rejects it: {error}")
        layers = []
        for index, (activation, (weight, bias)) in enumerate(zip(activations, names, strict=True)):
            try:
                layer = Dense(tensors[weight], tensors[bias] if bias else None, activation)
            except ValueError as error:
                _fail(f"layer {index}: {error}")
            layers.append(layer)
        return MLP(layers, head=head)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error.__cause__


def _fail(message: str) -> NoReturn:
    raise FormatError(message)


def _read(path: str) -> tuple[bytes, dict[str, Any]]:
    """Read the file and its header, and check each number in it against the size of the file.

    The whole file is read once, not mapped: what was checked is what is used, even if another
    program changes the file meanwhile.
    """
    # Before open(): opening a named pipe would wait for a writer, perhaps for ever.
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        _fail("not a regular file" if not Path(path).is_dir() else "a directory, not a file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            _fail(f"the file has {len(prefix)} bytes; a safetensors file begins with 8")
        (length,) = struct.unpack("<Q", prefix)
        if length > size - 8:
            _fail(
                f"bytes 0 to 7 say that the header has {length} bytes, and {size - 8} follow: "
                "truncated, or not a safetensors file"
            )
        if length > _MAX_HEADER:
            _fail(f"the header has {length} bytes; at most {_MAX_HEADER} are accepted")
        text = file.read(length)
        header = _parse_json(text, "header")
        if not isinstance(header, dict):
            _fail("header: must be a JSON object")
        _check_layout(header, size - 8 - length)
        return prefix + text + file.read(), header


def _parse_json(text: bytes | str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                _fail(f"{where}: the key {_quoted(key)} appears twice")
            result[key] = value
        return result

    def no_constant(name: str) -> NoReturn:
        _fail(f"{where}: {name} is not a JSON number")

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except FormatError:
        raise
    except RecursionError:
        _fail(f"{where}: JSON nested too deeply")
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of 5000 digits
        raise FormatError(f"{where}: not JSON: {error}") from error


def _quoted(value: object) -> str:
    """Return a value from the file for a message: escaped, and short whatever the file holds."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # an integer of 5000 digits, lists in lists in lists
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def _is_count(value: object) -> bool:
    # The limit keeps products of two counts, and messages of them, short.
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return 0 <= value <= _LARGEST_COUNT


def _check_layout(header: dict[str, Any], data_size: int) -> None:
    """Check that the tensors are well described and tile the `data_size` bytes of data."""
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        if name == _METADATA:
            continue
        where = f"tensor {_quoted(name)}"
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            _fail(f"{where}: must have dtype, shape and data_offsets, and nothing else")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _ITEM_SIZES:
            _fail(f"{where}: dtype is {_quoted(dtype)}; a network is F32 or F64")
        if not isinstance(shape, list) or not all(map(_is_count, shape)):
            _fail(f"{where}: shape {_quoted(shape)} is not a list of sizes")
        if len(shape) > 2:
            _fail(f"{where}: shape {_quoted(shape)} has {len(shape)} axes; 1 or 2 are possible")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            _fail(f"{where}: data_offsets {_quoted(offsets)} is not a pair of positions")
        begin, end = offsets
        if not begin <= end <= data_size:
            _fail(
                f"{where}: data_offsets {_quoted(offsets)} leave the {data_size} bytes of data"
                " in the file: truncated?"
            )
        needed = _ITEM_SIZES[dtype]
        for extent in shape:
            needed *= extent
        if end - begin != needed:
            _fail(
                f"{where}: shape {_quoted(shape)} of {dtype} takes {_quoted(needed)} bytes, and "
                f"data_offsets {_quoted(offsets)} hold {end - begin}"
            )
        spans.append((begin, end, where))
    spans.sort()
    for (_, end, where), (begin, _, other) in pairwise(spans):
        if begin != end:
            what = "overlap" if begin < end else "leave a gap"
            _fail(f"{where} and {other} {what} at byte {min(begin, end)} of the data")
    if spans and spans[0][0] != 0:
        _fail(f"{spans[0][2]}: the first tensor begins at byte {spans[0][0]} of the data, not 0")
    used = spans[-1][1] if spans else 0
    if used != data_size:
        _fail(f"the tensors end at byte {used} of the data, and the file has {data_size}")


def _description(metadata: Any) -> tuple[list[Activation], str | None]:
    """Read the ``laminet`` entry of the metadata: one activation for each layer, and the head."""
    if not isinstance(metadata, dict) or _KEY not in metadata:
        _fail(f"no {_KEY!r} entry in the metadata: not a file that laminet saved")
    where = f"metadata {_KEY!r}"
    if not isinstance(metadata[_KEY], str):
        _fail(f"{where}: must be a text")
    description = _parse_json(metadata[_KEY], where)
    if not isinstance(description, dict) or not _is_count(description.get("format")):
        _fail(f"{where}: has no format number")
    version = description["format"]
    if version > FORMAT_VERSION:
        _fail(
            f"{where}: format {_quoted(version)} is of a later laminet; this one reads up to "
            f"{FORMAT_VERSION}"
        )
    keys = {"format", "layers"} if version == 1 else {"format", "layers", "head"}
    if version < 1 or set(description) != keys:
        _fail(f"{where}: is not of the form that format {_quoted(version)} has")
    rows = description["layers"]
    if not isinstance(rows, list) or not rows:
        _fail(f"{where}: layers must be a list of one or more")
    head = description.get("head")
    if version > 1 and head not in HEADS:
        _fail(f"{where}: unknown head {_quoted(head)}")
    return [_activation(row, f"{where}: layer {index}") for index, row in enumerate(rows)], head


def _activation(row: Any, where: str) -> Activation:
    if not isinstance(row, dict) or not isinstance(row.get("activation"), str):
        _fail(f"{where}: names no activation")
    name = row["activation"]
    if name not in ACTIVATIONS:
        _fail(f"{where}: unknown activation {_quoted(name)}")
    parameters = {key: value for key, value in row.items() if key != "activation"}
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _fail(f"{where}: {_quoted(key)} is {_quoted(value)}, not a number")
        if not abs(value) <= sys.float_info.max:
            _fail(f"{where}: {_quoted(key)} is {_quoted(value)}, not a finite number")
    known = sorted(ACTIVATIONS[name])
    if sorted(parameters) != known:
        found = _quoted(sorted(parameters))
        _fail(f"{where}: {name!r} has the parameters {known}, not {found}")
    return Activation(name, **parameters)


def _check_tensors(header: dict[str, Any], count: int) -> list[tuple[str, str | None]]:
    """Check names, types and shapes of the layers; return each one's weight and bias names."""
    names: list[tuple[str, str | None]] = []
    dtype: str | None = None
    inputs: int | None = None
    for index in range(count):
        weight, bias = f"{index}.weight", f"{index}.bias"
        if weight not in header:
            _fail(f"tensor {weight!r} is missing; the metadata names {count} layers")
        shape = header[weight]["shape"]
        if len(shape) != 2 or 0 in shape:
            _fail(f"tensor {weight!r}: shape {_quoted(shape)} is not (outputs, inputs)")
        if inputs is not None and shape[1] != inputs:
            _fail(
                f"tensor {weight!r}: takes {shape[1]} inputs, and layer {index - 1} has "
                f"{inputs} outputs"
            )
        inputs = shape[0]
        if bias in header and header[bias]["shape"] != [inputs]:
            _fail(
                f"tensor {bias!r}: shape {_quoted(header[bias]['shape'])} does not fit "
                f"the {inputs} outputs of {weight!r}"
            )
        names.append((weight, bias if bias in header else None))
        for name in filter(None, names[-1]):
            dtype = dtype or header[name]["dtype"]
            if header[name]["dtype"] != dtype:
                _fail(f"tensor {name!r}: is {header[name]['dtype']}, and {names[0][0]!r} {dtype}")
    known = {name for pair in names for name in pair}
    for name in header:
        if name not in known:
            _fail(f"tensor {_quoted(name)} belongs to none of the {count} layers")
    return names
