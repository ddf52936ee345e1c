"""How the network that reads digits is made."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.losses import CrossEntropy
from laminet.optim import AdamW
from laminet.optim.schedules import Step

if TYPE_CHECKING:
    from laminet.training import Epoch

__all__ = ["EPOCHS", "train_digits"]

#: How often each image is seen.
EPOCHS = 60

_SEED = 0
_LARGEST_PIXEL = 16
# Of an image within a border of a pixel: itself, and moved by a pixel to the four sides.
_CORNERS = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))


def train_digits(
    x: NDArray[Any],
    y: NDArray[Any],
    after_epoch: Callable[[int, float, MLP], None] | None = None,
    *,
    epochs: int = EPOCHS,
) -> MLP:
    """Train a 64-64-32-10 network on images of digits and, of each, four that are moved a little.

    The settings were chosen on a part of the training digits. The learning rate falls by powers of
    two, which are exact: cosines differ between C libraries, and the network is to have the same
    bits on every CPU from AVX2 on.

    Parameters
    ----------
    x : ndarray of shape (batch, 64)
        Pixels from 0 to 16, row by row.
    y : ndarray of shape (batch,)
        The digits.
    after_epoch : callable, optional
        Called after each epoch with its number, its loss, and the network.
    epochs : int, default 60

    Returns
    -------
    MLP
        It takes pixels from 0 to 16.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    """
    from laminet.training import fit

    def tell(epoch: Epoch) -> None:
        if after_epoch is not None:
            after_epoch(epoch.number, epoch.loss, _of_pixels(epoch.network))

    images, digits = _with_moved(x, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training was interrupted", UserWarning)
        made = fit(
            MLP.init([64, 64, 32, 10], "relu", seed=_SEED),
            (images / _LARGEST_PIXEL).astype(np.float32),
            digits.astype(np.int64),
            loss=CrossEntropy(label_smoothing=0.1),
            optimizer=AdamW(0.005, weight_decay=0.1, schedule=Step(1 / 8, gamma=0.5)),
            batch_size=32,
            epochs=epochs,
            seed=_SEED,
            progress=False,
            callbacks=tell,
        )
    if made.stopped == "interrupted":
        raise KeyboardInterrupt
    return _of_pixels(made.network)


def _with_moved(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images, and each one moved by a pixel to the four sides."""
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, row : row + 8, column : column + 8] for row, column in _CORNERS]
    return np.concatenate(moved).reshape(-1, 64), np.tile(y, len(_CORNERS))


def _of_pixels(net: MLP) -> MLP:
    """Return a network of pixels from 0 to 1 as one of pixels from 0 to 16, which is exact."""
    first, *others = net.layers
    assert isinstance(first, Dense)
    return MLP([Dense(first.weight / _LARGEST_PIXEL, first.bias, first.activation), *others])
