"""The derivatives of one sample, the same bits: whatever the batch, its place there, the threads.

As test_same_bits.py for the forward pass: the tiled back end with fused multiply-add.
"""

from __future__ import annotations

import numpy as np
import pytest
from variants import ACTIVATION_CASES, FUSED_ISAS, instruction_set, normal, random_net, same_bits

import laminet as ln


@pytest.fixture(autouse=True)
def _tiled():
    with ln.backend("tiled"):
        yield


# Reverse mode, forward mode, work enough to be split between threads, one layer.
SHAPES = ([23, 70, 37, 6], [5, 70, 90, 40], [300, 260, 130, 10], [9, 4])
HEADS = (None, "softmax", "log_softmax")


def results(net, x, v, u):
    """Everything that belongs to a sample."""
    y, j = net.value_and_jacobian(x)
    products = [net.vjp(x, v), net.jvp(x, u), net.gradients(x, v).input]
    return [y, j, net.jacobian(x), *products, *net.layer_jacobians(x)]


def arguments(net, batch, dtype):
    shapes = (batch, net.in_features), (batch, net.out_features), (batch, net.in_features)
    return [normal(shape, dtype, seed) for seed, shape in enumerate(shapes)]


def make(sizes, head, dtype, activation="tanh"):
    return ln.MLP(random_net(sizes, activation, dtype=dtype).layers, head=head)


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_batches_and_positions(sizes, head, dtype):
    net = make(sizes, head, dtype)
    all_arguments = arguments(net, 67, dtype)
    one_by_one = [results(net, *row) for row in zip(*all_arguments, strict=True)]
    expected = [np.array(column) for column in zip(*one_by_one, strict=True)]
    assert same_bits(expected[0], net(all_arguments[0]))
    for batch in (1, 2, 3, 5, 7, 16, 33, 67):
        for got, want in zip(
            results(net, *(a[:batch] for a in all_arguments)), expected, strict=True
        ):
            assert same_bits(got, want[:batch]), batch
    for shift in (1, 17, 50):
        rolled = [np.roll(a, shift, axis=0) for a in all_arguments]
        for got, want in zip(results(net, *rolled), expected, strict=True):
            assert same_bits(got, np.roll(want, shift, axis=0)), shift


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("batch", [1, 2, 3, 61, 700])
def test_threads(sizes, batch, dtype):
    """All results, and the sums over the batch too."""
    net = make(sizes, None, dtype, "gelu")
    values = arguments(net, batch, dtype)

    def everything():
        gradients = net.gradients(*values[:2])
        return results(net, *values) + gradients.weights + gradients.biases

    with ln.num_threads(1):
        expected = everything()
    for threads in (2, 3, 5, 16):
        with ln.num_threads(threads):
            for got, want in zip(everything(), expected, strict=True):
                assert same_bits(got, want), threads


@pytest.mark.usefixtures("fused_isa")
def test_strides_and_out(dtype):
    net = make([23, 70, 37, 6], "softmax", dtype)
    x, v, u = arguments(net, 40, dtype)
    expected = results(net, x, v, u)
    columns = [np.asfortranarray(a) for a in (x, v, u)]
    for got, want in zip(results(net, *columns), expected, strict=True):
        assert same_bits(got, want)
    wide = np.zeros((80, 12, 69), dtype)
    for out in (wide[::2, ::2, ::3], wide[:40, :6, :23], np.empty((23, 6, 40), dtype).T):
        assert net.jacobian(x, out=out) is out
        assert same_bits(np.ascontiguousarray(out), expected[1])
        y = np.empty((6, 40), dtype).T
        assert net.value_and_jacobian(x, out=(y, out))[1] is out
        assert same_bits(np.ascontiguousarray(y), expected[0])


@pytest.mark.skipif(
    len(FUSED_ISAS) < 2, reason=f"this CPU has only {FUSED_ISAS or 'no'} fused instruction set(s)"
)
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_avx2_and_avx512_agree(activation, dtype):
    found = []
    for name in FUSED_ISAS:
        with instruction_set(name):
            bits = b""
            for sizes in SHAPES:
                net = make(sizes, "log_softmax", dtype, activation)
                values = arguments(net, 19, dtype)
                gradients = net.gradients(*values[:2])
                arrays = results(net, *values) + gradients.weights + gradients.biases
                bits += b"".join(a.tobytes() for a in arrays)
            found.append(bits)
    assert len(set(found)) == 1


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
@pytest.mark.parametrize("sizes", [[23, 70, 37, 6], [5, 70, 9]], ids=str)
def test_rows_with_nan_and_infinity(sizes, activation, dtype):
    """NaN in the same places for every batch and position, and the neighbours' bits as ever."""
    net = make(sizes, None, dtype, activation)
    values = arguments(net, 35, dtype)
    x, v, u = values
    x[[3, 17], [0, 4]] = np.nan
    x[[8, 21], [1, 2]] = np.inf
    x[[9, 22], [3, 4]] = -np.inf
    v[5, 2] = u[6, 3] = np.nan
    v[11, 1] = u[12, 0] = np.inf
    one_by_one = [results(net, *row) for row in zip(*values, strict=True)]
    expected = [np.array(column) for column in zip(*one_by_one, strict=True)]
    assert any(np.isnan(column).any() for column in expected)
    for batch in (1, 2, 4, 9, 10, 18, 35):
        for got, want in zip(results(net, *(a[:batch] for a in values)), expected, strict=True):
            assert same_bits(got, want[:batch]), batch
    rolled = [np.roll(a, 13, axis=0) for a in values]
    for got, want in zip(results(net, *rolled), expected, strict=True):
        assert same_bits(got, np.roll(want, 13, axis=0))


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("bias", [None, 1.0])
def test_zeros(bias, dtype):
    """A tangent's sums have no bias added that would hide the sign of a zero."""
    tiny = np.finfo(dtype).smallest_subnormal
    w = np.full((3, 8), -tiny, dtype)
    w[:, 1:] = 1
    net = ln.MLP([ln.Dense(w, None if bias is None else np.full(3, bias, dtype))])
    x = np.zeros(8, dtype)
    u = np.zeros(8, dtype)
    u[0] = tiny
    assert same_bits(net.jvp(x, u), net.jvp(np.tile(x, (2, 1)), np.tile(u, (2, 1)))[0])
    assert same_bits(net.vjp(x, u[:3]), net.vjp(np.tile(x, (2, 1)), np.tile(u[:3], (2, 1)))[0])
    assert same_bits(net.jacobian(x), net.jacobian(np.tile(x, (2, 1)))[0])
