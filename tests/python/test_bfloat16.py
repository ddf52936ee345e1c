"""Networks whose products are of bfloat16 on both sides."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from bfloat16_model import factors, forward
from trees import Draw
from variants import ISAS, instruction_set, same_bits

import laminet as ln
from laminet import reference
from laminet.analysis.error_bound import error_bound
from laminet.cli import main

BOTH: Any = "bfloat16"


def _parts(net: ln.MLP) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array(layer.weight), np.array(layer.bias)) for layer in net.layers]


def _inputs(batch: int, features: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((batch, features)).astype(np.float32)
    x[:, ::5] = 0
    return x


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sizes", [[1, 1], [2, 17, 3], [33, 70, 5], [300, 150, 64, 10]], ids=str)
def test_gives_the_bits_of_the_model(sizes: list[int], isa: str) -> None:
    """And neither float32 nor rounded weights alone do."""
    net = ln.MLP.init(sizes, "relu", seed=3)
    with instruction_set(isa):
        both, narrow = net.with_precision(BOTH), net.with_precision("bfloat16_weights")
    with ln.backend("tiled"):
        for batch in (1, 2, 7, 33):
            x = _inputs(batch, sizes[0], 1)
            x[0, 0] = 1.2345
            expected = forward(_parts(net), x)
            assert same_bits(both(x), expected)
            assert not same_bits(net(x), expected)
            assert not same_bits(narrow(x), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_numbers_that_are_subnormal_are_zero(isa: str) -> None:
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((20, 31)).astype(np.float32) * np.float32(2.0**-62)
    weight[:, ::3] *= np.float32(2.0**-66)
    bias = np.zeros(20, np.float32)
    with instruction_set(isa):
        net = ln.MLP([ln.Dense(weight, bias)]).with_precision(BOTH)
    x = _inputs(9, 31) * np.float32(2.0**-63)
    x[:, 1::4] *= np.float32(2.0**-70)
    with ln.backend("tiled"):
        got = net(x)
    expected = forward([(weight, bias)], x)
    assert same_bits(got, expected)
    assert (expected == 0).any()
    assert (expected != 0).any()
    assert same_bits(np.array(net.layers[0].weight), factors(weight))


@pytest.mark.parametrize("seed", range(12))
def test_bits_depend_on_nothing_but_the_sample(seed: int) -> None:
    """Not on the batch, strides, threads or the instruction set: of random trees of layers."""
    net = Draw(np.random.default_rng(seed), np.float32).network()
    x = np.random.default_rng(seed).standard_normal((70, net.in_features)).astype(np.float32)
    results = []
    with ln.backend("tiled"):
        for isa in ISAS:
            with instruction_set(isa):
                both = net.with_precision(BOTH)
            y = both(x)
            assert same_bits(both(np.asfortranarray(x)), y)
            assert same_bits(np.stack([both(row) for row in x[:5]]), y[:5])
            assert same_bits(both(x[60:]), y[60:])
            with ln.num_threads(1):
                assert same_bits(both(x), y)
            if isa != "generic":  # whose functions are not fused
                results.append(y)
    assert all(same_bits(y, results[0]) for y in results[1:])


@pytest.mark.parametrize("backend", ["tiled", "blas"])
def test_rounds_what_weights_are_multiplied_by(backend: str) -> None:
    # 257 goes to 256, of 256 and 258 the even one, and 1.001 to 1, in both layers.
    net = ln.MLP(
        [
            ln.Dense(np.float32([[1.001, 0.0], [0.0, 2.0]]), np.float32([0.5, 0.25])),
            ln.Dense(np.float32([[1.0, 1.0]]), np.float32([0.001])),
        ]
    ).with_precision(BOTH)
    with ln.backend(backend):
        got = net(np.float32([257.0, 1.001]))
        # 256 + 0.5 goes to 256 and 2 + 0.25 stays.
        np.testing.assert_array_equal(got, np.float32([256 + 2.25]) + np.float32(0.001))
        z, a = net.trace(np.float32([257.0, 1.001])).pre_activations, got
        np.testing.assert_array_equal(z[0], np.float32([256.5, 2.25]))
        np.testing.assert_array_equal(z[1], a)


def test_blas_is_within_the_bound_of_the_same_network() -> None:
    net = ln.MLP.init([200, 90, 7], "relu", seed=0).with_precision(BOTH)
    x = _inputs(40, 200)
    with ln.backend("blas"):
        y = net(x)
    exact, bound = reference.forward(net, x), error_bound(net, x)
    assert (np.abs(y - exact) <= bound).all()
    assert (np.abs(exact) > bound).any()
    assert (error_bound(net.with_precision("float32"), x) < bound).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("backend", ["tiled", "blas"])
@pytest.mark.parametrize("sizes", [[17, 40, 9], [3, 40, 50]], ids=str)
def test_derivatives_of_linear_networks_are_those_of_the_weights(
    sizes: list[int], backend: str, isa: str
) -> None:
    net = ln.MLP.init(sizes, "identity", seed=1)
    with instruction_set(isa):
        both, narrow = net.with_precision(BOTH), net.with_precision("bfloat16_weights")
    x, v = _inputs(5, sizes[0]), _inputs(5, sizes[-1], 1)
    with ln.backend(backend):
        assert same_bits(both.jacobian(x), narrow.jacobian(x))
        assert same_bits(both.vjp(x, v), narrow.vjp(x, v))
        assert same_bits(both.jvp(x, x[::-1]), narrow.jvp(x, x[::-1]))
        # Of the weights, of what they are multiplied by.
        got = both.gradients(x, v).weights[0]
        expected = narrow.gradients(factors(x), v).weights[0]
        assert same_bits(got, expected)
        assert not same_bits(got, narrow.gradients(x, v).weights[0])


def test_slopes_are_those_at_what_is_computed() -> None:
    net = ln.MLP.init([12, 20, 4], "tanh", seed=2).with_precision(BOTH)
    x = _inputs(1, 12)[0]
    first, second = (np.array(layer.weight, np.float64) for layer in net.layers)
    z = net.trace(x).pre_activations[0].astype(np.float64)
    expected = second @ ((1 - np.tanh(z) ** 2)[:, None] * first)
    np.testing.assert_allclose(net.jacobian(x), expected, rtol=0, atol=20 * 2.0**-24)
    _, of_both = net.value_and_jacobian(x)
    assert same_bits(of_both, net.jacobian(x))


def test_values_and_derivatives_come_from_one_pass() -> None:
    net = ln.MLP.init([30, 64, 64, 3], "silu", seed=2).with_precision(BOTH)
    x = _inputs(6, 30)
    value, _ = net.value_and_jacobian(x)
    assert same_bits(value, net(x))
    trace = net.trace(x)
    assert same_bits(trace.activations[-1], net(x))


def test_comes_back_as_it_was(tmp_path: Any) -> None:
    path = tmp_path / "net.safetensors"
    net = ln.MLP.init([5, 9, 2], seed=0, outputs=ln.Classes(["no", "yes"])).with_precision(BOTH)
    narrow = net.with_precision("bfloat16_weights")
    x = _inputs(4, 5)
    assert net.with_precision(BOTH) is net
    assert net != narrow
    assert hash(net) != hash(narrow)
    net.save(path)
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), ln.load(path)):
        assert again == net
        assert hash(again) == hash(net)
        assert again.precision == BOTH
        assert same_bits(again(x), net(x))
        assert (again.predict(x) == net.predict(x)).all()
    assert repr(net).startswith("MLP(5 -> 9 relu -> 2 identity, float32, bfloat16, 74 parameters")
    assert net.astype("float64").precision == "float64"


@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16_weights", "float32"])
def test_the_command_line_says_it(tmp_path: Any, capsys: Any, precision: Any) -> None:
    path = tmp_path / "net.safetensors"
    ln.MLP.init([5, 9, 2], seed=0).with_precision(precision).save(path)
    assert main(["info", str(path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("precision")]
    assert len(lines) == (precision != "float32")
    assert all(line.startswith(f"precision {precision}: weights ") for line in lines)


def test_counts_and_packs_half_of_the_bytes() -> None:
    net = ln.MLP.init([100, 200, 30], seed=0)
    both, narrow = net.with_precision(BOTH), net.with_precision("bfloat16_weights")
    assert ln.cost(both, 8).layers == ln.cost(narrow, 8).layers
    assert ln.cost(both, 8).flops == ln.cost(net, 8).flops
    packed = [
        next(m for m in one.prepare().summary().memory if m.kind == "packed").now
        for one in (both, narrow, net)
    ]
    assert packed[0] == packed[1] < packed[2]
    assert both.plan(64).layers[0].block_depth <= 100


@pytest.mark.parametrize("precision", ["bfloat16", "bfloat16_weights"])
def test_of_nan_and_infinity(precision: Any) -> None:
    net = ln.MLP.init([4, 3], "identity", seed=0).with_precision(precision)
    assert np.isnan(net(np.float32([1, np.nan, 2, 3]))).all()
    assert np.isinf(net(np.float32([np.inf, 0, 1, 1]))).all()
    # Beyond the largest number of bfloat16.
    if precision == BOTH:
        assert np.isinf(net(np.float32([3.4e38, 0, 0, 0]))).all()
