"""Networks in files: safetensors, written and read with the library of that name.

Layer ``i`` of a network, counted from 0, is the tensor ``i.weight`` of shape (out, in) and, where
the layer has a bias, ``i.bias`` of shape (out,); all tensors are F32, or all are F64. These are
the names that ``torch.nn.Sequential`` gives when each layer is one module. The header's metadata
has one entry, ``laminet``, a JSON text with the version of this layout and the activations::

    {"format": 1, "layers": [{"activation": "elu", "alpha": 1.0}, {"activation": "identity"}]}

Format 2 may have ``"head": "softmax"``. Format 3 has more keys, all optional: ``"outputs"``, which
is ``{"kind": "classes", "labels": {"type": "str", "values": ["no", "yes"]}}``, the same with the
kind "labels", or ``{"kind": "quantities", "names": ["price"]}``, where names may be missing;
``"feature_names"``, a list of texts; ``"inputs": [{"name": "obs", "width": 17}, ...]``. Format 2
of older files may have ``"task"``, "classifier", "multilabel" or "regressor", with ``"classes"``.

A safetensors file is 8 bytes (the length of the header, little-endian), the header (JSON) and the
tensors' bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.layers.chain import dense_chain
from laminet.core.layers.dense import Dense
from laminet.files.atomic import replacing, write_by_parts
from laminet.files.bfloat16 import widened
from laminet.files.checkpoint import Checkpoint, Stored
from laminet.files.safetensors_files import header as layout
from laminet.files.safetensors_files.description import KEY, Description
from laminet.files.safetensors_files.header import METADATA, fail, quoted
from laminet.files.suffixes import require_suffix

if TYPE_CHECKING:
    from laminet.core.layers.dense_like import DenseLike
    from laminet.core.mlp import MLP

__all__ = ["read", "save", "write_layers"]


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
    ValueError
        If the name is of a file of another kind, or a label of `outputs` is neither a number nor
        text.
    """
    require_suffix(path, ".safetensors", "save")
    write_layers(dense_chain(net, "net.save"), path, Description.of(net))


def write_layers(
    layers: Iterable[DenseLike],
    path: str | os.PathLike[str],
    description: Description | None = None,
) -> None:
    """Write layers to a safetensors file; `save` without the need for a network.

    Parameters
    ----------
    layers : iterable of Dense
        Objects with ``weight``, ``bias`` and ``activation`` (an `Activation`).
    path : str or path-like
        The file to write.
    description : Description, optional
        All but the weights; by default a plain MLP of these layers.

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
    layers = list(layers)
    for index, layer in enumerate(layers):
        # The library writes the memory behind the array as it lies: strides would be lost.
        tensors[f"{index}.weight"] = np.ascontiguousarray(layer.weight)
        if layer.bias is not None:
            tensors[f"{index}.bias"] = np.ascontiguousarray(layer.bias)
    text = (description or Description.of_layers(layers)).to_json()
    data = serialize(tensors, metadata={KEY: text})
    (length,) = struct.unpack_from("<Q", data)
    if length > layout.MAX_HEADER:
        raise ValueError(f"{len(layers)} layers are too many for one file: load would refuse it")
    # The library's own save_file makes the file readable for its owner only.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        write_by_parts(file, data)


def read(path: str) -> MLP | Checkpoint:
    """Read a safetensors file: a network that `save` wrote, or the tensors of one from elsewhere.

    Raises
    ------
    FormatError
        If the file is damaged, or was made by a later laminet.
    OSError
        If the file is missing or cannot be read.
    """
    data, header, own = layout.read(path, KEY)
    metadata = header.pop(METADATA, None)
    if own:
        return _network(data, header, Description.from_json(metadata))
    return Checkpoint(_stored(data, header))


def _network(data: bytes, header: dict[str, Any], description: Description) -> MLP:
    names = _check_tensors(header, len(description.activations))
    # Not by the library: where there is no memory it ends the process.
    tensors = _stored(data, header)
    layers = []
    for index, (weight, bias) in enumerate(names):
        activation = description.activations[index]
        try:
            layer = Dense(
                tensors[weight].read(), tensors[bias].read() if bias else None, activation
            )
        except ValueError as error:
            fail(f"layer {index}: {error}")
        layers.append(layer)
    try:
        return description.network(layers)
    except ValueError as error:
        fail(str(error))


def _stored(data: bytes, header: dict[str, Any]) -> dict[str, Stored]:
    """Return all tensors, each to be read when it is asked for."""
    start = 8 + struct.unpack_from("<Q", data)[0]

    def stored(name: str, entry: dict[str, Any]) -> Stored:
        def read() -> NDArray[Any]:
            begin, end = entry["data_offsets"]
            return _array(data[start + begin : start + end], entry, name)

        return Stored(tuple(entry["shape"]), entry["dtype"], read)

    return {name: stored(name, entry) for name, entry in header.items()}


def _array(raw: bytes, entry: dict[str, Any], name: str) -> NDArray[Any]:
    """Return the numbers of a tensor, bfloat16 and float16 as float32."""
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype == "BF16":
        values = widened(np.frombuffer(raw, "<u2"))
    elif not shape and dtype in ("I32", "I64"):
        values = np.frombuffer(raw, f"<i{len(raw)}").astype(np.float64)
    elif dtype not in layout.ITEM_SIZES:
        fail(
            f"tensor {quoted(name)}: dtype is {quoted(dtype)}; the weights of a network are F32, "
            "F64, F16 or BF16"
        )
    else:
        values = np.frombuffer(raw, f"<f{layout.ITEM_SIZES[dtype]}")
        values = values.astype(np.float64 if dtype == "F64" else np.float32)
    shaped: NDArray[Any] = values.reshape(shape)
    return shaped


def _check_tensors(header: dict[str, Any], count: int) -> list[tuple[str, str | None]]:
    """Check names, types and shapes of the layers; return each one's weight and bias names."""
    names: list[tuple[str, str | None]] = []
    dtype: str | None = None
    inputs: int | None = None
    for index in range(count):
        weight, bias = f"{index}.weight", f"{index}.bias"
        if weight not in header:
            fail(f"tensor {weight!r} is missing; the metadata names {count} layers")
        shape = header[weight]["shape"]
        if len(shape) != 2 or 0 in shape:
            fail(f"tensor {weight!r}: shape {quoted(shape)} is not (outputs, inputs)")
        if inputs is not None and shape[1] != inputs:
            fail(
                f"tensor {weight!r}: takes {shape[1]} inputs, and layer {index - 1} has "
                f"{inputs} outputs"
            )
        inputs = shape[0]
        if bias in header and header[bias]["shape"] != [inputs]:
            fail(
                f"tensor {bias!r}: shape {quoted(header[bias]['shape'])} does not fit "
                f"the {inputs} outputs of {weight!r}"
            )
        names.append((weight, bias if bias in header else None))
        for name in filter(None, names[-1]):
            dtype = dtype or header[name]["dtype"]
            if header[name]["dtype"] != dtype:
                fail(f"tensor {name!r}: is {header[name]['dtype']}, and {names[0][0]!r} {dtype}")
    known = {name for pair in names for name in pair}
    for name in header:
        if name not in known:
            fail(f"tensor {quoted(name)} belongs to none of the {count} layers")
    return names
