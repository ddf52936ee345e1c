"""Gradients of the parameters that activations have for each unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bounds import gamma, smallest_subnormal
from compare import assert_close
from variants import FUSED_ISAS, instruction_set, normal, same_bits

import laminet as ln
from laminet import reference
from laminet.core.activation import ACTIVATIONS

UNITS, B = 300, 40  # more units than are worked through at once
PARAMETRIC = [name for name, defaults in ACTIVATIONS.items() if defaults]
#: Roundings and errors of the core's code, a unit in the last place being two roundings: of gated
#: two factors of 4 each, and three products.
ROUNDINGS = {"leaky_relu": 0, "elu": 8, "hard_sigmoid": 0, "gated": 20}
#: Of the reference's, in float64: some for exp and what follows.
REFERENCE = 24


def parameters(name: str, which: str, dtype, units: int = UNITS) -> ln.Activation:
    """Return an activation with arrays for those of alpha and beta that are named."""
    rng = np.random.default_rng([len(name), len(which)])
    given = {}
    for parameter in ACTIVATIONS[name]:
        numbers = rng.standard_normal(units).astype(dtype)
        numbers[:4] = 0, 1, -1, 0.5
        if parameter in which.split("+"):
            given[parameter] = numbers
        elif "+" not in which:
            given[parameter] = 0.75
    return ln.Activation(name, **given)


CASES = [
    (name, which)
    for name in PARAMETRIC
    for which in (["alpha"] if len(ACTIVATIONS[name]) == 1 else ["alpha", "beta", "alpha+beta"])
]


def points(dtype) -> np.ndarray:
    """Return numbers of few digits, so that a bias of few is added exactly; zeros among them."""
    x = np.round(normal((B, UNITS), dtype) * 16) / 8
    x[3] = 0
    x[4], x[5] = -30, 30
    return x.astype(dtype)


def expected(activation, z, g, dtype):
    """Return the exact gradients by name, each with its bound."""
    found = {}
    for name, part in reference.activation_parameter_derivatives(activation, z).items():
        terms = np.abs(g.astype(np.float64) * part)
        bound = 0.0
        for kind, extra in ((dtype, ROUNDINGS[activation.name]), (np.float64, REFERENCE)):
            tiny = 4 * smallest_subnormal(kind) * (1 + np.abs(g).sum(0)) * (1 + np.abs(z).max())
            bound = bound + gamma(len(z) + 1 + extra, kind) * terms.sum(0) + tiny
        found[name] = (g.astype(np.float64) * part).sum(0), bound
    return found


@pytest.mark.usefixtures("backend", "isa")
@pytest.mark.parametrize(("name", "which"), CASES)
@pytest.mark.parametrize("place", ["alone", "with a product", "after a sum", "of equal branches"])
def test_within_the_derived_bound(place, name, which, dtype):
    function = parameters(name, which, dtype)
    x, g = points(dtype), normal((B, UNITS), dtype, 2)
    eye = np.eye(UNITS, dtype=dtype)
    bias = np.round(normal(UNITS, dtype, 3) * 4).astype(dtype) / 4
    if place == "alone":
        net, z = ln.MLP([function], dtype=dtype), x
    elif place == "with a product":
        net, z = ln.MLP([ln.Dense(eye, bias, function)]), x + bias
    elif place == "after a sum":
        net, z = ln.MLP([ln.Residual([ln.Dense(eye, bias)]), function]), 2 * x + bias
    else:
        other = parameters(name, which, dtype, 7)
        functions = [ln.Activation(name, **turned(other)), other, function_of(function, 7)]
        dense = ln.Dense(eye[:7], bias[:7])
        net = ln.MLP([ln.Parallel([[dense, one] for one in functions])])
        z, g = x[:, :7] + bias[:7], normal((B, 21), dtype, 2)
        found = net.gradients(x, g).activations
        for i, (pair, one) in enumerate(zip(found, functions, strict=True)):
            check(pair, one, z, g[:, 7 * i : 7 * i + 7], dtype)
        return
    (pair,) = net.gradients(x, g).activations
    check(pair, function, z, g, dtype)


def turned(function):
    return {k: -v if isinstance(v, np.ndarray) else v for k, v in function.parameters.items()}


def test_sums_over_many_samples(dtype):
    """More than are worked through at once."""
    function = function_of(parameters("gated", "alpha+beta", dtype), 7)
    z, g = normal((1300, 7), dtype), normal((1300, 7), dtype, 2)
    (pair,) = ln.MLP([function], dtype=dtype).gradients(z, g).activations
    check(pair, function, z, g, dtype)


def function_of(function, units):
    cut = {k: v[:units] if isinstance(v, np.ndarray) else v for k, v in function.parameters.items()}
    return ln.Activation(function.name, **cut)


def check(pair, function, z, g, dtype):
    exact = expected(function, z, g, np.dtype(dtype))
    rejects_zeros = False
    for got, name in zip(pair, ("alpha", "beta"), strict=True):
        given = function.parameters.get(name)
        assert (got is None) == (not isinstance(given, np.ndarray))
        if got is not None:
            assert got.dtype == dtype
            assert_close(got, *exact[name])
            rejects_zeros |= bool((np.abs(exact[name][0]) > 8 * exact[name][1]).any())
    assert rejects_zeros


@pytest.mark.parametrize("name", PARAMETRIC)
def test_reference_agrees_with_differences(name):
    z = np.linspace(-4.03, 3.98, 41)
    at = {"alpha": 0.3, "beta": 0.4}
    for parameter, found in reference.activation_parameter_derivatives(
        ln.Activation(name, **{k: at[k] for k in ACTIVATIONS[name]}), z
    ).items():
        step, sides = 2.0**-17, []
        for sign in (1, -1):
            moved = {k: at[k] + sign * step * (k == parameter) for k in ACTIVATIONS[name]}
            sides.append(reference.activation(ln.Activation(name, **moved), z))
        # Third derivatives are below 4^4; values of at most 4 round by 2^-52.
        np.testing.assert_allclose(
            found, (sides[0] - sides[1]) / (2 * step), atol=4**4 * step**2 + 2.0**-49 / step
        )
    assert reference.activation_parameter_derivatives("tanh", z) == {}


def test_chains_of_several(dtype):
    """Through layers above and below: against differences, in float64; each in its place."""
    functions = [ln.Activation("leaky_relu", alpha=[0.5, -0.2, 0.1, 0.3])]
    functions.append(ln.Activation("gated", alpha=[0.5, 1.5, 1, 2], beta=[0.1, 0.2, 0.5, 0]))
    functions.append(ln.Activation("elu", alpha=[1.0, 0.5, 2]))
    first = ln.Dense(normal((4, 5), dtype), normal(4, dtype), functions[0])
    last = ln.Dense(normal((3, 4), dtype, 4), None, functions[2])

    def network(changed):
        gated = ln.Residual([ln.Dense(normal((4, 4), dtype, 3)), changed[1]])
        norm = ln.LayerNorm(normal(4, dtype, 5))
        layers = [first.__class__(first.weight, first.bias, changed[0]), norm, gated]
        return ln.MLP([*layers, ln.Dense(last.weight, None, changed[2])], head="softmax")

    net = network(functions)
    x, g = normal((6, 5), dtype), normal((6, 3), dtype, 2)
    found = net.gradients(x, g)
    assert found.activation_layers == (
        "layers[0].activation",
        "layers[2].layers[1]",
        "layers[3].activation",
    )
    assert [[a is None for a in pair] for pair in found.activations] == [
        [False, True],
        [False, False],
        [False, True],
    ]
    wide = network(functions).astype("float64")
    step = 2.0**-16
    for i, function in enumerate(functions):
        for got, name in zip(found.activations[i], ("alpha", "beta"), strict=True):
            for k in range(0 if got is None else len(got)):
                sums = []
                for sign in (1, -1):
                    moved = {n: np.array(v) for n, v in function.parameters.items()}
                    moved[name][k] += sign * step
                    again = [*functions]
                    again[i] = ln.Activation(function.name, **moved)
                    y = network(again).astype("float64")(x.astype("float64"))
                    sums.append((y * g).sum())
                slope = (sums[0] - sums[1]) / (2 * step)
                # A few dozen roundings of numbers of some units; differences are right to 1e-8.
                assert abs(got[k] - slope) < 1000 * np.finfo(dtype).eps + 1e-7, (i, name, k)
    assert same_bits(wide.gradients(x, g).input, net.astype("float64").gradients(x, g).input)


@pytest.mark.parametrize("isa", FUSED_ISAS)
def test_same_bits_whatever_the_threads_and_the_instruction_set(isa, dtype):
    functions = [
        parameters("gated", "alpha+beta", dtype, 40),
        parameters("elu", "alpha", dtype, 40),
    ]

    def network():
        weight = normal((40, 40), dtype)
        return ln.MLP([ln.Dense(weight, normal(40, dtype), functions[0]), functions[1]])

    x, g = normal((1300, 40), dtype), normal((1300, 40), dtype, 2)
    with ln.backend("tiled"):
        with instruction_set(FUSED_ISAS[0]), ln.num_threads(1):
            wanted = network().gradients(x, g).activations
        for threads in (1, 2, 3):
            with instruction_set(isa), ln.num_threads(threads):
                got = network().gradients(np.asfortranarray(x), g).activations
            for a, b in zip(got, wanted, strict=True):
                assert all(same_bits(*one) for one in zip(a, b, strict=True) if one[0] is not None)


def test_out_and_no_samples(dtype):
    functions = [parameters("gated", "alpha+beta", dtype), parameters("elu", "alpha", dtype)]
    net = ln.MLP(functions, dtype=dtype)
    x, g = points(dtype), normal((B, UNITS), dtype, 2)
    for n in (B, 1, 0):
        fresh = net.gradients(x[:n], g[:n])
        arrays = [np.full(UNITS, np.nan, dtype) for _ in range(3)]
        out = replace(fresh, activations=[(arrays[0], arrays[1]), (arrays[2], None)])
        got = net.gradients(x[:n], g[:n], out=out)
        made = [a for pair in fresh.activations for a in pair if a is not None]
        for a, b, c in zip([*got.activations[0], got.activations[1][0]], arrays, made, strict=True):
            assert a is b
            assert same_bits(a, c)
        assert n or not any(a.any() for a in arrays)
    for wrong, message in (
        ([(arrays[0], arrays[1])], "out.activations has 1 entries, expected 2: one for each"),
        ([(None, None), (None, arrays[0])], r"activations\[1\]\[1\] must be None: it has no beta"),
        ([(arrays[0], arrays[0]), (None, None)], r"activations\[0\]\[0\] and out.activations"),
    ):
        with pytest.raises(ValueError, match=message):
            net.gradients(x, g, out=replace(out, input=None, activations=wrong))


def test_nan_and_infinity_stay_where_they_are(dtype):
    x = np.zeros((3, 4), dtype)
    x[0, 0], x[1, 1], x[2, 2] = np.nan, -np.inf, np.inf
    for name in PARAMETRIC:
        net = ln.MLP([parameters(name, "+".join(ACTIVATIONS[name]), dtype, 4)], dtype=dtype)
        with np.errstate(all="raise"):
            pair = net.gradients(x, np.ones_like(x)).activations[0]
        for got in pair:
            if got is not None:
                assert np.isnan(got[0])
                assert np.isfinite(got[3])
    prelu = ln.MLP([parameters("leaky_relu", "alpha", dtype, 4)], dtype=dtype)
    pair = prelu.gradients(x, np.ones_like(x))
    assert pair.activations[0][0][1:].tolist() == [-np.inf, 0, 0]


def test_numbers_are_constants_and_the_table_shows_arrays():
    shared = ln.MLP([ln.Dense(np.eye(3), None, ln.Activation("leaky_relu", alpha=0.2))])
    found = shared.gradients(np.ones(3), np.ones(3))
    assert (found.activations, found.activation_layers) == ([], ())
    assert len(found.tables()) == 1
    net = ln.MLP([ln.Activation("gated", alpha=[1.0, 2.0], beta=0.5)])
    text = str(net.gradients([3.0, 4.0], [1.0, 1.0]))
    assert "layers[0]" in text
    assert "dalpha" in text
    assert "(2,)" in text
