"""ln.linear: one layer, weights as they are."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bounds import forward_bound
from compare import assert_close
from variants import ACTIVATION_CASES, normal, same_bits

import laminet as ln
from laminet import reference

pytestmark = pytest.mark.usefixtures("isa", "backend")


def check(y, x, weight, bias=None, activation="identity"):
    layer = [ln.Dense(weight, bias, activation)]
    assert_close(y, reference.forward(layer, x), forward_bound(layer, x, y.dtype))


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_values(activation, dtype):
    x, weight, bias = normal((21, 17), dtype), normal((37, 17), dtype, 2), normal(37, dtype, 3)
    for single in (x, x[0], x[:0], x[:1]):
        check(ln.linear(single, weight, bias, activation), single, weight, bias, activation)
        check(ln.linear(single, weight, activation=activation), single, weight, None, activation)


@pytest.mark.parametrize(("batch", "n_in", "n_out"), [(1, 1, 1), (513, 300, 7), (2, 1000, 130)])
def test_shapes(batch, n_in, n_out, dtype):
    x, weight = normal((batch, n_in), dtype), normal((n_out, n_in), dtype)
    check(ln.linear(x, weight), x, weight)


WEIGHTS = {
    "C": lambda w: w,
    "Fortran": np.asfortranarray,
    "reversed": lambda w: w[::-1, ::-1].copy()[::-1, ::-1],
    "every second": lambda w: np.repeat(np.repeat(w, 2, 0), 2, 1)[::2, ::2],
    "columns of more": lambda w: np.hstack([w, w])[:, : w.shape[1]],
    "read-only": lambda w: np.frombuffer(w.tobytes(), w.dtype).reshape(w.shape),
    "other byte order": lambda w: w.astype(w.dtype.newbyteorder()),
}


@pytest.mark.parametrize("make", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_strides_of_the_weight(make, dtype):
    x, weight = normal((30, 19), dtype), normal((23, 19), dtype, 2)
    given = make(weight)
    before = given.tobytes()
    for rows in (x, x[0], x[::-1, ::-1]):
        y = ln.linear(rows, given)
        assert y.dtype == dtype
        check(y, rows, weight)
    assert given.tobytes() == before


def test_broadcast_weight_and_bias(dtype):
    x = normal((6, 19), dtype)
    weight = np.broadcast_to(normal(19, dtype), (23, 19))
    bias = np.broadcast_to(dtype.type(2.5), (23,))
    check(ln.linear(x, weight, bias), x, np.ascontiguousarray(weight), bias.copy())


def test_strides_of_the_bias(dtype):
    x, weight, bias = normal((30, 19), dtype), normal((23, 19), dtype), normal(46, dtype)
    for b in (bias[::2], bias[::-2], bias[:23][::-1]):
        assert same_bits(ln.linear(x, weight, b), ln.linear(x, weight, b.copy()))


def test_dtype_comes_from_the_weights():
    """float32 where it holds every value by NumPy's rules, else float64; x is converted."""
    x = np.ones((3, 4), np.float64)
    f4, f8, f2 = (np.ones((2, 4), t) for t in ("f4", "f8", "f2"))
    assert ln.linear(x, f4).dtype == np.float32
    assert ln.linear(x, f2).dtype == np.float32
    assert ln.linear(x.astype("f4"), f8).dtype == np.float64
    assert ln.linear(x, f4, np.zeros(2)).dtype == np.float64
    assert ln.linear(x, f4, np.zeros(2, "f2")).dtype == np.float32
    assert ln.linear(x, np.ones((2, 4), "i2")).dtype == np.float32
    assert ln.linear(x, np.ones((2, 4), int)).dtype == np.float64
    assert ln.linear(x, [[1, 2, 3, 4.0]]).dtype == np.float64


