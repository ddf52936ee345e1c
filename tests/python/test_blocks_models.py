"""Networks as people have them: SimBa, NeRF, an ensemble, twin critics; bounds, bits, strides."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from compare import assert_close
from tree_bounds import jacobian_bound, value_bound, vjp_bound
from variants import FUSED_ISAS, instruction_set, normal, same_bits

import laminet as ln
from laminet import reference


class Weights:
    """Draws dense layers of one dtype."""

    def __init__(self, dtype: np.dtype) -> None:
        self.rng = np.random.default_rng(3)
        self.dtype = dtype

    def vector(self, n: int) -> np.ndarray:
        return (1 + 0.1 * self.rng.standard_normal(n)).astype(self.dtype)

    def dense(self, n: int, m: int, activation: str = "identity") -> ln.Dense:
        weight = self.rng.standard_normal((m, n)) / np.sqrt(n)
        bias = 0.1 * self.rng.standard_normal(m)
        return ln.Dense(weight.astype(self.dtype), bias.astype(self.dtype), activation)

    def chain(self, *sizes: int, activation: str = "relu") -> list[ln.Dense]:
        hidden = [self.dense(n, m, activation) for n, m in pairwise(sizes[:-1])]
        return [*hidden, self.dense(*sizes[-2:])]


def simba(dtype):
    """Residual blocks of a norm and two layers, observations normalised before, a norm after."""
    w = Weights(dtype)
    blocks = [
        ln.Residual(
            [
                ln.LayerNorm(w.vector(32), w.vector(32)),
                w.dense(32, 128, "relu"),
                w.dense(128, 32),
            ]
        )
        for _ in range(2)
    ]
    scale = ln.Rescale(w.vector(17), w.vector(17), -5.0, 5.0)
    end = [ln.LayerNorm(w.vector(32), w.vector(32)), w.dense(32, 6, "tanh")]
    return ln.MLP([scale, w.dense(17, 32), *blocks, *end, ln.Rescale(2.0, 0.5)])


def nerf(dtype):
    """Positions (63) once more after four layers; density (1); colour (3), of a view (27) too."""
    w, width = Weights(dtype), 64
    position, view = ln.Select(slice(0, 63)), ln.Select(slice(63, 90))
    trunk = [
        ln.Parallel([[], w.chain(63, *[width] * 4, width)]),
        *w.chain(width + 63, *[width] * 3, width),
        ln.Activation("relu"),
    ]
    colour = [w.dense(width + 27, 32, "relu"), w.dense(32, 3, "sigmoid")]
    features = ln.Parallel([[position, *trunk], [view]])
    take = ln.Select(slice(0, width))
    heads = ln.Parallel([[take, w.dense(width, 1, "relu")], colour])
    return ln.MLP([features, heads], in_features=90)


def ensemble(join):
    def make(dtype):
        w = Weights(dtype)
        return ln.MLP([ln.Parallel([w.chain(17, 64, 64, 6) for _ in range(10)], join)])

    return make


def twin_critics(dtype):
    """Two critics over observations and actions, out of one input that has other columns too."""
    w = Weights(dtype)
    both = ln.Parallel([[ln.Select(slice(2, 19))], [ln.Select([25, 21, 22, 23, 24, 20])]])
    critics = ln.Parallel([w.chain(23, 64, 64, 1) for _ in range(2)])
    return ln.MLP([both, critics], in_features=27)


MODELS = {
    "simba": simba,
    "nerf": nerf,
    "ensemble": ensemble("concat"),
    "mean": ensemble("mean"),
    "critics": twin_critics,
}


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


@pytest.mark.usefixtures("isa", "backend")
def test_bounds(make, dtype):
    net = make(dtype)
    x = normal((5, net.in_features), dtype)
    assert_close(net(x), reference.forward(net, x), value_bound(net, x))
    assert_close(net(x[0]), reference.forward(net, x[0]), value_bound(net, x[0]))
    v = normal((5, net.out_features), dtype, seed=2)
    exact = reference.jacobian(net, x)
    assert_close(net.jacobian(x), exact, jacobian_bound(net, x))
    pulled = np.einsum("bi,bij->bj", v.astype(float), exact)
    assert_close(net.vjp(x, v), pulled, vjp_bound(net, x, v))


@pytest.mark.usefixtures("fused_isa")
def test_bits_of_a_sample_are_the_same_whatever_the_batch(make, dtype):
    net = make(dtype)
    x = normal((129, net.in_features), dtype)
    v = normal((129, net.out_features), dtype, seed=2)
    with ln.backend("tiled"):
        expected = np.array([net(row) for row in x])
        pulled = np.array([net.vjp(*pair) for pair in zip(x, v, strict=True)])
        for batch in (1, 2, 3, 7, 40, 64, 65, 129):
            assert same_bits(net(x[:batch]), expected[:batch]), batch
            assert same_bits(net(x[-batch:]), expected[-batch:]), batch
            assert same_bits(net.vjp(x[:batch], v[:batch]), pulled[:batch]), batch
        wide = np.zeros((258, 2 * net.in_features), dtype)
        wide[::2, ::2] = x
        for view in (np.asfortranarray(x), wide[::2, ::2]):
            assert same_bits(net(view), expected)


@pytest.mark.usefixtures("fused_isa")
@pytest.mark.parametrize("batch", [1, 2, 7, 40, 600])
def test_bits_are_the_same_whatever_the_threads(make, dtype, batch):
    net = make(dtype)
    x, v = normal((batch, net.in_features), dtype), normal((batch, net.out_features), dtype, seed=2)
    found = []
    with ln.backend("tiled"):
        for threads in (1, 2, 3):
            with ln.num_threads(threads):
                gradients = net.gradients(x, v)
                norms = [a for pair in gradients.norms for a in pair]
                arrays = [net(x), net.jacobian(x), net.jvp(x, x), gradients.input]
                arrays += [*gradients.weights, *gradients.biases, *norms]
                found.append(arrays)
    for arrays in found[1:]:
        for one, other in zip(found[0], arrays, strict=True):
            assert same_bits(one, other)


@pytest.mark.skipif(
    len(FUSED_ISAS) < 2, reason=f"this CPU has only {FUSED_ISAS or 'no'} fused instruction set(s)"
)
def test_bits_are_the_same_whatever_the_instruction_set(make, dtype):
    found = []
    for name in FUSED_ISAS:
        with instruction_set(name), ln.backend("tiled"):
            net = make(dtype)
            x = normal((40, net.in_features), dtype)
            v = normal((40, net.out_features), dtype, seed=2)
            found.append([net(x), net(x[0]), net.jacobian(x), net.vjp(x, v)])
    for one, other in zip(*found[:2], strict=True):
        assert same_bits(one, other)


@pytest.mark.usefixtures("fused_isa")
def test_bits_of_trace_are_those_of_the_network(make, dtype):
    """Layer by layer, as no step of the network is: the same bits at each place."""
    net = make(dtype)
    x = normal((9, net.in_features), dtype)
    with ln.backend("tiled"):
        trace = net.trace(x)
        assert same_bits(trace.output, net(x))
        for i in range(1, len(net.layers)):
            cut = ln.MLP(net.layers[:i], in_features=net.in_features, dtype=dtype)
            assert same_bits(trace.activations[i], cut(x)), i


def test_an_ensemble_is_its_networks_side_by_side(dtype):
    net = ensemble("concat")(dtype)
    x = normal((40, 17), dtype)
    with ln.backend("tiled"):
        members = [ln.MLP(branch)(x) for branch in net.layers[0].branches]
        assert same_bits(net(x), np.concatenate(members, axis=1))
