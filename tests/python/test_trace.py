"""net.trace(x): what every layer computes, and how it prints."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bounds import layer_bounds
from compare import assert_close
from variants import ACTIVATION_CASES, normal, random_net, same_bits

import laminet as ln
from laminet import reference

pytestmark = pytest.mark.usefixtures("isa", "backend")


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_every_layer(activation, dtype):
    net = random_net([14, 33, 20, 5], activation, dtype=dtype)
    batch = normal((31, 14), dtype)
    for x in (batch, batch[0], batch[::-2, ::-1], np.asfortranarray(batch)):
        trace, exact = net.trace(x), reference.trace(net, x)
        bounds = layer_bounds(net, x, dtype)
        assert len(trace.pre_activations) == 3
        assert len(trace.activations) == 4
        assert same_bits(trace.activations[0], np.ascontiguousarray(x))
        for i, bound in enumerate(bounds):
            assert_close(trace.pre_activations[i], exact.pre_activations[i], bound.z)
            assert_close(trace.activations[i + 1], exact.activations[i + 1], bound.a)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "gelu"])
@pytest.mark.parametrize("batch", [None, 0, 1, 2, 9, 64, 400])
def test_output_is_the_forward_pass(batch, activation, dtype):
    net = random_net([14, 133, 5], activation, dtype=dtype)
    x = normal(14 if batch is None else (batch, 14), dtype)
    trace = net.trace(x)
    assert same_bits(trace.output, net(x))
    assert trace.output is trace.activations[-1]


def test_arrays_are_the_callers(dtype):
    """New, writeable, contiguous, sharing no memory: the caller may do with them what it likes."""
    net = random_net([6, 8, 4], "identity", dtype=dtype)
    x = normal((5, 6), dtype)
    kept = x.copy()
    trace = net.trace(x)
    arrays = [*trace.activations, *trace.pre_activations]
    for i, a in enumerate(arrays):
        assert a.dtype == dtype
        assert a.flags.c_contiguous
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (*arrays[:i], x))
        a.fill(0)
    assert same_bits(x, kept)
    assert net(x).any()


def test_conversion(dtype):
    net = random_net([6, 8, 4], dtype=dtype)
    trace = net.trace([[1, 2, 3, 4, 5, 6]])
    assert trace.activations[0].dtype == dtype
    assert trace.activations[0].tolist() == [[1, 2, 3, 4, 5, 6]]


def test_text_of_one_sample():
    net = ln.MLP.init([784, 256, 10], seed=0)
    trace = net.trace(np.zeros(784))
    assert str(trace) == (
        "Layer 1: W(256, 784) @ a(784,) + b(256,) -> z(256,) -> a(256,)\n"
        "Layer 2: W(10, 256) @ a(256,) + b(10,) -> z(10,) -> a(10,)"
    )
    assert repr(trace) == str(trace)


def test_text_of_a_batch():
    net = ln.MLP.init([8, 3], seed=0, bias=False)
    assert str(net.trace(np.zeros((5, 8)))) == (
        "Layer 1: A(5, 8) @ W(3, 8)^T -> Z(5, 3) -> A(5, 3)"
    )


def test_frozen():
    trace = ln.MLP.init([8, 3], seed=0).trace(np.zeros(8))
    assert isinstance(trace, ln.Trace)
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.activations = []


def test_no_reference_to_the_network_is_needed(dtype):
    net = random_net([6, 8, 4], dtype=dtype)
    x = normal((5, 6), dtype)
    expected = net(x)
    trace = net.trace(x)
    del net
    assert same_bits(trace.output, expected)
    assert str(trace).startswith("Layer 1: A(5, 6)")
