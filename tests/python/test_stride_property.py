"""Hypothesis: any shape, any strides in and out, both dtypes, back ends and instruction sets."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import forward_bound
from compare import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import DTYPES, ISAS, instruction_set, random_net, same_bits

import laminet as ln
from laminet import reference
from laminet.core.activation import ACTIVATIONS

# Steps between elements of an axis, in the memory that holds the view; 0 repeats one element.
STEPS = st.integers(-3, 3)
NONZERO = STEPS.filter(bool)


def place(shape, steps, order, dtype, lead):
    """Return (memory, view): the view of that shape with those steps in an array of its own.

    The outer axis steps over at least all of the inner one, so that elements do not share memory,
    except along an axis with step 0. `lead` elements lie before it.
    """
    inner = 1 if order == "C" else 0
    outer = 1 - inner
    strides, span = [0, 0], [0, 0]
    strides[inner] = steps[inner]
    span[inner] = max(shape[inner] - 1, 0) * abs(steps[inner])
    strides[outer] = steps[outer] * (span[inner] + 1)
    span[outer] = max(shape[outer] - 1, 0) * abs(strides[outer])
    memory = np.full(lead + sum(span) + 1 + 4, 777, dtype)
    first = lead + sum(s for s, step in zip(span, strides, strict=True) if step < 0)
    view = np.lib.stride_tricks.as_strided(
        memory[first:], shape, [s * memory.itemsize for s in strides]
    )
    return memory, view


layouts = st.tuples(st.tuples(STEPS, STEPS), st.sampled_from("CF"), st.integers(0, 5))
out_layouts = st.tuples(st.tuples(NONZERO, NONZERO), st.sampled_from("CF"), st.integers(0, 5))
sizes = st.lists(st.integers(1, 40), min_size=2, max_size=4)


@pytest.mark.parametrize("backend_name", ["blas", "tiled"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_shapes_and_strides(backend_name, dtype, data):
    widths = data.draw(sizes, "sizes")
    batch = data.draw(st.one_of(st.none(), st.integers(0, 30)), "batch")
    isa = data.draw(st.sampled_from(ISAS), "isa")
    activation = data.draw(st.sampled_from(list(ACTIVATIONS)), "activation")
    with instruction_set(isa):
        net = random_net(
            widths, activation, dtype=dtype, bias=data.draw(st.booleans(), "bias"),
            seed=data.draw(st.integers(0, 9), "seed"),
        )  # fmt: skip

    rows = 1 if batch is None else batch
    memory, x = place((rows, widths[0]), *_layout(data.draw(layouts, "x"), dtype))
    _, out = place((rows, widths[-1]), *_layout(data.draw(out_layouts, "out"), dtype))
    # One by one: where elements share memory, the last value written is what the view shows.
    values = np.random.default_rng(len(memory)).standard_normal(x.shape).astype(dtype)
    for index in np.ndindex(x.shape):
        x[index] = values[index]
    if batch is None:
        x, out = x[0], out[0]
    before = memory.tobytes()
    plain = np.ascontiguousarray(x)

    with ln.backend(backend_name):
        y = net(x)
        assert same_bits(y, net(plain))
        assert net(x, out=out) is out
    assert memory.tobytes() == before
    assert same_bits(np.ascontiguousarray(out), y)
    assert_close(y, reference.forward(net, plain), forward_bound(net, plain, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_only_the_view_is_written(dtype, data):
    """Neighbours of out in memory keep every bit; the guard is on all sides and in the gaps."""
    widths = data.draw(sizes, "sizes")
    rows = data.draw(st.integers(0, 30), "batch")
    steps, order, lead = data.draw(out_layouts, "out")
    with instruction_set(data.draw(st.sampled_from(ISAS), "isa")):
        net = random_net(widths, dtype=dtype)
    x = np.ones((rows, widths[0]), dtype)
    memory, out = place((rows, widths[-1]), steps, order, dtype, lead)
    expected, view = place((rows, widths[-1]), steps, order, dtype, lead)
    for backend_name in ("blas", "tiled"):
        with ln.backend(backend_name):
            view[...] = net(x)
            net(x, out=out)
        assert memory.tobytes() == expected.tobytes()


def _layout(drawn, dtype):
    steps, order, lead = drawn
    return steps, order, dtype, lead


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("steps", [(1, 1), (-2, 1), (3, -1), (-1, -2), (0, 1), (1, 0)])
def test_the_layouts_are_what_they_say(order, steps):
    """`place` itself: inside its memory, distinct elements, the steps that were asked for."""
    memory, view = place((3, 4), steps, order, np.dtype("f4"), 2)
    assert np.shares_memory(memory, view)
    byte_bounds = getattr(np.lib, "array_utils", np).byte_bounds  # there before NumPy 2
    low, high = byte_bounds(view)
    start, end = byte_bounds(memory)
    assert start <= low
    assert high <= end
    distinct = {_address(view, i, j) for i in range(3) for j in range(4)}
    assert len(distinct) == (3 if steps[0] else 1) * (4 if steps[1] else 1)


def _address(view, i, j):
    return view[i : i + 1, j : j + 1].__array_interface__["data"][0]
