"""Networks in files of every kind, told apart by the ending of the name."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laminet.activation import Activation
from laminet.errors import FormatError
from laminet.interop.atomic import errors_about, text_path
from laminet.interop.onnx import from_onnx, to_onnx
from laminet.interop.safetensors_files import load, save
from laminet.interop.state_dicts import network_of_state_dict

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["read_network", "write_network"]

_TORCH = (".pt", ".pth")
# Under which a checkpoint keeps the weights beside the state of an optimiser and other things.
_STATE_DICTS = ("state_dict", "model_state_dict")


def read_network(
    path: str | os.PathLike[str],
    activations: Sequence[str | Activation] | None = None,
    head: str | None = None,
) -> MLP:
    """Return the network in a file: ``.onnx``, ``.pt`` or ``.pth``, or else safetensors.

    Parameters
    ----------
    path : str or os.PathLike
    activations : sequence of str or Activation, optional
        Of a state dict, one for each layer; see `laminet.load`.
    head : {None, "softmax", "log_softmax"}
        Of a state dict.

    Returns
    -------
    MLP

    Raises
    ------
    FormatError
        If the file is not what its name says, or no network.
    ValueError
        If activations are given for a file that has its own, or are missing.
    OSError
        If the file cannot be read.
    ImportError
        If the package that reads such files, onnx or torch, is not installed.
    """
    suffix = Path(text_path(path)).suffix.lower()
    if suffix == ".onnx":
        if activations is not None or head is not None:
            raise ValueError(f"{path}: an ONNX model has activations of its own")
        return from_onnx(path)
    if suffix in _TORCH:
        return _read_torch(text_path(path), activations, head)
    return load(path, activations, head=head)


def write_network(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a network: as ``.onnx`` if the name ends so, or as ``.safetensors``.

    Raises
    ------
    ValueError
        If the name ends otherwise, or the format cannot hold the network.
    OSError
        If the file cannot be written.
    ImportError
        If the package onnx is not installed.
    """
    suffix = Path(text_path(path)).suffix.lower()
    if suffix == ".onnx":
        to_onnx(net, path)
    elif suffix == ".safetensors":
        save(net, path)
    else:
        raise ValueError(f"{path}: the name must end in .safetensors or .onnx")


def _read_torch(name: str, activations: Any, head: str | None) -> MLP:
    """Read a state dict with PyTorch's loader of weights only, which runs no code of the file."""
    import torch

    from laminet.interop.pytorch.values import as_array

    with errors_about(name):
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise FormatError(f"{name}: not a regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(name, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # Of many kinds, with advice in many lines to load the file unsafely.
        reason = str(error).partition("\n")[0][:200]
        raise FormatError(
            f"{name}: PyTorch's loader of weights refuses it, which reads state dicts and no whole "
            f"modules ({type(error).__name__}: {reason})"
        ) from None
    for key in _STATE_DICTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()
    ):
        raise FormatError(f"{name}: holds no state dict, a mapping of names to tensors")
    if activations is None:
        raise ValueError(f"{name}: a state dict has no activations: name one for each layer")
    try:
        tensors = {key: as_array(tensor, f"tensor {key!r}") for key, tensor in loaded.items()}
    except ValueError as error:
        raise FormatError(f"{name}: {error}") from None
    try:
        return network_of_state_dict(tensors, activations, head)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