def test_errors(dtype):
    x, weight = np.zeros((3, 4), dtype), np.zeros((2, 4), dtype)
    cases = [
        ((np.zeros((3, 5), dtype), weight), ValueError, "x has 5 features, the weight takes 4"),
        ((x, np.zeros(4, dtype)), ValueError, "weight must have shape (out_features, in_features)"),
        ((x, weight, np.zeros(3, dtype)), ValueError, "bias must have shape (2,), got shape (3,)"),
        ((x, np.zeros((0, 4), dtype)), ValueError, "weight must have at least one row"),
        ((x, weight, None, "nope"), ValueError, "unknown activation 'nope'"),
        ((x.astype(complex), weight), TypeError, "x must hold real numbers"),
        ((x, weight.astype(complex)), TypeError, "weight must hold real numbers"),
        ((x, weight, np.zeros(2, object)), TypeError, "bias must hold real numbers"),
        ((np.ma.zeros((3, 4)), weight), TypeError, "x is a masked array"),
        ((None, weight), TypeError, "x must be an array of real numbers, got NoneType"),
        ((x, None), TypeError, "weight must be an array of real numbers, got NoneType"),
        ((np.zeros((1, 3, 4), dtype), weight), ValueError, "x must have shape"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            ln.linear(*arguments)


@pytest.mark.parametrize("batch", [1, 2, 12, 40])
def test_out_over_the_input(batch, dtype):
    weight, bias = normal((12, 12), dtype), normal(12, dtype, 2)
    x = normal((batch, 12), dtype, 3)
    expected = ln.linear(x, weight, bias, "tanh")
    work = x.copy()
    assert ln.linear(work, weight, bias, "tanh", out=work) is work
    assert same_bits(work, expected)


@pytest.mark.parametrize("batch", [12, 40, 700])  # the last in more than one block of rows
def test_out_over_the_weight(batch, dtype):
    """ "The result is still right" must hold for every input, not only for x."""
    x, weight = normal((batch, 12), dtype, 3), normal((12, 12), dtype)
    expected = ln.linear(x, weight)
    memory = np.zeros((batch, 12), dtype)
    memory[:12] = weight
    ln.linear(x, memory[:12], out=memory)
    assert same_bits(memory, expected)


@pytest.mark.parametrize("batch", [None, 1, 12, 40])
def test_out_over_the_bias(batch, dtype):
    x = normal(12 if batch is None else (batch, 12), dtype, 3)
    weight, bias = normal((12, 12), dtype), normal(12, dtype)
    expected = ln.linear(x, weight, bias)
    memory = np.zeros(expected.shape, dtype)
    row = memory if batch is None else memory[0]
    row[:] = bias
    ln.linear(x, weight, row, out=memory)
    assert same_bits(memory, expected)


def test_nothing_is_kept(dtype):
    import sys

    x, weight, bias = normal((3, 4), dtype), normal((2, 4), dtype), normal(2, dtype)
    before = [sys.getrefcount(a) for a in (x, weight, bias)]
    ln.linear(x, weight, bias)
    ln.linear(x[0], weight, bias, "relu")
    assert [sys.getrefcount(a) for a in (x, weight, bias)] == before


def test_changed_weights_count(dtype):
    """Nothing is cached by the weight's address."""
    x, weight = normal((3, 4), dtype), normal((2, 4), dtype)
    first = ln.linear(x, weight)
    weight *= 2
    assert same_bits(ln.linear(x, weight), 2 * first)


def test_calls_of_other_shapes_and_functions_in_between(dtype):
    """What a thread keeps of its last call is not taken for another's."""
    cases = [(3, 5, "tanh"), (3, 4, "relu"), (3, 5, "relu"), (5, 3, "relu"), (4, 5, "relu")]
    cases += [(3, 5, ln.Activation("leaky_relu", alpha=a)) for a in (0.5, 0.25, 0.0, -0.0)]
    data = [(normal(n, dtype), normal((m, n), dtype), f) for n, m, f in cases]
    expected = [ln.MLP([ln.Dense(w, None, f)])(x) for x, w, f in data]
    assert not same_bits(expected[-1], expected[-2])  # zeros of either sign

    def work():
        for _ in range(20):
            for (x, w, f), y in zip(data, expected, strict=True):
                np.testing.assert_array_max_ulp(ln.linear(x, w, None, f), y, 8)
                assert (np.signbit(ln.linear(x, w, None, f)) == np.signbit(y)).all()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()


def test_a_call_within_a_call(script):
    """A handler of a signal that calls it, too, while another product is under way."""
    code = """
import signal, numpy as np, laminet as ln
seen = []
def handler(*_):
    seen.append(float(ln.linear(np.ones(3, "float32"), np.ones((2, 3), "float32"))[0]))
handler()  # what is imported at first need is there
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
big = np.ones((4000, 2000), "float32"), np.ones((3000, 2000), "float32")
while len(seen) < 5:
    assert (ln.linear(*big) == 2000).all()
signal.setitimer(signal.ITIMER_REAL, 0)
assert set(seen) == {3.0}
print("right")
"""
    done = script(code)
    assert done.stdout == "right\n", done.stderr


def test_nothing_of_the_caller_is_kept(dtype):
    x, w, b = normal(3, dtype), normal((5, 3), dtype), normal(5, dtype)
    before = [sys.getrefcount(a) for a in (x, w, b)]
    expected = ln.linear(x, w, b)
    assert [sys.getrefcount(a) for a in (x, w, b)] == before
    w *= 2
    b += 1
    np.testing.assert_allclose(ln.linear(x, w, b), x @ w.T + b, rtol=1e-5, atol=1e-5)
    assert not np.allclose(ln.linear(x, w, b), expected)
