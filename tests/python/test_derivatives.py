"""Jacobians, vjp, jvp and gradients: right within the derived bound, and consistent."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from bounds import forward_bound
from compare import assert_close
from derivative_bounds import (
    CURVATURE,
    curvature,
    gradient_bounds,
    jacobian_bound,
    jvp_bound,
    kinks,
    vjp_bound,
)
from variants import ACTIVATION_CASES, normal, random_net

import laminet as ln
from laminet import _core, reference
from laminet.reference.heads import head_jacobian

# Reverse mode, forward mode, one layer, a bottleneck, more than a tile each way.
SHAPES = ([7, 20, 5], [3, 40, 33, 50], [9, 4], [40, 70, 3, 70, 40], [130, 90, 70, 2], [1, 1, 1])
HEADS = (None, "softmax", "log_softmax")


def with_head(net, head):
    return ln.MLP(net.layers, head=head)


def exact_gradients(net, x, g):
    """dW_l and db_l as the sums over the batch that define them, in float64."""
    trace = reference.trace(net, x)
    d = g.astype(np.float64)
    if net.head is not None:
        d = np.einsum("bij,bi->bj", head_jacobian(net.head, trace.activations[-1]), d)
    weights, biases = [], []
    for layer, z, a in zip(
        net.layers[::-1], trace.pre_activations[::-1], trace.activations[-2::-1], strict=True
    ):
        d = d * reference.activation_derivative(layer.activation, z)
        weights.append(d.T @ a)
        biases.append(d.sum(axis=0))
        d = d @ np.asarray(layer.weight, np.float64)
    return weights[::-1], biases[::-1], d


def forward_and_bound(net, x):
    """Of the network with its head: that of a logit's error e is a factor of at most exp(2 e)."""
    exact, bound = reference.forward(net, x), forward_bound(net, x, net.dtype)
    if net.head is None:
        return exact, bound
    most = bound.max(axis=-1, keepdims=True)
    eps = float(np.finfo(net.dtype).eps)
    if net.head == "softmax":
        return exact, exact * np.expm1(2 * most + (exact.shape[-1] + 8) * eps)
    return exact, 2 * most + (exact.shape[-1] + 8) * eps * (1 + np.abs(exact))


def check_everything(net, x, seed=5):
    v = normal((*x.shape[:-1], net.out_features), net.dtype, seed)
    u = normal(x.shape, net.dtype, seed + 1)
    exact = reference.jacobian(net, x)
    bound = jacobian_bound(net, x)
    y, j = net.value_and_jacobian(x)
    assert_close(j, exact, bound)
    assert_close(net.jacobian(x), exact, bound)
    assert_close(net.vjp(x, v), np.einsum("...ij,...i->...j", exact, v), vjp_bound(net, x, v))
    assert_close(net.jvp(x, u), np.einsum("...ij,...j->...i", exact, u), jvp_bound(net, x, u))
    assert y.dtype == j.dtype == net.dtype
    assert_close(y, *forward_and_bound(net, x))
    gradients = net.gradients(x, v)
    assert_close(gradients.input, np.einsum("...ij,...i->...j", exact, v), vjp_bound(net, x, v))
    rows, g = np.atleast_2d(x), np.atleast_2d(v)
    weights, biases, _ = exact_gradients(net, rows, g)
    for i, (w_bound, b_bound) in enumerate(gradient_bounds(net, rows, g)):
        assert_close(gradients.weights[i], weights[i], w_bound)
        if net.layers[i].bias is None:
            assert gradients.biases[i] is None
        else:
            assert_close(gradients.biases[i], biases[i], b_bound)
    return bound


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_every_activation(activation, dtype):
    net = random_net([6, 21, 18, 5], activation, dtype=dtype, bias=True)
    bound = check_everything(net, normal((11, 6), dtype))
    # A bound that zeros would meet proves nothing.
    assert (np.abs(reference.jacobian(net, normal((11, 6), dtype))) > bound).any()
    check_everything(net, normal(6, dtype, 3))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_every_shape(sizes, head, dtype):
    net = with_head(random_net(sizes, "tanh", dtype=dtype), head)
    for batch in (1, 2, 3, 16, 17):
        check_everything(net, normal((batch, sizes[0]), dtype, batch))
    check_everything(net, normal(sizes[0], dtype, 8))


