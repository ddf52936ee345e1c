"""A network as words and arrays, for files that hold other things beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.files.checkpoint import Stored
from laminet.files.safetensors_files.description import KEY, Description, named_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP

__all__ = ["joined", "parts"]

_TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}


def parts(net: MLP) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return what a file says of a network, and its arrays by name.

    Raises
    ------
    ValueError
        If a layer is of no kind that has a place in files.
    """
    description = Description.of(net)
    return description.to_json(), named_arrays(net, description)


def joined(words: str, arrays: Mapping[str, NDArray[Any]]) -> MLP:
    """Return the network that `parts` took apart.

    Raises
    ------
    FormatError
        If they do not describe one.
    """
    tensors = {
        name: Stored(array.shape, _TYPES.get(array.dtype, str(array.dtype)), array.copy)
        for name, array in arrays.items()
    }
    net, _ = Description.from_json({KEY: words}).made(tensors)
    return net
