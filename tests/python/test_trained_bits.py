"""A trained network has the bits that are written down, in every process and instruction set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trained_bits
from variants import FUSED_ISAS

EXPECTED = json.loads(Path(__file__).with_name("trained_bits.json").read_text())
CODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import json, trained_bits, laminet as ln
print(json.dumps([ln.build_info()["isa"], trained_bits.compute()]))
"""


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_bits_are_those_written_down(isa, threads, script):
    """So two machines, or two instruction sets of one, agree without meeting."""
    if isa not in FUSED_ISAS:
        pytest.skip(f"this CPU has no {isa}")
    result = script(CODE, LAMINET_ISA=isa, LAMINET_NUM_THREADS=threads)
    assert result.returncode == 0, result.stderr
    used, found = json.loads(result.stdout)
    assert used == isa
    assert found == EXPECTED


def test_everything_is_in_the_file():
    expected = {
        f"{dtype} {made} {loss} {name}"
        for dtype in ("float32", "float64")
        for made in ("chain", "blocks")
        for loss in ("squared_error", "cross_entropy", "binary_cross_entropy")
        for name in trained_bits.OPTIMIZERS
    }
    assert set(EXPECTED) == expected
    # None is the same as another: equal would be an optimiser or a loss that is not reached.
    assert len(set(EXPECTED.values())) == len(EXPECTED)
