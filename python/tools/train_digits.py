"""Train the embedded digits network; write it and its held-out test set into the package.

Needs laminet and scikit-learn. From the top of the repository::

    python python/tools/train_digits.py [DIRECTORY]

DIRECTORY is by default ``python/laminet/data``, whose README.md says what the data is. The result
is the same for the same versions of NumPy and scikit-learn on the same kind of CPU; elsewhere
the last digits of the weights can differ. The settings were chosen on a part of the training
samples; the test set was used once, for the accuracy that this program prints.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from laminet import reference
from laminet.core.activation import Activation
from laminet.files.safetensors_files import write_layers

SEED = 0
TEST_SAMPLES = 450
HIDDEN = (64, 32)
LARGEST_PIXEL = 16


class Layer(NamedTuple):
    """What the file holds of a layer."""

    weight: NDArray[Any]
    bias: NDArray[Any]
    activation: Activation


def with_shifts(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images, and each one shifted by a pixel to the four sides."""
    images = x.reshape(-1, 8, 8)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    corners = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
    shifted = [padded[:, row : row + 8, column : column + 8] for row, column in corners]
    return np.concatenate(shifted).reshape(-1, 64), np.tile(y, len(corners))


def train(x: NDArray[Any], y: NDArray[Any]) -> list[Layer]:
    """Train on images of pixels from 0 to 16; the layers take such pixels."""
    model = MLPClassifier(HIDDEN, alpha=0.1, max_iter=100, random_state=SEED)
    with warnings.catch_warnings():
        # The number of passes is fixed: stopping there is meant.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x / LARGEST_PIXEL, y)
    weights = [matrix.T.astype(np.float32) for matrix in model.coefs_]
    # Training saw pixels from 0 to 1. Division by 16 is exact, in the weights as in the pixels.
    weights[0] /= LARGEST_PIXEL
    biases = [vector.astype(np.float32) for vector in model.intercepts_]
    names = ["relu"] * len(HIDDEN) + ["identity"]
    return [
        Layer(weight, bias, Activation(name))
        for weight, bias, name in zip(weights, biases, names, strict=True)
    ]


def main() -> None:
    """Train, report the accuracy, write both files."""
    default = Path(__file__).resolve().parents[1] / "laminet" / "data"
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=TEST_SAMPLES, stratify=y, random_state=SEED
    )
    layers = train(*with_shifts(x_train, y_train))
    for name, images, digits in (("training", x_train, y_train), ("held out", x_test, y_test)):
        correct = int((reference.forward(layers, images).argmax(axis=-1) == digits).sum())
        print(f"{name}: {correct} of {len(digits)} correct, {100 * correct / len(digits):.2f} %")
    write_layers(layers, directory / "digits.safetensors")
    np.savez_compressed(
        directory / "digits_test.npz", x=x_test.astype(np.uint8), y=y_test.astype(np.uint8)
    )


if __name__ == "__main__":
    main()
