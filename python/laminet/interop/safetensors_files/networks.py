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
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.activation import Activation
from laminet.errors import FormatError
from laminet.interop.atomic import errors_about, replacing, text_path
from laminet.interop.safetensors_files import header as layout
from laminet.interop.safetensors_files.description import KEY, Description
from laminet.interop.safetensors_files.header import METADATA, fail, quoted
from laminet.interop.state_dicts import network_of_state_dict

if TYPE_CHECKING:
    from laminet.mlp import MLP
    from laminet.reference import Layer

__all__ = ["load", "save", "write_layers"]


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
        If the labels of a classifier are neither numbers nor text.
    """
    write_layers(net.layers, path, Description.of(net))


def write_layers(
    layers: Iterable[Layer], path: str | os.PathLike[str], description: Description | None = None
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
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(
    path: str | os.PathLike[str],
    activations: Sequence[str | Activation] | None = None,
    *,
    head: str | None = None,
) -> MLP:
    """Read a network from a safetensors file.

    Parameters
    ----------
    path : str or path-like
        A file that `MLP.save` wrote; or, with `activations`, one from elsewhere that holds the
        weights (out_features, in_features) and biases of dense layers, such as the state dict of a
        ``torch.nn.Sequential``: tensors ``PREFIX.weight`` and ``PREFIX.bias`` of any float type.
    activations : sequence of str or Activation, optional
        For a file from elsewhere: one for each layer, "identity" where there is none.
    head : {None, "softmax", "log_softmax"}
        For a file from elsewhere: what follows the last layer.

    Returns
    -------
    MLP
        The network, equal to the one saved, bit for bit. Of a file from elsewhere a float64 network
        if a tensor is F64, else float32.

    Raises
    ------
    FormatError
        If the file is not a laminet network, is damaged, or was made by a later laminet. Of a file
        from elsewhere, if the order of its layers is not certain: numbers in the names tell it
        (``0``, ``2``, ``10``; ``fc1``, ``fc2``), and where names differ otherwise, shapes do, if
        only one order fits. Also if it holds other tensors, for instance of a batch normalisation.
    ValueError
        If `activations` are not as many as the layers, or are given for a file that names its own.
    OSError
        If the file is missing or cannot be read.
    TypeError
        If `path` is neither a str nor path-like.

    """
    name = text_path(path)
    try:
        with errors_about(name):
            data, header = layout.read(name)
        metadata = header.pop(METADATA, None)
        if activations is None and head is None:
            return _network(data, header, Description.from_json(metadata))
        if isinstance(metadata, dict) and KEY in metadata:
            raise ValueError(f"activations are given for {name}, which laminet saved with its own")
        if activations is None:
            raise ValueError("head is given without activations")
        return network_of_state_dict(_arrays(data, header), activations, head)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error.__cause__


def _network(data: bytes, header: dict[str, Any], description: Description) -> MLP:
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    from laminet.dense import Dense

    names = _check_tensors(header, len(description.activations))
    try:
        tensors = deserialize(data)
    except SafetensorError as error:
        fail(f"the safetensors library rejects it: {error}")
    layers = []
    for index, (weight, bias) in enumerate(names):
        activation = description.activations[index]
        try:
            layer = Dense(tensors[weight], tensors[bias] if bias else None, activation)
        except ValueError as error:
            fail(f"layer {index}: {error}")
        layers.append(layer)
    try:
        return description.network(layers)
    except ValueError as error:
        fail(str(error))


def _arrays(data: bytes, header: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return all tensors, bfloat16 as float32: NumPy, and so the library, has no such type."""
    start = 8 + struct.unpack_from("<Q", data)[0]
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[start + begin : start + end]
        if entry["dtype"] == "BF16":
            # bfloat16 is the upper half of a float32.
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, f"<f{layout.ITEM_SIZES[entry['dtype']]}")
        arrays[name] = values.reshape(entry["shape"])
    return arrays


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
