"""net(x): one sample and batches, every activation, back end and instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import forward_bound, layer_bounds
from compare import assert_close
from variants import ACTIVATION_CASES, normal, random_net, same_bits

import laminet as ln
from laminet import reference

pytestmark = pytest.mark.usefixtures("isa", "backend")


def check(net, x):
    assert_close(net(x), reference.forward(net, x), forward_bound(net, x, net.dtype))


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_every_activation(activation, dtype):
    net = random_net([19, 37, 11], activation, dtype=dtype)
    x = normal((23, 19), dtype)
    check(net, x)
    check(net, x[0])


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 5, 6, 7, 8, 13, 64, 65, 300])
def test_batches(batch, dtype):
    net = random_net([33, 70, 10], dtype=dtype)
    y = net(normal((batch, 33), dtype))
    assert y.shape == (batch, 10)
    assert y.dtype == dtype
    assert y.flags.c_contiguous
    assert y.flags.owndata
    check(net, normal((batch, 33), dtype))


# Around every tile width (4, 8, 16, 64 columns) and past a block of depth (K of some hundred).
@pytest.mark.parametrize(
    "width", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130]
)
def test_widths(width, dtype):
    for sizes in ([width, 3], [3, width], [width, width, width]):
        net = random_net(sizes, dtype=dtype)
        check(net, normal((7, sizes[0]), dtype))
        check(net, normal(sizes[0], dtype))


def test_deep_products(dtype):
    """in_features past every block of depth; layer by layer, where the bound is tight."""
    net = random_net([3001, 65, 2], "relu", dtype=dtype)
    x = normal((9, 3001), dtype)
    trace = net.trace(x)
    exact, bound = reference.trace(net, x), layer_bounds(net, x, dtype)
    for got, z, b in zip(trace.pre_activations, exact.pre_activations, bound, strict=True):
        assert_close(got, z, b.z)


@pytest.mark.parametrize("bias", [False, True])
def test_with_and_without_bias(bias, dtype):
    net = random_net([12, 20, 9], "relu", dtype=dtype, bias=bias)
    check(net, normal((6, 12), dtype))
    zero = net(np.zeros((1, 12), dtype))
    assert bool(zero.any()) == bias


def test_bias_on_some_layers_only(dtype):
    first, second = random_net([12, 20, 9], "silu", dtype=dtype).layers
    for layers in (
        [ln.Dense(first.weight, None, "silu"), second],
        [first, ln.Dense(second.weight, None, "silu")],
    ):
        check(ln.MLP(layers), normal((6, 12), dtype))


def test_known_numbers(dtype):
    """By hand, in numbers that are exact: no reference and no tolerance."""
    net = ln.MLP(
        [
            ln.Dense(
                np.array([[1, -1], [2, 0], [0, 4]], dtype), np.array([0, 1, -2], dtype), "relu"
            ),
            ln.Dense(np.array([[1, 10, 100]], dtype), np.array([0.5], dtype)),
        ]
    )
    x = np.array([[3, 1], [1, 3], [-1, 0]], dtype)
    # hidden: [2, 7, 2], [0, 3, 10], [0, 0, 0]
    expected = np.array([[272.5], [1030.5], [0.5]], dtype)
    assert same_bits(net(x), expected)
    for row, y in zip(x, expected, strict=True):
        assert same_bits(net(row), y)


def test_which_weight_meets_which_feature(dtype):
    """One weight at a time: out[i] is x[j], everything else 0. No error of indexing survives."""
    x = np.arange(1, 8, dtype=dtype)
    for i in range(5):
        for j in range(7):
            weight = np.zeros((5, 7), dtype)
            weight[i, j] = 1
            expected = np.zeros(5, dtype)
            expected[i] = x[j]
            np.testing.assert_array_equal(ln.MLP([ln.Dense(weight)])(x), expected)


def test_forward_is_call(dtype):
    net, x = random_net([5, 4], dtype=dtype), normal((3, 5), dtype)
    assert same_bits(net.forward(x), net(x))
    out = np.empty((3, 4), dtype)
    assert net.forward(x, out=out) is out


def test_results_are_new_arrays(dtype):
    net, x = random_net([5, 4], dtype=dtype), normal((3, 5), dtype)
    first = net(x)
    kept = first.copy()
    second = net(x + 1)
    assert not np.shares_memory(first, second)
    assert same_bits(first, kept)


def test_samples_as_columns(dtype):
    """net(X.T).T, as DESIGN.md section 2 says."""
    net, x = random_net([8, 30, 5], dtype=dtype), normal((8, 21), dtype)
    y = net(x.T).T
    assert y.shape == (5, 21)
    assert_close(y, reference.forward(net, x.T).T, forward_bound(net, x.T, dtype).T)


def test_auto_is_one_of_the_two(dtype):
    net, x = random_net([40, 30, 5], dtype=dtype), normal((50, 40), dtype)
    candidates = []
    for name in ("blas", "tiled"):
        with ln.backend(name):
            candidates.append(net(x))
    with ln.backend("auto"):
        assert any(same_bits(net(x), y) for y in candidates)
