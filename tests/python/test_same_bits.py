"""One sample, the same bits: for every batch, place in it, stride, thread count and vector width.

The promise of DESIGN.md, section 5, for the tiled back end with fused multiply-add; so not for the
back end `blas` nor for the instruction set `generic`, where it does not hold.
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


# Widths that are no multiple of a tile, a narrow last layer, a product deeper than a block, and
# weights that are enough for threads to share each layer of a small batch.
SHAPES = ([23, 70, 37, 6], [700, 129, 10], [5, 1], [1, 300, 3], [700, 400, 70, 10])


def rows_one_by_one(net, x):
    return np.array([net(row) for row in x])


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_batch_sizes(sizes, dtype):
    net = random_net(sizes, "gelu", dtype=dtype)
    x = normal((513, sizes[0]), dtype)
    expected = rows_one_by_one(net, x)
    for batch in (*range(1, 71), 100, 127, 128, 129, 255, 256, 257, 512, 513):
        assert same_bits(net(x[:batch]), expected[:batch]), batch


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("share", [0.1, 0.26, 0.6, 0.97, 1.0])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [[2500, 70, 260, 6], [64, 64, 1], [5, 3], [300, 129]], ids=str)
def test_zeros(sizes, activation, share, dtype):
    """A single sample's zeros are left out of the sums, a batch's are not."""
    net = random_net(sizes, activation, dtype=dtype)
    rng = np.random.default_rng(0)
    x = normal((4, sizes[0]), dtype)
    x[rng.random(x.shape) < share] = 0
    x[rng.random(x.shape) < share / 4] = -0.0
    expected = net(x)
    for threads in (1, 3):
        with ln.num_threads(threads):
            assert same_bits(rows_one_by_one(net, x), expected), threads


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("bias", [None, 0.0, -0.0, 0.5])
@pytest.mark.parametrize("weight", ["underflows", np.inf, -np.inf, np.nan])
def test_zeros_that_show(weight, bias, dtype):
    """Zero times infinity, and sums of -0: what leaving a zero out would change."""
    tiny = np.finfo(dtype).smallest_subnormal
    w = np.full((3, 8), -tiny if weight == "underflows" else weight, dtype)
    w[1, 1:] = 1
    w[2] *= -1
    x = np.array([tiny, 0, 0, tiny, -0.0, 0, 0, 0], dtype)
    layer = ln.Dense(w, None if bias is None else np.full(3, bias, dtype))
    net = ln.MLP([layer])
    with np.errstate(invalid="ignore"):
        assert same_bits(net(x), net(np.tile(x, (2, 1)))[0])


@pytest.mark.usefixtures("fused_isa")
def test_positions(dtype):
    """Every row of x at every place of a batch, among other neighbours."""
    net = random_net([23, 70, 37, 6], "tanh", dtype=dtype)
    x = normal((67, 23), dtype)
    expected = net(x)
    for shift in range(67):
        assert same_bits(net(np.roll(x, shift, axis=0)), np.roll(expected, shift, axis=0)), shift
    for start in range(1, 67, 5):
        assert same_bits(net(x[start:]), expected[start:]), start


@pytest.mark.usefixtures("fused_isa")
def test_equal_rows_give_equal_results(dtype):
    net = random_net([100, 64, 11], "mish", dtype=dtype)
    row = normal(100, dtype)
    y = net(np.tile(row, (300, 1)))
    assert same_bits(y, np.tile(net(row), (300, 1)))


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("batch", [1, 2, 7, 130, 2000])
def test_thread_counts(batch, dtype):
    """Work is split by the number asked for, also where the machine has fewer CPUs."""
    net = random_net([90, 260, 70, 5], "silu", dtype=dtype)
    x = normal((batch, 90), dtype)
    with ln.num_threads(1):
        expected = net(x)
    for n in (2, 3, 5, 16):
        with ln.num_threads(n):
            assert same_bits(net(x), expected), n


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
@pytest.mark.parametrize("batch", [1, 2, 7, 33, 64, 65])
def test_thread_counts_where_threads_share_each_layer(batch, head, dtype):
    layers = random_net([700, 400, 70, 10], "silu", dtype=dtype).layers
    net = ln.MLP(layers, head=head)
    x = normal((batch, 700), dtype)
    with ln.num_threads(1):
        expected = net(x)
    for n in (2, 3, 5, 16):
        with ln.num_threads(n):
            assert same_bits(net(x), expected), n
            assert same_bits(net(np.asfortranarray(x)), expected), n
            out = np.empty((10, batch), dtype).T
            assert same_bits(np.ascontiguousarray(net(x, out=out)), expected), n


@pytest.mark.usefixtures("fused_isa")
def test_weights_larger_than_the_cache(dtype):
    """Layer by layer, also on one thread, where L3 holds less than twice the weights."""
    net = random_net([2100, 2100, 3], "relu", dtype=dtype)
    x = normal((200, 2100), dtype)
    expected = rows_one_by_one(net, x[:4])
    for n in (1, 2):
        with ln.num_threads(n):
            assert same_bits(net(x)[:4], expected), n
            assert same_bits(net(x[:4]), expected), n


@pytest.mark.usefixtures("fused_isa")
def test_strides(dtype):
    net = random_net([40, 70, 9], "softplus", dtype=dtype)
    x = normal((100, 40), dtype)
    expected = net(x)
    wide = np.zeros((200, 120), dtype)
    wide[::2, ::3] = x
    for view in (np.asfortranarray(x), wide[::2, ::3], x[::-1, ::-1].copy()[::-1, ::-1]):
        assert same_bits(net(view), expected)
        assert same_bits(rows_one_by_one(net, view), expected)


@pytest.mark.usefixtures("fused_isa")
def test_where_the_result_goes(dtype):
    net = random_net([40, 70, 9], "elu", dtype=dtype)
    x = normal((100, 40), dtype)
    expected = net(x)
    wide = np.zeros((200, 30), dtype)
    for out in (
        np.empty((100, 9), dtype),
        np.empty((100, 9), dtype, order="F"),
        wide[::2, 1::3][:, :9],
        wide[:100, 5:14],
        wide[99::-1, 8::-1],
    ):
        net(x, out=out)
        assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.usefixtures("fused_isa")
def test_alignment_of_memory(dtype):
    """Rows at every offset within a cache line, as input and as output."""
    net = random_net([33, 50, 17], "tanh", dtype=dtype)
    x = normal((20, 33), dtype)
    expected = net(x)
    for offset in range(16):
        source = np.empty(20 * 33 + 16, dtype)[offset : offset + 20 * 33].reshape(20, 33)
        target = np.empty(20 * 17 + 16, dtype)[offset : offset + 20 * 17].reshape(20, 17)
        source[:] = x
        assert same_bits(net(source, out=target), expected), offset


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_every_activation_in_every_lane(activation, dtype):
    """Full vectors and tails: a sample in batches of all sizes up to 35, in layers of odd width."""
    net = random_net([6, 29, 19], activation, dtype=dtype)
    x = normal((35, 6), dtype) * 3
    expected = rows_one_by_one(net, x)
    for batch in range(1, 36):
        assert same_bits(net(x[:batch]), expected[:batch]), batch


@pytest.mark.skipif(
    len(FUSED_ISAS) < 2, reason=f"this CPU has only {FUSED_ISAS or 'no'} fused instruction set(s)"
)
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_avx2_and_avx512_agree(activation, dtype):
    results = []
    for name in FUSED_ISAS:
        with instruction_set(name):
            for sizes in SHAPES:
                net = random_net(sizes, activation, dtype=dtype)
                x = normal((70, sizes[0]), dtype) * 2
                results.append((name, tuple(sizes), net(x).tobytes() + net(x[0]).tobytes()))
    for sizes in map(tuple, SHAPES):
        bits = {name: data for name, s, data in results if s == sizes}
        assert set(bits) == set(FUSED_ISAS)
        assert len(set(bits.values())) == 1, (sizes, "differs between", *bits)


@pytest.mark.skipif(
    len(FUSED_ISAS) < 2, reason=f"this CPU has only {FUSED_ISAS or 'no'} fused instruction set(s)"
)
def test_softmax_and_linear_agree_between_instruction_sets(dtype):
    x, weight = normal((40, 30), dtype), normal((77, 30), dtype)
    net = random_net([30, 77], "identity", dtype=dtype)
    results = []
    for name in FUSED_ISAS:
        with instruction_set(name):
            y = net.predict_proba(x), net.predict_log_proba(x), ln.linear(x, weight)
            results.append(b"".join(a.tobytes() for a in y))
    assert len(set(results)) == 1


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100])
def test_softmax(width, dtype):
    net = random_net([20, width], "identity", dtype=dtype)
    x = normal((130, 20), dtype)
    for method in (ln.MLP(net.layers, head=head) for head in ("softmax", "log_softmax")):
        expected = np.array([method(row) for row in x])
        for batch in (1, 2, 3, 16, 17, 130):
            assert same_bits(method(x[:batch]), expected[:batch])
        assert same_bits(method(np.asfortranarray(x)), expected)


@pytest.mark.usefixtures("fused_isa")
def test_linear_trace_and_call_agree(dtype):
    """Packed for good, packed for the call, or kept layer by layer: one summation."""
    net = random_net([50, 90, 7], "gelu_tanh", dtype=dtype)
    x = normal((60, 50), dtype)
    a = x
    for layer in net.layers:
        a = ln.linear(a, layer.weight, layer.bias, layer.activation)
    assert same_bits(a, net(x))
    assert same_bits(net.trace(x).output, net(x))


@pytest.mark.usefixtures("fused_isa")
def test_a_copy_of_the_network_agrees(dtype):
    net = random_net([50, 90, 7], "selu", dtype=dtype)
    x = normal((60, 50), dtype)
    assert same_bits(ln.MLP(net.layers)(x), net(x))


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_rows_with_nan_and_infinity(activation, dtype):
    """NaN in the same places for every batch and position, and the neighbours' bits as ever."""
    net = random_net([23, 70, 37, 6], activation, dtype=dtype)
    logits = random_net([23, 70, 37, 6], [activation, activation, "identity"], dtype=dtype)
    x = normal((67, 23), dtype)
    x[[3, 17, 40, 66], [0, 22, 11, 5]] = np.nan
    x[5] = np.nan
    x[[8, 41], [1, 2]] = np.inf
    x[[9, 42], [3, 4]] = -np.inf
    clean = np.isfinite(x).all(axis=1)
    for method in (net, logits.predict_proba):
        expected = np.array([method(row) for row in x])
        assert np.isnan(expected[np.isnan(x).any(axis=1)]).all()
        assert np.isfinite(expected[clean]).all()
        for batch in (1, 2, 4, 6, 7, 16, 18, 41, 43, 67):
            assert same_bits(method(x[:batch]), expected[:batch]), batch
        for shift in range(1, 67, 7):
            y = method(np.roll(x, shift, axis=0))
            assert same_bits(y, np.roll(expected, shift, axis=0)), shift
        assert same_bits(method(np.asfortranarray(x)), expected)


