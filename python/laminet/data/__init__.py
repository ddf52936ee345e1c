"""A small trained network and data it has not seen: handwritten digits (see README.md here)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["digits_network", "digits_test_set", "digits_training_set"]

_HERE = Path(__file__).parent


def digits_network() -> MLP:
    """Load a 64-64-32-10 network in float32 that reads handwritten digits.

    Returns
    -------
    MLP
        It takes the 64 pixels of an 8 by 8 image as they are, numbers from 0 to 16, row by row,
        and gives the logits of the digits 0 to 9.
    """
    from laminet.interop.files import load

    return load(_HERE / "digits.safetensors")


def digits_test_set() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Load the 450 handwritten digits that were held out when `digits_network` was trained.

    Returns
    -------
    x : ndarray of shape (450, 64), uint8
        The images, one in each row: 8 by 8 pixels, numbers from 0 to 16.
    y : ndarray of shape (450,), uint8
        The digits.
    """
    return _loaded("digits_test.npz")


def digits_training_set() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Load the 1,347 handwritten digits that `digits_network` was trained on.

    Returns
    -------
    x : ndarray of shape (1347, 64), uint8
        As of `digits_test_set`; no image is in both.
    y : ndarray of shape (1347,), uint8
        The digits.
    """
    return _loaded("digits_training.npz")


def _loaded(name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with np.load(_HERE / name, allow_pickle=False) as file:
        return file["x"], file["y"]