@pytest.mark.parametrize("head", HEADS)
def test_without_biases_and_with_identity_layers(head, dtype):
    for activation in ("identity", [ln.Activation(a) for a in ("identity", "gelu", "identity")]):
        net = with_head(random_net([6, 30, 20, 4], activation, dtype=dtype, bias=False), head)
        check_everything(net, normal((9, 6), dtype))


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_layer_jacobians_multiply_to_the_networks(sizes, dtype):
    net = random_net(sizes, "silu", dtype=dtype)
    for x in (normal((5, sizes[0]), dtype), normal(sizes[0], dtype)):
        factors = net.layer_jacobians(x)
        for factor, exact in zip(factors, reference.layer_jacobians(net, x), strict=True):
            assert factor.dtype == dtype
            assert factor.shape == exact.shape
        product = reduce(lambda p, f: f.astype(float) @ p, factors[1:], factors[0].astype(float))
        assert_close(net.jacobian(x), product, 2 * jacobian_bound(net, x))


def test_central_differences():
    """The derivative of what the network computes, not only of what the reference says."""
    nonzero = 0
    for activation in ACTIVATION_CASES:
        net = random_net([4, 12, 9, 3], activation, dtype="float64", seed=3)
        x = normal(4, "float64", 4)
        nonzero += reference.numerical_jacobian(net, x).any()
        for head in HEADS:
            headed = with_head(net, head)
            numerical = reference.numerical_jacobian(headed, x)
            np.testing.assert_allclose(headed.jacobian(x), numerical, rtol=1e-6, atol=2e-7)
    assert nonzero > len(ACTIVATION_CASES) // 2  # some saturate


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("head", HEADS)
def test_vjp_and_jvp_are_adjoint(head):
    """<v, J u> = <J^T v, u>."""
    net = with_head(random_net([20, 50, 40, 11], "mish", dtype="float64"), head)
    x, u, v = (normal((30, n), "float64", s) for s, n in enumerate((20, 20, 11)))
    left = np.sum(v * net.jvp(x, u), axis=1)
    right = np.sum(net.vjp(x, v) * u, axis=1)
    size = np.abs(v) @ np.ones(11) * np.abs(net.jvp(x, u)).max()
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-13 * size.max())
    assert np.abs(left).min() > 1e-6


def test_the_jacobian_is_made_of_vjps_and_jvps(dtype):
    net = random_net([5, 30, 30, 4], "gelu", dtype=dtype)
    x = normal(5, dtype)
    j, bound = net.jacobian(x).astype(float), 2 * jacobian_bound(net, x)
    rows = net.vjp(np.tile(x, (4, 1)), np.eye(4, dtype=dtype))
    columns = net.jvp(np.tile(x, (5, 1)), np.eye(5, dtype=dtype)).T.copy()
    assert_close(rows, j, bound)
    assert_close(columns, j, bound)


def test_gradients_descend():
    """A step against the gradient of a loss lowers it by step * |gradient|^2, to first order."""
    net = random_net([6, 16, 3], "tanh", dtype="float64")
    x, target = normal((50, 6), "float64"), normal((50, 3), "float64", 2)

    def loss(n):
        return 0.5 * np.sum((n(x) - target) ** 2)

    g = net.gradients(x, net(x) - target)
    norm2 = sum(np.sum(w**2) for w in g.weights) + sum(np.sum(b**2) for b in g.biases)
    step = 1e-7 / np.sqrt(norm2)
    moved = ln.MLP(
        ln.Dense(layer.weight - step * w, layer.bias - step * b, layer.activation)
        for layer, w, b in zip(net.layers, g.weights, g.biases, strict=True)
    )
    assert loss(net) - loss(moved) == pytest.approx(step * norm2, rel=1e-5)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("batch", [511, 512, 513, 1025])
def test_gradients_of_several_passes(batch, dtype):
    """The sums over the batch are made in passes of 512 rows."""
    net = random_net([5, 19, 4], "softplus", dtype=dtype)
    check_everything(net, normal((batch, 5), dtype))


