"""The model of lesser precisions: what is rounded, and what the networks make of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from trees import Draw

import laminet as ln
from laminet import reference

BOTH: Any = "bfloat16"
PRECISIONS: tuple[Any, ...] = ("bfloat16_weights", BOTH)
LOWER = (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)


def _of_bits(bits: int) -> float:
    return float(np.array(bits, np.uint32).view(np.float32))


def test_rounds_to_the_nearest_number_and_of_two_to_the_even() -> None:
    """By exact distances to both neighbours, of numbers of every size."""
    rng = np.random.default_rng(0)
    halves = [0, 1, 0x007F, 0x0080, 0x00FF, 0x3F80, 0x7F7E, 0x7F7F]
    halves += [int(bits) for bits in rng.integers(0, 0x7F80, 300)]
    for upper in halves:
        for lower in LOWER:
            number = _of_bits((upper << 16) + lower)
            below, above = Fraction(_of_bits(upper << 16)), Fraction(2) ** 128
            if upper != 0x7F7F:
                above = Fraction(_of_bits((upper + 1) << 16))
            to_below, to_above = Fraction(number) - below, above - Fraction(number)
            down = to_below < to_above or (to_below == to_above and upper % 2 == 0)
            nearest = below if down else above
            expected = np.inf if nearest == 2**128 else float(nearest)
            assert reference.to_bfloat16(number) == expected, hex((upper << 16) + lower)
            assert reference.to_bfloat16(-number) == -expected


def test_of_numbers_that_are_none_and_of_other_types() -> None:
    got = reference.to_bfloat16([np.nan, np.inf, -np.inf, -0.0, 3.4e38, 1e300])
    np.testing.assert_array_equal(got, [np.nan, np.inf, -np.inf, 0.0, np.inf, np.inf])
    assert np.signbit(got[3])
    # In float32 it is halfway between 1 and 1 + 2^-7, and 1 is even.
    assert reference.to_bfloat16(1 + 2.0**-8 + 2.0**-40) == 1
    assert reference.to_bfloat16([[1, 257]]).shape == (1, 2)
    with pytest.raises(TypeError, match="numbers"):
        reference.to_bfloat16("one")


def test_weights_are_those_that_a_network_stores() -> None:
    """But that factors of products which are subnormal are zero."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 0x7F7F0000, 20_000).astype(np.uint32)
    bits[:5000] >>= 7  # small ones, half of them subnormal
    weight = bits.view(np.float32).reshape(100, 200)
    eye = np.eye(200, dtype=np.float32)
    for precision in PRECISIONS:
        stored = ln.MLP([ln.Dense(weight)]).with_precision(precision).layers[0].weight
        model = reference.forward([ln.Dense(weight)], eye, precision=precision).T
        np.testing.assert_array_equal(model, stored)
    least = np.float32(2.0**-127)
    assert reference.forward([ln.Dense([[1.0]])], [least]) == least
    assert reference.forward([ln.Dense([[1.0]])], [least], precision=BOTH) == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", range(12))
def test_of_random_trees_of_layers_in_all_forms(seed: int, precision: Any) -> None:
    """Sum by sum it is the same, and with the rounded weights; with exact ones it is another."""
    net = Draw(np.random.default_rng(seed), np.float32).network()
    x = np.random.default_rng(seed).standard_normal((4, net.in_features)).astype(np.float32)
    model = reference.forward(net, x, precision=precision)
    narrow = net.with_precision(precision)
    np.testing.assert_array_equal(reference.forward(narrow, x, precision=precision), model)
    by_sums = reference.forward_components(net, x, precision=precision)
    np.testing.assert_allclose(by_sums, model, rtol=1e-10, atol=1e-10)
    exact = reference.forward(narrow, x)
    if precision == BOTH:
        # What is rounded besides weights, where there are any.
        assert np.array_equal(exact, model) == (not net.num_parameters or _reads_nothing(net))
    else:
        np.testing.assert_array_equal(exact, model)
        whole = reference.jacobian(narrow, x)
        np.testing.assert_array_equal(reference.jacobian(net, x, precision=precision), whole)
        for one, two in zip(
            reference.layer_jacobians(net, x, precision=precision),
            reference.layer_jacobians(narrow, x),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two)


def _reads_nothing(net: ln.MLP) -> bool:
    from laminet.core.layers.tree import walk

    return not any(isinstance(leaf, ln.Dense) for _, leaf in walk(net.layers))