@pytest.mark.skipif(
    len(FUSED_ISAS) < 2, reason=f"this CPU has only {FUSED_ISAS or 'no'} fused instruction set(s)"
)
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_nan_is_in_the_same_places_with_avx2_and_avx512(activation, dtype):
    x = normal((20, 23), dtype)
    x[[3, 17], [0, 22]] = np.nan
    x[[8, 11], [1, 2]] = np.inf
    x[[9, 12], [3, 4]] = -np.inf
    found = []
    for name in FUSED_ISAS:
        with instruction_set(name):
            net = random_net([23, 70, 6], activation, dtype=dtype)
            soft = ln.MLP(net.layers, head="softmax")
            found.append([net(x), soft(x), net.jacobian(x), net.vjp(x, x[:, :6])])
    for got, want in zip(*found[:2], strict=True):
        assert same_bits(got, want)


def test_the_checks_can_fail(dtype):
    """One bit in the last place is seen."""
    y = normal((4, 5), dtype)
    other = y.copy()
    other[3, 4] = np.nextafter(y[3, 4], dtype.type(9))
    assert not same_bits(y, other)
    assert not same_bits(np.zeros(1, dtype), -np.zeros(1, dtype))
    assert same_bits(y, y.copy())
    with_nan, negative_nan = y.copy(), y.copy()
    with_nan[0, 1], negative_nan[0, 1] = np.nan, -np.nan
    assert with_nan.tobytes() != negative_nan.tobytes()
    assert same_bits(with_nan, negative_nan)
    assert not same_bits(with_nan, y)
    assert not same_bits(with_nan, np.roll(with_nan, 1))