@pytest.mark.usefixtures("backend")
def test_empty_batch(dtype):
    net = random_net([4, 9, 3], "relu", dtype=dtype, bias=False)
    x, v = np.empty((0, 4), dtype), np.empty((0, 3), dtype)
    y, j = net.value_and_jacobian(x)
    assert (y.shape, j.shape, net.jacobian(x).shape) == ((0, 3), (0, 3, 4), (0, 3, 4))
    assert net.vjp(x, v).shape == (0, 4)
    assert net.jvp(x, x).shape == (0, 3)
    assert [f.shape for f in net.layer_jacobians(x)] == [(0, 9, 4), (0, 3, 9)]
    gradients = net.gradients(x, v)
    assert gradients.input.shape == (0, 4)
    assert [w.any() for w in gradients.weights] == [False, False]
    assert gradients.biases == [None, None]


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_nan_and_infinity_stay_in_their_sample(activation, dtype):
    net = random_net([6, 21, 5], activation, dtype=dtype)
    x = normal((9, 6), dtype)
    x[3, 2] = np.nan
    x[5] = np.inf
    clean = np.isfinite(x).all(axis=1)
    v = normal((9, 5), dtype)
    for result in (net.jacobian(x), net.vjp(x, v), net.jvp(x, x)):
        assert np.isfinite(result[clean]).all()
        if activation.name != "identity":
            assert np.isnan(result[3]).all()


def test_identity_does_not_depend_on_its_input(dtype):
    """The derivative of a linear network is its weight, wherever it is taken."""
    net = random_net([3, 2], "identity", dtype=dtype)
    np.testing.assert_array_equal(net.jacobian(np.full(3, np.nan, dtype)), net.layers[0].weight)
    np.testing.assert_array_equal(reference.jacobian(net, [np.nan] * 3), net.layers[0].weight)


def test_kinks(isa, backend, dtype):
    """At a kink the derivative is that of PyTorch; the reference has the table."""
    points = np.array([-3.0, 0.0, 3.0, 6.0], dtype)
    for activation in ACTIVATION_CASES:
        net = ln.MLP([ln.Dense(np.ones((1, 1), dtype), None, activation)])
        expected = reference.activation_derivative(activation, points)
        got = net.jacobian(points[:, None])[:, 0, 0]
        np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-30)
        assert net.layer_jacobians(points[:, None])[0].shape == (4, 1, 1)


def test_the_constants_of_the_bound():
    """Curvature is sup |s''|, kinks are where s' jumps: on a grid that has the kinks between."""
    z = np.linspace(-12, 12, 480_001) + 1.23456e-5
    for activation in ACTIVATION_CASES:
        d = reference.activation_derivative(activation, z)
        slope = np.abs(np.diff(d)) / np.diff(z)
        middle = (z[1:] + z[:-1]) / 2
        for kink, jump in kinks(activation):
            near = np.abs(middle - kink) < 5e-5
            assert np.abs(np.diff(d))[near].max() <= jump + 1e-4
            slope[near] = 0
        assert slope.max() <= curvature(activation) * (1 + 1e-6) + 1e-9, activation
    assert set(CURVATURE) | {"elu"} == {a.name for a in ACTIVATION_CASES}


@pytest.mark.parametrize(
    ("sizes", "mode", "flops"),
    [
        # n_L (2 n_2 n_1 + 2 n_1 n_0) = 6 (8192 + 2176), against 17 (8192 + 768)
        ([17, 64, 64, 6], "reverse", 62208),
        ([6, 64, 64, 17], "forward", 62208),
        ([5, 5, 5], "reverse", 250),
        ([4, 3], "reverse", 0),
    ],
)
def test_the_rule_of_the_modes(sizes, mode, flops):
    assert _core.jacobian_rule(sizes) == (mode, flops)
    net = ln.MLP.init(sizes, seed=0)
    assert ln.cost(net, operation="jacobian").mode == mode


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("n_out", [4, 6, 7, 12, 13, 25])
def test_slopes_of_zero_are_left_out(n_out, dtype):
    """In samples of which all, some and none of the units are active; groups of all sizes."""
    net = random_net([60, 70, 33, n_out], "relu", dtype=dtype)
    assert _core.jacobian_rule(net.sizes)[0] == "reverse"
    dead = net.layers[0].bias.copy()
    for bias in (dead - 100, dead + 100, dead):
        first = ln.Dense(net.layers[0].weight, bias, "relu")
        check_everything(ln.MLP([first, *net.layers[1:]]), normal((17, 60), dtype))
