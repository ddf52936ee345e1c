"""What products of bfloat16 are, in NumPy: the model that tests hold the kernels to."""

from __future__ import annotations

import numpy as np

from laminet import reference

_LEAST = 2.0**-126  # the smallest normal number of float32


def rounded(weight: np.ndarray) -> np.ndarray:
    """To the nearest number of bfloat16; test_reference_precision.py says what that is."""
    return reference.to_bfloat16(weight).astype(np.float32)


def factors(numbers: np.ndarray) -> np.ndarray:
    """What products take for numbers of float32: rounded, those that are subnormal zero."""
    return np.where(np.abs(numbers) < np.float32(_LEAST), numbers * np.float32(0), rounded(numbers))


def products(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """X W^T of numbers of bfloat16, as VDPBF16PS sums them: float32, one product after the other.

    In float64 a product is exact, and rounding the sum of it and a float32 to float32 is rounding
    the exact sum: they are summed exactly unless the lesser is below 2^-29 of the other, and then
    the sum is that other one. Sums that are subnormal once they are rounded to 24 bits are zero.
    """
    wide, by = x.astype(np.float64), weight.astype(np.float64)
    sums = np.zeros((len(x), len(weight)), np.float32)
    for p in range(wide.shape[1]):
        exact = sums.astype(np.float64) + wide[:, p, None] * by[None, :, p]
        small = np.abs(exact) < _LEAST - 2.0**-151
        sums = np.where(small, np.copysign(0.0, exact), exact).astype(np.float32)
    return sums


def forward(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """Dense layers of (weight, bias), relu between them: the bits of a bfloat16 network."""
    for index, (weight, bias) in enumerate(layers):
        x = products(factors(x), factors(weight)) + bias
        if index + 1 < len(layers):
            x = np.where(x <= 0, np.float32(0), x)
    return x
