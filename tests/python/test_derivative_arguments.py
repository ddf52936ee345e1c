"""The derivatives' arguments: what is converted, where results go, what is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from variants import normal, random_net, same_bits

import laminet as ln

N, M, B = 9, 5, 25
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def net(dtype):
    return random_net([N, 30, M], "tanh", dtype=dtype)


@pytest.fixture
def x(dtype):
    return normal((B, N), dtype)


@pytest.fixture
def v(dtype):
    return normal((B, M), dtype, 2)


def test_other_dtypes_orders_and_lists(net, x, v, dtype):
    """An array of another dtype, byte order, memory order, or a list: the same numbers."""
    x, v = np.round(x * 8) / 8, np.round(v * 8) / 8  # exact in float16 too
    expected = net.jacobian(x), net.vjp(x, v), net.jvp(x, x), net.gradients(x, v).weights[0]
    swapped = x.dtype.newbyteorder()
    for convert in (
        lambda a: a.astype("float16"),
        lambda a: a.astype("float64"),
        lambda a: a.astype(swapped),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        lambda a: a.tolist(),
    ):
        xs, vs = convert(x), convert(v)
        got = (
            net.jacobian(xs),
            net.vjp(xs, vs),
            net.jvp(xs, xs),
            net.gradients(xs, vs).weights[0],
        )
        for a, b in zip(got, expected, strict=True):
            assert same_bits(a, b)
    assert net.jacobian(x).dtype == dtype


def test_one_sample_is_a_row(net, x, v):
    assert net.jacobian(x[0]).shape == (M, N)
    assert [f.shape for f in net.layer_jacobians(x[0])] == [(30, N), (M, 30)]
    assert net.vjp(x[0], v[0]).shape == (N,)
    assert net.jvp(x[0], x[1]).shape == (M,)
    single, row = net.gradients(x[0], v[0]), net.gradients(x[:1], v[:1])
    assert (single.input.shape, row.input.shape) == ((N,), (1, N))
    assert all(map(same_bits, single.weights + single.biases, row.weights + row.biases))


def test_nothing_is_written_to_or_kept(net, x, v):
    for a in (x, v):
        a.flags.writeable = False
    before = x.copy(), v.copy()
    results = net.jacobian(x), net.vjp(x, v), net.jvp(x, x), *net.gradients(x, v).weights
    assert same_bits(x, before[0])
    assert same_bits(v, before[1])
    for result in (*results, *net.layer_jacobians(x)):
        assert result.flags.owndata
        assert result.flags.c_contiguous
        assert result.flags.writeable


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x, v: n.jacobian(x[:, :4]), "x has 4 features, the network takes 9"),
        (lambda n, x, v: n.value_and_jacobian(x[None]), r"x must have shape \(features,\) or"),
        (lambda n, x, v: n.layer_jacobians(x[0, :2]), "x has 2 features, the network takes 9"),
        (
            lambda n, x, v: n.vjp(x, v[:3]),
            r"cotangent must have shape \(25, 5\), got shape \(3, 5\)",
        ),
        (lambda n, x, v: n.vjp(x[0], v), r"cotangent must have shape \(5,\), got shape \(25, 5\)"),
        (
            lambda n, x, v: n.vjp(x[:1], v[0]),
            r"cotangent must have shape \(1, 5\), got shape \(5,\)",
        ),
        (lambda n, x, v: n.jvp(x, v), r"tangent must have shape \(25, 9\), got shape \(25, 5\)"),
        (
            lambda n, x, v: n.gradients(x, x),
            r"grad_output must have shape \(25, 5\), got shape \(25, 9\)",
        ),
        (
            lambda n, x, v: n.jacobian(x, out=np.empty((B, N, M), n.dtype)),
            r"out must have shape \(25, 5, 9\), got shape \(25, 9, 5\)",
        ),
        (
            lambda n, x, v: n.jacobian(x[0], out=np.empty((1, M, N), n.dtype)),
            r"out must have shape \(5, 9\), got shape \(1, 5, 9\)",
        ),
        (lambda n, x, v: n.jacobian(x, out=np.empty((B, M, N), "int32")), "out must have dtype"),
        (
            lambda n, x, v: n.jacobian(x, out=np.broadcast_to(n.dtype.type(0), (B, M, N))),
            "out must be writeable",
        ),
        (
            lambda n, x, v: n.jacobian(
                x, out=np.lib.stride_tricks.as_strided(np.empty(400, n.dtype), (B, M, N), (8, 8, 8))
            ),
            "out must not overlap itself",
        ),
        (lambda n, x, v: n.vjp(x, v, out=np.empty((B, M), n.dtype)), "out must have shape"),
        (lambda n, x, v: n.jvp(x, x, out=np.empty((B, N), n.dtype)), "out must have shape"),
    ],
)
def test_wrong_values(net, x, v, call, message):
    with pytest.raises(ValueError, match=message):
        call(net, x, v)


@pytest.mark.parametrize("bad", [1j * np.ones(N), ["a"] * N, None, np.ma.masked_array(np.ones(N))])
def test_wrong_types(net, x, bad):
    for call in (net.jacobian, net.value_and_jacobian, net.layer_jacobians):
        with pytest.raises(TypeError, match="x "):
            call(bad)
    with pytest.raises(TypeError, match="tangent "):
        net.jvp(x[0], bad)
    with pytest.raises(TypeError, match="out must be a NumPy array, got list"):
        net.jacobian(x, out=[1.0])


def test_out_of_two(net, x, dtype):
    y, j = np.empty((B, M), dtype), np.empty((B, M, N), dtype)
    got = net.value_and_jacobian(x, out=(y, j))
    assert got[0] is y
    assert got[1] is j
    assert same_bits(j, net.jacobian(x))
    assert net.value_and_jacobian(x, out=(None, j))[1] is j
    assert net.value_and_jacobian(x, out=(y, None))[0] is y
    for wrong in (j, [y, j], (y, j, y)):
        with pytest.raises(TypeError, match="out must be a tuple of two arrays"):
            net.value_and_jacobian(x, out=wrong)
    with pytest.raises(ValueError, match="y and the Jacobian share memory"):
        net.value_and_jacobian(x, out=(j[:, :, 0], j))


def test_out_of_no_samples(net, x, dtype):
    j = np.empty((0, M, N), dtype)
    assert net.jacobian(x[:0], out=j) is j
    assert net.value_and_jacobian(x[:0], out=(None, j))[1] is j


def test_out_that_overlaps_what_is_read(dtype):
    """The result is right all the same: it is computed elsewhere."""
    net = random_net([6, 20, 6], "gelu", dtype=dtype)
    x, v = normal((36, 6), dtype), normal((36, 6), dtype, 2)
    expected = net.vjp(x, v), net.jvp(x, v), net.jacobian(x)
    for method, want in ((net.vjp, expected[0]), (net.jvp, expected[1])):
        for target in ("x", "v"):
            arrays = {"x": x.copy(), "v": v.copy()}
            out = arrays[target][::-1]
            method(arrays["x"], arrays["v"], out=out)
            assert same_bits(np.ascontiguousarray(out), want)
    memory = np.zeros((36, 6, 6), dtype)
    memory[:, 0] = x
    assert same_bits(net.jacobian(memory[:, 0], out=memory), expected[2])


def test_out_leaves_the_rest_alone(net, x, dtype):
    owner = np.full((2 * B, M + 2, 3 * N), 7, dtype)
    out = owner[1::2, 1:-1, ::3]
    net.jacobian(x, out=out)
    # Not the same bits: BLAS gets other numbers of rows.
    np.testing.assert_allclose(out, net.jacobian(x), atol=32 * np.finfo(dtype).eps)
    out[...] = 7
    assert (owner == 7).all()


def test_many_threads_at_once(dtype):
    """The first calls of a network, all at the same time: weights are packed once."""
    for _ in range(5):
        net = random_net([40, 90, 60, 7], "silu", dtype=dtype)
        x, v = normal((60, 40), dtype), normal((60, 7), dtype, 2)
        with ln.num_threads(1):
            twin = ln.MLP(net.layers)
            expected = twin.jacobian(x), twin.vjp(x, v), twin.gradients(x, v).weights[1]
        wrong = []
        start = threading.Barrier(6)

        def work(net=net, x=x, v=v, expected=expected, wrong=wrong, start=start):
            start.wait()
            for _ in range(3):
                got = net.jacobian(x), net.vjp(x, v), net.gradients(x, v).weights[1]
                if ln.get_backend() == "tiled":
                    wrong.extend(not same_bits(*pair) for pair in zip(got, expected, strict=True))
                else:
                    wrong.extend(
                        not np.allclose(*pair, rtol=1e-3, atol=1e-4)
                        for pair in zip(got, expected, strict=True)
                    )

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wrong) == 6 * 3 * 3
        assert not any(wrong)


def test_after_fork(script):
    code = """
