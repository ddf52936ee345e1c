"""Results have the bits that are written down: see golden_bits.py, which also writes them anew."""

from __future__ import annotations

import json

import golden_bits
import numpy as np
import pytest

import laminet as ln
from laminet.core.activation import ACTIVATIONS

EXPECTED = json.loads(golden_bits.FILE.read_text())


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("threads", [1, 2])
def test_bits_are_those_written_down(threads: int) -> None:
    with ln.backend("tiled"), ln.num_threads(threads):
        found = golden_bits.compute()
    assert found == EXPECTED


@pytest.mark.usefixtures("isa", "backend")
def test_exact_bits_are_those_written_down() -> None:
    found = golden_bits.compute_exact()
    assert len(found) == 20
    assert found == {name: bits for name, bits in EXPECTED.items() if name in found}


def test_everything_is_in_the_file() -> None:
    operations = ("forward", "jacobian", "vjp", "jvp", "gradients")
    networks = [*ACTIVATIONS, "tanh, softmax", "tanh, log_softmax"]
    expected = {
        f"{dtype} {operation}: {name}"
        for dtype in ("float32", "float64")
        for operation in operations
        for name in networks
    }
    assert {name for name in EXPECTED if not name.startswith("exact ")} == expected
    # None is of nothing, or of the same as another: equal would be a network that is not reached.
    assert len(set(EXPECTED.values())) == len(EXPECTED)


def test_what_goes_in_is_the_same_everywhere() -> None:
    values = golden_bits.dyadic((4, 3), 1, "float64")
    assert (values * 64).tolist() == [[-36, 70, -96], [122, -53, 13], [-79, -21, 71], [21, 53, 45]]
    assert golden_bits.dyadic((4, 3), 1, "float32").tolist() == values.tolist()


def test_one_bit_is_seen() -> None:
    a = np.ones(3, np.float32)
    b = np.nextafter(a, np.float32(2))
    assert golden_bits.digest(a) != golden_bits.digest(b)
    assert golden_bits.digest(np.zeros(1)) != golden_bits.digest(-np.zeros(1))
