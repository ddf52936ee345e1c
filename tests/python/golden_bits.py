"""The bits of a handful of results, so that none changes unnoticed between versions or compilers.

    python tests/python/golden_bits.py          # compare this build with golden_bits.json
    python tests/python/golden_bits.py --write  # write that file anew, where bits change on purpose

What goes in is made of whole numbers, by a hash of their place, and divided by powers of two: it
is the same on every machine and in every version of NumPy. What comes out is kept as the first 64
bits of its SHA-256, one for each dtype, operation and activation; and they hold for the tiled back
end in every instruction set with fused multiply-add, whatever the compiler and its options. The
file was written by a build of GCC 12 for AVX-512. Whether the results are right is not its affair:
other tests compare them with NumPy in float64.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import laminet as ln
from laminet.core.activation import ACTIVATIONS

FILE = Path(__file__).with_suffix(".json")
Arrays = list[np.ndarray[Any, Any]]

SIZES = [23, 70, 37, 6]
#: One row, some, and more than a block has.
BATCHES = (1, 7, 67)


def dyadic(
    shape: tuple[int, ...], seed: int, dtype: str, *, exact: bool = False
) -> np.ndarray[Any, Any]:
    """Multiples of 1/64 from -2 to 2, all exact in every dtype; or whole numbers from -4 to 3."""
    place = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed << 20)
    mixed = place * np.uint64(0x9E3779B97F4A7C15)  # wraps around
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    whole = (mixed >> np.uint64(56)).astype(np.int64) - 128
    return (whole.reshape(shape) // 32 if exact else whole.reshape(shape) / 64).astype(dtype)


def layers(activation: str, dtype: str, *, exact: bool = False) -> list[ln.Dense]:
    result = []
    for i, (n, m) in enumerate(itertools.pairwise(SIZES)):
        # About 1/sqrt(n), as a power of two.
        scale = 1 if exact else 2.0 ** -(n.bit_length() // 2)
        weight = dyadic((m, n), 2 * i, dtype, exact=exact) * np.dtype(dtype).type(scale)
        bias = dyadic((m,), 2 * i + 1, dtype, exact=exact)
        result.append(ln.Dense(weight, bias, activation))
    return result


def digest(*arrays: np.ndarray[Any, Any]) -> str:
    """Return the hash of all bits; every NaN counts as the same one."""
    whole = hashlib.sha256()
    for array in arrays:
        little = np.where(np.isnan(array), np.nan, array).astype(array.dtype.newbyteorder("<"))
        whole.update(np.ascontiguousarray(little).tobytes())
    return whole.hexdigest()[:16]


def results(net: ln.MLP, *, exact: bool = False) -> Iterator[tuple[str, Arrays]]:
    """Every operation with all that it returns, for all batches."""
    name = net.dtype.name
    each: dict[str, Arrays] = {}
    for batch in BATCHES:
        x = dyadic((batch, SIZES[0]), 100, name, exact=exact)
        v = dyadic((batch, SIZES[-1]), 101, name, exact=exact)
        u = dyadic((batch, SIZES[0]), 102, name, exact=exact)
        g = net.gradients(x, v)
        biases = [b for b in g.biases if b is not None]
        computed = {
            "forward": [net(x)],
            "jacobian": [net.jacobian(x)],
            "vjp": [net.vjp(x, v)],
            "jvp": [net.jvp(x, u)],
            "gradients": [*g.weights, *biases, g.input],
        }
        for operation, arrays in computed.items():
            each.setdefault(operation, []).extend(arrays)
    yield from each.items()


def compute() -> dict[str, str]:
    """Return the hashes of this build, with the settings in use."""
    found = compute_exact()
    for dtype in ("float32", "float64"):
        nets = {a: ln.MLP(layers(a, dtype)) for a in ACTIVATIONS}
        for head in ("softmax", "log_softmax"):
            nets[f"tanh, {head}"] = ln.MLP(layers("tanh", dtype), head=head)
        for name, net in nets.items():
            for operation, arrays in results(net):
                found[f"{dtype} {operation}: {name}"] = digest(*arrays)
    return found


def compute_exact() -> dict[str, str]:
    """Return those that no instruction set or back end may change."""
    found = {}
    for dtype in ("float32", "float64"):
        for activation in ("identity", "relu"):
            net = ln.MLP(layers(activation, dtype, exact=True))
            for operation, arrays in results(net, exact=True):
                found[f"exact {dtype} {operation}: {activation}"] = digest(*arrays)
    return found


def main() -> int:
    with ln.backend("tiled"):
        found = compute()
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    differ = [name for name, bits in json.loads(FILE.read_text()).items() if found[name] != bits]
    print(f"{len(differ)} of {len(found)} differ", *differ, sep="\n  ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
