"""Every integer that a user gives: what is none, or out of range, is refused in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from variants import same_name

import laminet as ln

NET = ln.MLP.init([4, 8, 3], seed=0)

CALLS: dict[str, Callable[[Any], object]] = {
    "plan": NET.plan,
    "cost": lambda n: ln.cost(NET, n),
    "roofline": lambda n: ln.roofline(NET, [n]),
    "set_num_threads": ln.set_num_threads,
    "num_threads": lambda n: ln.num_threads(n).__enter__(),
    "sizes": lambda n: ln.MLP.init([4, n, 3]),
}
SEED = {"seed": lambda seed: ln.MLP.init([4, 3], seed=seed)}
ALL = {**CALLS, **SEED}

# Beyond what Python writes: it would raise an error about itself in the middle of ours.
ENORMOUS = 10**5000


def bits(value: Any) -> str:
    """Name a case: pytest would write the number."""
    return f"{type(value).__name__} of {int(value).bit_length()} bits"


def error_of(call: Callable[[Any], object], value: Any) -> Exception:
    """Return the error of a call, which is short and of laminet itself."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(value)
    message = str(caught.value)
    assert len(message) < 200
    for foreign in ("incompatible function", "Exceeds the limit", "object at 0x", "C long", "repr"):
        assert foreign not in message
    return caught.value


@pytest.mark.parametrize("value", [2**63, np.uint64(2**64 - 1), 2**64, 10**30, ENORMOUS], ids=bits)
@pytest.mark.parametrize("name", CALLS)
def test_too_large(name: str, value: Any) -> None:
    if name == "cost" and value <= 2**127:
        assert ln.cost(NET, value).batch == value  # an account of numbers, which needs no memory
        return
    before = ln.get_num_threads()
    if "num_threads" in name:
        with ln.num_threads(value):
            assert ln.get_num_threads() == 1024  # more count as so many
        return
    assert isinstance(error_of(CALLS[name], value), ValueError)
    assert ln.get_num_threads() == before


@pytest.mark.parametrize(
    "value", [-1, np.int8(-1), -(2**31), -(2**63), -(2**64), -ENORMOUS], ids=bits
)
@pytest.mark.parametrize("name", ALL)
def test_negative(name: str, value: Any) -> None:
    assert isinstance(error_of(ALL[name], value), ValueError)


@pytest.mark.parametrize("name", CALLS)
def test_zero(name: str) -> None:
    assert isinstance(error_of(CALLS[name], 0), ValueError)


@pytest.mark.parametrize(
    "value",
    [True, False, np.bool_(True), 2.0, np.float32(2), float("nan"), "2", b"2", 2j, [2], object()],
    ids=same_name,
)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_integer(name: str, value: Any) -> None:
    assert isinstance(error_of(CALLS[name], value), TypeError)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_whatever_is_an_integer(value: Any) -> None:
    before = ln.get_num_threads()
    assert NET.plan(value).batch == ln.cost(NET, value).batch == 3
    assert ln.MLP.init([4, value]).out_features == 3
    with ln.num_threads(value):
        assert ln.get_num_threads() == 3
    assert ln.get_num_threads() == before


def test_the_largest_batch() -> None:
    most = (2**63 - 1) // (8 * 8)
    assert NET.plan(most).batch == most
    message = f"batch is {most + 1}, more than any memory holds: at most {most}"
    assert str(error_of(NET.plan, most + 1)) == message
    assert "batch is an integer of 16610 bits, more than" in str(error_of(NET.plan, ENORMOUS))


@pytest.mark.parametrize("kind", [ln.Classes, ln.Labels])
def test_a_label_of_thousands_of_digits(kind: type) -> None:
    message = f"{kind.__name__}: an integer of 16610 bits is no label"
    assert str(error_of(lambda label: kind([0, label]), ENORMOUS)) == message
    assert kind([0, 10**300]).labels[1] == 10**300
