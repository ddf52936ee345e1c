"""What the suite runs on: back ends, instruction sets, activations, and how to choose them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

import laminet as ln
from laminet import _core
from laminet.core.activation import ACTIVATIONS

BACKENDS = ("blas", "tiled")
ISAS = tuple(_core.available_isas())
# Instruction sets for which DESIGN.md promises the same bits: one fused accumulator per output.
FUSED_ISAS = tuple(isa for isa in ISAS if isa != "generic")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

# Every function with its defaults, and each one with parameters also with others.
ACTIVATION_CASES = (
    *(ln.Activation(name) for name in ACTIVATIONS),
    ln.Activation("leaky_relu", alpha=0.3),
    ln.Activation("leaky_relu", alpha=-1.5),
    ln.Activation("elu", alpha=0.25),
    ln.Activation("elu", alpha=-2.0),
    ln.Activation("hard_sigmoid", alpha=0.2, beta=0.5),
    ln.Activation("hard_sigmoid", alpha=-0.7, beta=0.1),
)


def same_name(value: object) -> str:
    """repr(value) without addresses: the processes that share out tests must name them alike."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use an instruction set; networks keep the one in which they were made."""
    before = _core.isa()
    _core.set_isa(name)
    try:
        yield
    finally:
        _core.set_isa(before)


def random_net(
    sizes: list[int],
    activation: str | ln.Activation | list[ln.Activation] = "tanh",
    *,
    dtype: np.dtype | str = "float32",
    bias: bool = True,
    seed: int = 0,
) -> ln.MLP:
    """Return a network with random biases too, which `MLP.init` leaves at zero."""
    rng = np.random.default_rng(seed)
    n_layers = len(sizes) - 1
    named = activation if isinstance(activation, list) else [activation] * n_layers
    layers = []
    for n_in, n_out, function in zip(sizes[:-1], sizes[1:], named, strict=True):
        weight = (rng.standard_normal((n_out, n_in)) * np.sqrt(2 / n_in)).astype(dtype)
        b = rng.standard_normal(n_out).astype(dtype) if bias else None
        layers.append(ln.Dense(weight, b, function))
    return ln.MLP(layers)


def normal(shape: int | tuple[int, ...], dtype: np.dtype | str, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def canonical(a: np.ndarray) -> np.ndarray:
    """Return an array with one NaN for all: the promise is for its place, not for its bits."""
    return np.where(np.isnan(a), a.dtype.type(np.nan), a) if a.dtype.kind == "f" else a


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether shape, dtype and every bit agree: any NaN equals any other, and 0.0 is not -0.0."""
    same_kind = a.dtype == b.dtype and a.shape == b.shape
    return same_kind and canonical(a).tobytes() == canonical(b).tobytes()
