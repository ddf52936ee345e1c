"""Files of networks in every format, with what the networks give: what the C++ half must read.

Run as a program, it writes them into tests/cpp/networks, where the C++ tests find them. Each
``name.safetensors`` is a network, ``name.answers.safetensors`` samples ``x`` and their outputs
``y``.
All numbers are small multiples of 1/32, so that no generator and no library decides them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import laminet as ln
from laminet.files.safetensors_files.header import written

FOLDER = Path(__file__).resolve().parents[1] / "cpp" / "networks"


def numbers(*shape: int, seed: int = 0, dtype: str = "float32") -> NDArray[np.floating]:
    count = int(np.prod(shape))
    values = (np.arange(count) * 37 + 11 * seed) % 61 - 30
    return (values.reshape(shape) / 32).astype(dtype)


def dense(n: int, m: int, activation: ln.Activation | str, seed: int, dtype: str) -> ln.Dense:
    bias = None if seed % 3 == 2 else numbers(n, seed=seed + 1, dtype=dtype)
    return ln.Dense(numbers(n, m, seed=seed, dtype=dtype), bias, activation)


def chain(dtype: str, **meaning: object) -> ln.MLP:
    layers = [
        dense(7, 5, ln.Activation("elu", alpha=0.7), 1, dtype),
        dense(6, 7, "gelu", 2, dtype),
        dense(3, 6, "identity", 3, dtype),
    ]
    return ln.MLP(layers, **meaning)  # type: ignore[arg-type]  # of each argument its own


def tree(dtype: str) -> ln.MLP:
    slopes = ln.Activation("leaky_relu", alpha=[0.1, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    layers = [
        ln.Rescale(numbers(5, seed=4, dtype=dtype), shift=0.125, low=-1.0, high=np.inf),
        ln.Parallel(
            [
                [],
                [ln.Select([4, -4, 0]), ln.LayerNorm(numbers(3, seed=5, dtype=dtype), eps=1e-3)],
                [ln.Select(slice(None, None, -2)), dense(2, 3, "tanh", 6, dtype)],
            ]
        ),
        dense(8, 10, slopes, 7, dtype),
        ln.Dropout(0.25),
        ln.Residual(
            [
                ln.RMSNorm(numbers(8, seed=8, dtype=dtype)),
                dense(8, 8, "silu", 9, dtype),
                ln.Parallel([[slopes], [ln.Activation("sin")]], join="mean"),
            ]
        ),
        ln.Parallel(
            [[dense(4, 8, "hard_sigmoid", 10, dtype)], [dense(4, 8, "relu6", 11, dtype)]],
            join="sum",
        ),
        ln.LayerNorm(
            numbers(4, seed=12, dtype=dtype),
            numbers(4, seed=13, dtype=dtype),
        ),
    ]
    return ln.MLP(layers, in_features=5)


def networks() -> dict[str, ln.MLP]:
    """Networks by the names of their files, which say the format that each is written in."""
    return {
        "format_1": chain("float32"),
        "format_2": chain("float32", head="softmax"),
        "format_3_double": chain(
            "float64", outputs=ln.Classes(["no", "yes", "ümläut"]), feature_names=list("abcde")
        ),
        "format_4": tree("float32"),
        "format_4_double": tree("float64"),
        "format_5": tree("float32").with_precision("bfloat16_weights"),
    }


def answers(net: ln.MLP) -> bytes:
    """A file with samples, and their outputs by our own products, whose bits are promised."""
    x = numbers(9, net.in_features, seed=20, dtype=net.dtype.name) * 2
    with ln.backend("tiled"):
        y = net(x)
    arrays = {"x": x, "y": y}
    kind = "F32" if net.dtype == np.float32 else "F64"
    header, order = written({name: (kind, array.shape) for name, array in arrays.items()}, {})
    return header + b"".join(arrays[name].tobytes() for name in order)


def write(folder: Path) -> None:
    for name, net in networks().items():
        net.save(folder / f"{name}.safetensors")
        (folder / f"{name}.answers.safetensors").write_bytes(answers(net))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
