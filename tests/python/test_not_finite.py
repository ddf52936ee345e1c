"""Infinities and NaN go where IEEE arithmetic on the formulas takes them, whatever is left out.

Of a Jacobian's rows the products with slopes of zero are left out, of a single sample those with
inputs of zero. 0 times infinity is NaN, so neither may be seen in a result.
"""

from __future__ import annotations

import numpy as np
import pytest
from variants import normal, random_net

import laminet as ln
from laminet import _core, reference

SIZES = [16, 40, 32, 6]  # reverse mode, whose products leave out slopes of zero
FORWARD_SIZES = [4, 40, 32, 17]
VALUES = (np.inf, -np.inf, np.nan)


def changed(net, changes):
    """Return the network with other weights: {(layer, row, column): value}."""
    weights = [layer.weight.copy() for layer in net.layers]
    for (layer, *place), value in changes.items():
        weights[layer][tuple(place)] = value
    return ln.MLP(
        ln.Dense(weight, layer.bias, layer.activation)
        for weight, layer in zip(weights, net.layers, strict=True)
    )


def kinds(array):
    """0 where an element is finite, 1 and -1 where it is infinite, 2 where it is NaN."""
    return np.where(np.isnan(array), 2, np.isinf(array) * np.sign(np.nan_to_num(array)))


def assert_same_kinds(got, exact):
    assert got.shape == exact.shape
    np.testing.assert_array_equal(kinds(got), kinds(exact))


def products(net, x, v, u):
    """Return vjp, jvp and the gradients by the sums that define them, in the network's dtype."""
    trace = reference.trace(net, x)
    slopes = [
        reference.activation_derivative(layer.activation, z).astype(net.dtype)
        for layer, z in zip(net.layers, trace.pre_activations, strict=True)
    ]
    weights, biases = [], []
    for layer, d, a in zip(net.layers[::-1], slopes[::-1], trace.activations[-2::-1], strict=True):
        v = v * d
        weights.append(v.T @ a.astype(net.dtype))
        biases.append(v.sum(axis=0))
        v = v @ layer.weight
    for layer, d in zip(net.layers, slopes, strict=True):
        u = (u @ layer.weight.T) * d
    return v, u, weights[::-1], biases[::-1]


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("sizes", [SIZES, FORWARD_SIZES], ids=str)
@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_weights(activation, sizes, layer, value, dtype):
    """In every layer, in both modes, behind slopes of 0 and 1; every derivative."""
    mode = "reverse" if sizes == SIZES else "forward"
    assert _core.jacobian_rule(sizes)[0] == mode
    net = changed(random_net(sizes, activation, dtype=dtype), {(layer, 1, 3): value})
    x = normal((10, sizes[0]), dtype)
    v, u = normal((10, sizes[-1]), dtype, 2), normal((10, sizes[0]), dtype, 3)
    exact = reference.jacobian(net, x)
    assert np.isnan(exact).any()
    assert_same_kinds(net.jacobian(x), exact)
    assert_same_kinds(net.value_and_jacobian(x)[1], exact)
    for batch in (1, 2, 3):
        assert_same_kinds(net.jacobian(x[:batch]), exact[:batch])
    for got, factor in zip(net.layer_jacobians(x), reference.layer_jacobians(net, x), strict=True):
        assert_same_kinds(got, factor)
    with np.errstate(all="ignore"):
        pulled, pushed, weights, biases = products(net, x, v, u)
    assert_same_kinds(net.vjp(x, v), pulled)
    assert_same_kinds(net.jvp(x, u), pushed)
    gradients = net.gradients(x, v)
    assert_same_kinds(gradients.input, pulled)
    for got, want in zip(gradients.weights + gradients.biases, weights + biases, strict=True):
        assert_same_kinds(got, want)


def biased(net, values):
    """Return the network with other biases: {(layer, unit): value}."""
    biases = [layer.bias.copy() for layer in net.layers]
    for (layer, unit), value in values.items():
        biases[layer][unit] = value
    return ln.MLP(
        ln.Dense(layer.weight, bias, layer.activation)
        for layer, bias in zip(net.layers, biases, strict=True)
    )


