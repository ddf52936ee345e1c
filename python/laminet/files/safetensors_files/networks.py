"""Networks in safetensors files.

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

Networks of other layers are written in format 4, with the keys of format 3 and two more, the dtype
and the width of the input, which arrays need not tell. A layer is its kind and what its constructor
takes; "tensor" stands for an array, whose tensor has the name of its place, ``layers.0.weight`` or
``layers.1.branches.0.2.bias``::

    {"format": 4, "dtype": "float32", "in_features": 3, "layers": [
        {"kind": "Residual", "layers": [
            {"kind": "LayerNorm", "weight": "tensor", "bias": null, "eps": 1e-05},
            {"kind": "Dense", "weight": "tensor", "bias": null, "activation": {"name": "relu"}}]},
        {"kind": "Activation", "name": "leaky_relu", "alpha": [0.1, 0.2, 0.3]},
        {"kind": "Rescale", "scale": 2.0, "shift": "tensor", "low": -1.0, "high": "inf"},
        {"kind": "Parallel", "join": "concat", "branches": [
            [], [{"kind": "Select", "columns": [2, 0]}],
            [{"kind": "Select", "columns": {"start": 1, "stop": null, "step": null}}]]}]}

Format 5 is format 4 with more that it may have: ``"precision": "bfloat16_weights"`` or
``"bfloat16"``, where the weights of dense layers, the tensors of two axes, are BF16; and
``"missing": [41.5, 0.25, ...]``, what stands for a missing value of each feature: no part of the
network, but of what ``laminet predict`` gives it.

Older versions of laminet refuse both as of a later one, and read all chains of dense layers.

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

from laminet.core.bfloat16 import upper_halves, widened
from laminet.core.layers.tree import walk
from laminet.files.atomic import replacing, write_by_parts
from laminet.files.checkpoint import Checkpoint, Stored
from laminet.files.safetensors_files import chains
from laminet.files.safetensors_files import header as layout
from laminet.files.safetensors_files.description import KEY, Description, named_arrays
from laminet.files.safetensors_files.header import METADATA, fail, quoted
from laminet.files.safetensors_files.trees import Tree
from laminet.files.suffixes import require_suffix

if TYPE_CHECKING:
    from laminet.core.layers.dense_like import DenseLike
    from laminet.core.mlp import MLP

__all__ = ["read", "save", "stand_ins", "write_layers"]

_TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}


def save(net: MLP, path: str | os.PathLike[str], *, missing: Iterable[float] | None = None) -> None:
    """Write a network to a safetensors file.

    The weights keep their type and every bit. The file is complete or absent: it is written
    beside `path` and moved over it at the end.

    Parameters
    ----------
    net : MLP
        The network.
    path : str or path-like
        The file to write; one that exists is replaced. The usual suffix is ``.safetensors``.
    missing : iterable of float, optional
        What stands for a missing value of each feature, finite: `stand_ins` reads it.

    Raises
    ------
    TypeError
        If `path` is neither a str nor path-like.
    OSError
        If the file cannot be written.
    ValueError
        If the name is of a file of another kind, a label of `outputs` is neither a number nor text,
        or there is more of a network than `read` accepts: layers more than some 30 deep within one
        another, or 16 MiB of words.
    """
    require_suffix(path, ".safetensors", "save")
    count = sum(1 for _ in walk(net.layers))
    description = Description.of(net, None if missing is None else tuple(map(float, missing)))
    _write(named_arrays(net, description), description, count, path)


def stand_ins(path: str) -> NDArray[np.float64] | None:
    """Return what stands for a missing value of each feature; None where a file does not say.

    Raises
    ------
    FormatError
        If the file is damaged, or was made by a later laminet.
    OSError
        If the file is missing or cannot be read.
    """
    _, header, own = layout.read(path, KEY)
    missing = Description.from_json(header.get(METADATA)).missing if own else None
    return None if missing is None else np.array(missing)


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
    layers = list(layers)
    described = description or Description.of_layers(layers)
    _write(chains.arrays(layers), described, len(layers), path)


def _write(
    arrays: dict[str, NDArray[Any]],
    description: Description,
    count: int,
    path: str | os.PathLike[str],
) -> None:
    narrow = isinstance(description.layers, Tree) and description.layers.narrow
    halves = {name for name, array in arrays.items() if narrow and array.ndim == 2}
    tensors = {
        name: ("BF16" if name in halves else _TYPES[array.dtype], array.shape)
        for name, array in arrays.items()
    }
    header, order = layout.written(tensors, {KEY: description.to_json()})
    if len(header) - 8 > layout.MAX_HEADER:
        raise ValueError(
            f"{count} layers are too many for one file, or too long in words: load would refuse it"
        )
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(header)
        for name in order:
            array = arrays[name]
            rows = upper_halves(array) if name in halves else np.ascontiguousarray(array)
            little = rows.astype(rows.dtype.newbyteorder("<"), copy=False)
            write_by_parts(file, little.reshape(-1).view(np.uint8).data)


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
        try:
            return _network(data, header, Description.from_json(metadata))
        except RecursionError:
            fail("layers within layers within layers, too deep for where this is called")
    return Checkpoint(_stored(data, header))


def _network(data: bytes, header: dict[str, Any], description: Description) -> MLP:
    # Not by the library: where there is no memory it ends the process.
    tensors = _stored(data, header)
    net, taken = description.made(tensors)
    for name in tensors:
        if name not in taken:
            count = sum(1 for _ in walk(net.layers))
            fail(f"tensor {quoted(name)} belongs to none of the {count} layers")
    return net


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
