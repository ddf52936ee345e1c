"""`out=` of what returns several arrays: gradients and layer_jacobians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from variants import normal, random_net, same_bits

import laminet as ln

N, M, B = 9, 5, 25
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def net(dtype):
    first = ln.Dense(normal((6, N), dtype), normal(6, dtype, 2), "tanh")
    norms = [ln.LayerNorm(normal(6, dtype, 3), normal(6, dtype, 4)), ln.RMSNorm(normal(6, dtype))]
    return ln.MLP([first, *norms, ln.Residual([ln.Dense(normal((6, 6), dtype, 5))]), *last(dtype)])


def last(dtype):
    return [ln.Dense(normal((M, 6), dtype, 6), normal(M, dtype, 7))]


@pytest.fixture
def x(dtype):
    return normal((B, N), dtype)


@pytest.fixture
def v(dtype):
    return normal((B, M), dtype, 2)


def arrays_of(found):
    pairs = [a for pair in found.norms for a in pair]
    return [a for a in (*found.weights, *found.biases, found.input, *pairs) if a is not None]


def rebuilt(found, make):
    """Return the same structure of arrays that `make` makes of each."""

    def made(a):
        return None if a is None else make(a)

    return replace(
        found,
        weights=[make(a) for a in found.weights],
        biases=[made(a) for a in found.biases],
        input=make(found.input),
        norms=[(made(a), made(b)) for a, b in found.norms],
    )


def of_one_buffer(found):
    """Return views of one flat array, one after the other, as an optimiser has them."""
    flat = np.full(sum(a.size for a in arrays_of(found)), np.nan, found.input.dtype)
    offsets = iter(np.cumsum([0, *(a.size for a in arrays_of(found))]).tolist())

    def view(a):
        start = next(offsets)
        return flat[start : start + a.size].reshape(a.shape)

    return flat, rebuilt(found, view)


def spread(a):
    """Return memory of the shape of `a` whose rows are not contiguous, NaN throughout."""
    return np.full(tuple(2 * n for n in a.shape), np.nan, a.dtype)[
        (slice(None, None, -2),) * a.ndim
    ]


def check_same(got, expected, out):
    for a, b, target in zip(arrays_of(got), arrays_of(expected), arrays_of(out), strict=True):
        assert a is target
        assert same_bits(np.ascontiguousarray(a), b)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("make", [np.empty_like, lambda a: np.full_like(a, np.nan), spread])
def test_gradients_are_written_there(make, net, x, v):
    expected = net.gradients(x, v)
    out = rebuilt(expected, make)
    got = net.gradients(x, v, out=out)
    check_same(got, expected, out)
    assert (got.layers, got.norm_layers) == (expected.layers, expected.norm_layers)
    assert [b is None for b in got.biases] == [False, True, False]
    assert [b is None for _, b in got.norms] == [False, True]


def test_gradients_of_one_sample_and_of_none(net, x, v):
    for points, cotangents in ((x[0], v[0]), (x[:0], v[:0])):
        expected = net.gradients(points, cotangents)
        out = rebuilt(expected, lambda a: np.full_like(a, np.nan))
        check_same(net.gradients(points, cotangents, out=out), expected, out)


def test_gradients_in_one_flat_buffer(net, x, v):
    expected = net.gradients(x, v)
    flat, out = of_one_buffer(expected)
    # The names of layers are the network's, whatever `out` says.
    made = ln.Gradients(out.weights, out.biases, out.input, out.norms)
    got = net.gradients(x, v, out=made)
    check_same(got, expected, out)
    assert got.layers == expected.layers
    assert np.array_equal(flat, np.concatenate([a.ravel() for a in arrays_of(expected)]))
    # Again, in the same memory, through many passes over samples.
    many, w = np.tile(x, (60, 1)), np.tile(v, (60, 1))
    wanted = net.gradients(many, w)
    out = replace(got, input=np.empty_like(many))
    check_same(net.gradients(many, w, out=out), wanted, out)


def test_memory_that_is_read_is_written_last(net, x, v):
    """Sums over many passes are written before the last samples are read."""
    at, g = np.tile(x, (60, 1)), np.tile(v, (60, 1))
    expected = net.gradients(at, g)
    out = rebuilt(expected, np.empty_like)
    out = replace(out, input=at, biases=[out.biases[0], None, g[-1]])
    got = net.gradients(at, g, out=out)
    check_same(got, expected, out)
    assert got.input is at


def test_none_in_place_of_an_array_is_a_new_one(net, x, v):
    expected = net.gradients(x, v)
    weight = np.empty_like(expected.weights[1])
    out = ln.Gradients([None, weight, None], [None] * 3, None, [(None, None)] * 2)
    got = net.gradients(x, v, out=out)
    assert got.weights[1] is weight
    for a, b in zip(arrays_of(got), arrays_of(expected), strict=True):
        assert same_bits(a, b)


def test_no_array_is_made(net, x, v):
    import tracemalloc

    big = random_net([300, 400, 300], "tanh", dtype=net.dtype)
    at, g = normal((4, 300), net.dtype), normal((4, 300), net.dtype, 2)
    out, jacobians = big.gradients(at, g), big.layer_jacobians(at)
    tracemalloc.start()
    big.gradients(at, g, out=out)
    big.layer_jacobians(at, out=jacobians)
    peak = tracemalloc.get_traced_memory()[1]  # NumPy tells of the memory of arrays
    tracemalloc.stop()
    assert peak < out.weights[0].nbytes / 20


def test_no_reference_is_kept(net, x, v):
    import sys

    out = net.gradients(x, v)
    before = [sys.getrefcount(a) for a in arrays_of(out)]
    for _ in range(3):
        net.gradients(x, v, out=out)
    assert [sys.getrefcount(a) for a in arrays_of(out)] == before


WRONG = [
    (lambda o: replace(o, weights=o.weights[:2]), r"out.weights has 2 entries, expected 3: one"),
    (lambda o: replace(o, biases=[*o.biases, None]), r"out.biases has 4 entries, expected 3"),
    (lambda o: replace(o, norms=o.norms[:1]), r"out.norms has 1 entries, expected 2: one for each"),
    (lambda o: replace(o, norms=[o.norms[0], o.norms[1][:1]]), r"out.norms\[1\] must be a pair"),
    (
        lambda o: replace(o, weights=[o.weights[0], o.weights[1].ravel(), o.weights[2]]),
        r"out.weights\[1\] must have shape \(6, 6\), got shape \(36,\)",
    ),
    (
        lambda o: replace(o, biases=[o.biases[0], o.biases[0].copy(), o.biases[2]]),
        r"out.biases\[1\] must be None: the layer has no bias",
    ),
    (
        lambda o: replace(o, norms=[o.norms[0], (o.norms[1][0], o.norms[1][0].copy())]),
        r"out.norms\[1\]\[1\] must be None: the norm has no bias",
    ),
    (
        lambda o: replace(o, norms=[(o.norms[0][0][:5], o.norms[0][1]), o.norms[1]]),
        r"out.norms\[0\]\[0\] must have shape \(6,\), got shape \(5,\)",
    ),
    (lambda o: replace(o, input=o.input.astype("int32")), "out.input must have dtype"),
    (
        lambda o: replace(o, input=np.broadcast_to(o.input[:1], o.input.shape)),
        "out.input must be writeable",
    ),
    (
        lambda o: replace(o, input=np.lib.stride_tricks.as_strided(o.input, strides=(8, 8))),
        "out.input must not overlap itself",
    ),
    (
        lambda o: replace(o, biases=[o.weights[0][:, 0], None, o.biases[2]]),
        r"out must not overlap itself: out.weights\[0\] and out.biases\[0\] share memory",
    ),
    (
        lambda o: replace(o, norms=[(o.norms[0][0], o.norms[1][0]), o.norms[1]]),
        r"itself: out.norms\[0\]\[1\] and out.norms\[1\]\[0\] share memory",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_values(change, message, net, x, v):
    out = rebuilt(net.gradients(x, v), np.zeros_like)
    with pytest.raises(ValueError, match=message):
        net.gradients(x, v, out=change(out))
    assert not any(a.any() for a in arrays_of(out))  # all is checked before anything is written


def test_wrong_types(net, x, v):
    out = net.gradients(x, v)
    for wrong in (out.weights, (out,), np.zeros(3), "out"):
        with pytest.raises(TypeError, match="out must be Gradients, as net"):
            net.gradients(x, v, out=wrong)
    for change, message in (
        ({"weights": out.weights[0]}, "out.weights must be a list or a tuple, got ndarray"),
        ({"norms": [None, None]}, r"out.norms\[0\] must be a list or a tuple, got NoneType"),
        ({"input": [1.0]}, "out.input must be a NumPy array, got list"),
        ({"biases": ["b", None, None]}, r"out.biases\[0\] must be a NumPy array, got str"),
    ):
        with pytest.raises(TypeError, match=message):
            net.gradients(x, v, out=replace(out, **change))
    with pytest.raises(ValueError, match="x has 4 features"):
        net.gradients(x[:, :4], v, out=replace(out, input=None, weights=[]))


@pytest.mark.parametrize("make", [np.empty_like, spread])
def test_layer_jacobians_are_written_there(make, net, x):
    for points in (x, x[0], x[:0]):
        expected = net.layer_jacobians(points)
        out = [make(j) for j in expected]
        for given in (out, tuple(out)):
            got = net.layer_jacobians(points, out=given)
            assert isinstance(got, list)
            for a, b, target in zip(got, expected, out, strict=True):
                assert a is target
                assert same_bits(np.ascontiguousarray(a), b)
    again = net.layer_jacobians(x, out=[None, j := np.empty((B, 6, 6), net.dtype), None])
    assert again[1] is j
    memory = np.zeros((B, 6, N), net.dtype)
    memory[:, 0] = x
    expected = net.layer_jacobians(x)
    got = net.layer_jacobians(memory[:, 0], out=[memory, None, None])
    assert all(map(same_bits, got, expected))


def test_layer_jacobians_refuse(net, x):
    out = [np.zeros_like(j) for j in net.layer_jacobians(x)]
    for wrong in (out[0], "out", dict(enumerate(out)), iter(out)):
        with pytest.raises(TypeError, match="out must be a list of arrays, one for each dense"):
            net.layer_jacobians(x, out=wrong)
    with pytest.raises(TypeError, match=r"out\[2\] must be a NumPy array, got float"):
        net.layer_jacobians(x, out=[None, None, 1.0])
    for wrong, message in (
        (out[:2], "out has 2 arrays, expected 3: one for each dense layer"),
        (
            [out[0], out[0], out[2]],
            r"out\[1\] must have shape \(25, 6, 6\), got shape \(25, 6, 9\)",
        ),
        ([None, out[1], out[1][:, :M]], r"itself: out\[1\] and out\[2\] share memory"),
        ([None, out[1].astype("int8"), None], r"out\[1\] must have dtype"),
    ):
        with pytest.raises(ValueError, match=message):
            net.layer_jacobians(x, out=wrong)
    assert not any(j.any() for j in out)