@pytest.mark.usefixtures("backend", "isa")
def test_of_two_orders_that_take_as_long_the_one_from_the_left(dtype):
    """(W_3 W_2) W_1 is infinite where W_3 (W_2 W_1) is NaN: 0 times infinity."""
    weights = [[[np.inf, 1], [np.inf, 1]], np.eye(2), np.ones((2, 2))]
    net = ln.MLP([ln.Dense(np.array(w, dtype)) for w in weights])
    expected = [[np.inf, 2], [np.inf, 2]]
    np.testing.assert_array_equal(reference.jacobian(net, [1, 1]), expected)
    np.testing.assert_array_equal(net.jacobian([1, 1]), expected)


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("unit", [0, 7, 31])
def test_products_that_overflow_in_front_of_slopes(unit, threads, dtype):
    """All weights are finite; W_3 W_2 is not. 0 times it is NaN, 1 times it is infinite."""
    names = ["relu", "relu", "identity"]
    net = random_net([16, 32, 24, 6], [ln.Activation(n) for n in names], dtype=dtype)
    large = np.sqrt(np.finfo(dtype).max) * 4
    # Paths from outputs 1 and 4 to a unit of the first layer that is never active, and from output
    # 2 to one that always is.
    idle = {(2, 1, 5): large, (2, 4, 5): -large, (1, 5, unit): large}
    busy = {(2, 2, 6): large, (1, 6, 9): large}
    net = changed(net, {**idle, **busy})
    net = biased(net, {(0, unit): -1000, (0, 9): 1000, (1, 5): large, (1, 6): large})
    x = normal((9, 16), dtype)
    factors = [f.astype(dtype) for f in reference.layer_jacobians(net, x)]
    with np.errstate(all="ignore"):
        exact = (factors[2] @ factors[1]) @ factors[0]
    assert np.isnan(exact[:, [1, 4]]).all()
    assert np.isinf(exact[:, 2]).all()
    assert np.isfinite(exact[:, [0, 3, 5]]).all()
    with ln.num_threads(threads):
        for batch in (1, 3, 9):
            assert_same_kinds(net.jacobian(x[:batch]), exact[:batch])


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("bias", [-1000, 0], ids=["no unit active", "some units active"])
def test_a_slope_that_is_nan_in_front_of_slopes_of_zero(bias, dtype):
    """silu'(infinity) is NaN; of the layer before no unit may be active."""
    net = random_net([16, 40, 32, 6], [ln.Activation(n) for n in ("relu", "silu", "identity")])
    net = net.astype(dtype)
    first, second, third = net.layers
    infinite = second.bias.copy()
    infinite[4] = np.inf
    net = ln.MLP(
        [
            ln.Dense(first.weight, first.bias + bias, "relu"),
            ln.Dense(second.weight, infinite, "silu"),
            third,
        ]
    )
    x = normal((9, 16), dtype)
    assert_same_kinds(net.jacobian(x), reference.jacobian(net, x))
    assert np.isnan(net.jacobian(x)).all()


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_zeros_of_a_single_sample(layer, value, dtype):
    """A weight that a zero would leave unread: in a batch as alone, as in the reference."""
    sizes = [80, 96, 70, 6]
    net = random_net(sizes, "relu", dtype=dtype)
    x = normal((8, 80), dtype)
    x[:, ::2] = 0
    columns = [np.flatnonzero(~a.any(axis=0)) for a in reference.trace(net, x).activations[:-1]]
    zero = columns[layer]
    assert zero.size > 0
    net = changed(net, {(layer, 2, zero[0]): value})
    exact = reference.forward(net, x)
    assert np.isnan(reference.trace(net, x).pre_activations[layer]).any()
    assert_same_kinds(net(x), exact)
    for i in range(8):
        assert_same_kinds(net(x[i]), exact[i])
        assert_same_kinds(net(x[i : i + 1]), exact[i : i + 1])
        assert_same_kinds(net.trace(x[i]).output, exact[i])