import os, numpy as np, laminet as ln
net = ln.MLP.init([64, 256, 256, 32], "tanh", seed=0)
x = np.ones((600, 64), "float32")
before = net.jacobian(x)
pid = os.fork()
if pid == 0:
    os._exit(0 if np.array_equal(net.jacobian(x), before) else 1)
assert os.waitpid(pid, 0)[1] == 0
print("right")
"""
    done = script(code)
    assert done.stdout == "right\n", done.stderr


def test_results_show_themselves(net, x, v):
    text = str(net.gradients(x, v))
    assert "(30, 9)" in text
    assert "input" in text
    names = {"weights", "biases", "input", "norms", "layers", "norm_layers"}
    names |= {"activations", "activation_layers"}
    assert net.gradients(x, v).to_dict().keys() == names


def test_large_batches_take_little_memory(script):
    """What a batch needs beside its results does not grow with it."""
    code = """
import resource, numpy as np, laminet as ln
net = ln.MLP.init([4, 64, 64, 1], "tanh", seed=0)
x = np.zeros((1_000_000, 4), "float32")
v = np.zeros((1_000_000, 1), "float32")
out, y, g = np.zeros((1_000_000, 1, 4), "float32"), v.copy(), x.copy()
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net.value_and_jacobian(x[:5000], out=(y[:5000], out[:5000]))
net.gradients(x[:5000], v[:5000])
before = peak()
net.value_and_jacobian(x, out=(y, out)); net.vjp(x, v, out=g); net.jvp(x, x, out=y)
grown = peak() - before
net.gradients(x, v)
print(grown, peak() - before)
"""
    done = script(code)
    assert done.returncode == 0, done.stderr
    grown, with_gradients = map(int, done.stdout.split())
    assert grown < 16_000  # KiB; all activations would be a gibibyte
    assert with_gradients < 16_000 + 16_000  # the gradient of x is 16 MB
