"""500 random networks within the derived bound."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from bounds import forward_bound, layer_bounds
from compare import assert_close
from variants import BACKENDS, DTYPES, ISAS, instruction_set, same_bits

import laminet as ln
from laminet import reference
from laminet.core.activation import ACTIVATIONS

COUNT = 500
GROUPS = 20  # so that a failure names the networks in a narrow range


def log_uniform(rng: np.random.Generator, low: int, high: int) -> int:
    return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))


def draw_activation(rng: np.random.Generator, name: str) -> ln.Activation:
    if name == "leaky_relu":
        return ln.Activation(name, alpha=rng.uniform(-1.5, 1.5))
    if name == "elu":
        return ln.Activation(name, alpha=rng.uniform(-0.5, 2))
    if name == "hard_sigmoid":
        return ln.Activation(name, alpha=rng.uniform(-0.5, 0.5), beta=rng.uniform(0, 1))
    return ln.Activation(name)


def draw(index: int) -> tuple[ln.MLP, np.ndarray, str, str]:
    """Return network, input, back end and instruction set number `index`.

    Back end, dtype and instruction set rotate, so that each combination comes up equally often;
    the rest is random. `test_the_drawing_covers_what_it_should` says what came of it.
    """
    rng = np.random.default_rng([2024, index])
    backend = BACKENDS[index % 2]
    dtype = DTYPES[index // 2 % 2]
    isa = ISAS[index // 4 % len(ISAS)]
    sizes = [log_uniform(rng, 1, 511) for _ in range(rng.integers(1, 6) + 1)]
    # -1 stands for one sample, shape (n,). The ends of the ranges come up too seldom by chance.
    batch = rng.choice([-1, -1, 0, 513, *(log_uniform(rng, 1, 513) for _ in range(16))])
    if rng.random() < 0.05:
        sizes[rng.integers(len(sizes))] = 511
    layers = []
    for n_in, n_out in pairwise(sizes):
        gain = np.exp(rng.uniform(-1, 1))  # small and large pre-activations: tails and saturation
        weight = rng.standard_normal((n_out, n_in)) * gain * np.sqrt(2 / n_in)
        bias = rng.standard_normal(n_out) if rng.random() < 0.7 else None
        layers.append(
            ln.Dense(
                weight.astype(dtype),
                None if bias is None else bias.astype(dtype),
                draw_activation(rng, str(rng.choice(list(ACTIVATIONS)))),
            )
        )
    with instruction_set(isa):
        net = ln.MLP(layers)
    shape = (sizes[0],) if batch < 0 else (batch, sizes[0])
    return net, rng.standard_normal(shape).astype(dtype), backend, isa


def check(index: int) -> bool:
    """Check one network; whether the bounds were tight enough to reject a result of zeros."""
    net, x, backend, isa = draw(index)
    with ln.backend(backend), instruction_set(isa):
        y, trace = net(x), net.trace(x)
    assert y.dtype == net.dtype
    assert_close(y, reference.forward(net, x), forward_bound(net, x, net.dtype))

    # Carried through five wide layers the bound may exceed the result. So each layer also on its
    # own, from the input that it really had, where the bound is tight.
    assert same_bits(trace.output, y)
    rejects_zeros = True
    for layer, a, z, s in zip(
        net.layers,
        trace.activations[:-1],
        trace.pre_activations,
        trace.activations[1:],
        strict=True,
    ):
        exact, (bound,) = reference.trace([layer], a), layer_bounds([layer], a, net.dtype)
        assert_close(z, exact.pre_activations[0], bound.z)
        assert_close(s, exact.output, bound.a)
        exact_z = np.abs(exact.pre_activations[0])
        # Exactly zero it is where relu left nothing of the layer before and there is no bias.
        rejects_zeros &= bool((exact_z > bound.z).any()) or not exact_z.any()
    return rejects_zeros


@pytest.mark.parametrize("group", range(GROUPS))
def test_within_the_derived_bound(group):
    tight = 0
    indices = range(group, COUNT, GROUPS)
    for index in indices:
        try:
            tight += check(index)
        except AssertionError as error:
            net, x, backend, isa = draw(index)
            raise AssertionError(
                f"network {index}: {net!r}, x {x.shape}, {backend}, {isa}: {error}"
            ) from error
    # A test that zeros would pass is none.
    assert tight == len(indices)


def test_the_drawing_covers_what_it_should():
    """Otherwise a change of `draw` could take cases out unseen."""
    batches, activations, isas = set(), set(), set()
    widths, depths, biases = set(), set(), set()
    for index in range(COUNT):
        net, x, backend, isa = draw(index)
        where = backend, str(net.dtype)
        isas.add((*where, isa))
        batches.add((*where, -1 if x.ndim == 1 else len(x)))
        activations |= {(*where, layer.activation.name) for layer in net.layers}
        widths |= set(net.sizes)
        depths.add(len(net.layers))
        biases |= {layer.bias is not None for layer in net.layers}
    places = list(product(BACKENDS, map(str, DTYPES)))
    assert isas == {(*place, isa) for place in places for isa in ISAS}
    assert activations == {(*place, name) for place in places for name in ACTIVATIONS}
    assert batches >= {(*place, batch) for place in places for batch in (-1, 0, 1, 513)}
    assert {1, 2, 511} <= widths <= set(range(1, 512))
    assert depths == {1, 2, 3, 4, 5}
    assert biases == {False, True}
