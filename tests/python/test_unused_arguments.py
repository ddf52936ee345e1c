"""An argument that happens to be unused is checked all the same, and refused in our words."""

from __future__ import annotations

import re

import numpy as np
import pytest
from variants import random_net, same_name

import laminet as ln

R = ln.reference
NET = random_net([4, 3, 2], dtype=np.float32)
NONE = np.empty((0, 4), np.float32)
UNCHAINED = [ln.Dense(np.ones((3, 4))), ln.Dense(np.ones((2, 5)))]


@pytest.mark.parametrize("sizes", [[4, 2], [4, 3, 2]])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activation": "nope"}, ValueError, "unknown activation 'nope'"),
        ({"activation": None}, TypeError, "activation must be a str, an Activation or a seq"),
        ({"activation": 5}, TypeError, "activation must be .*, got 5"),
        ({"activation": b"relu"}, TypeError, "activation must be .*, got bytes"),
        ({"activation": {"relu"}}, TypeError, "activation must be .*, got set"),
        ({"output_activation": None}, TypeError, "activation must be a str, got NoneType"),
        ({"bias": "no"}, TypeError, "bias must be a bool, got 'no'"),
        ({"bias": None}, TypeError, "bias must be a bool, got NoneType"),
        ({"bias": 1}, TypeError, "bias must be a bool, got 1"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0 or .* got -1"),
        ({"seed": np.int64(-1)}, ValueError, "seed must be an integer of at least 0"),
        ({"seed": 1.5}, TypeError, "seed must be .* got 1.5"),
        ({"seed": "a"}, TypeError, "seed must be .* got 'a'"),
        ({"seed": True}, TypeError, "seed must be .* got True"),
        ({"dtype": "nope"}, TypeError, "dtype must be float32 or float64, got 'nope'"),
        ({"dtype": object()}, TypeError, "dtype must be float32 or float64, got object"),
        ({"dtype": 5}, TypeError, "dtype must be float32 or float64, got 5"),
    ],
    ids=same_name,
)
def test_init(sizes, arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        ln.MLP.init(sizes, **arguments)


def test_init_names_each_of_a_sequence():
    with pytest.raises(ValueError, match="unknown activation 'nope'"):
        ln.MLP.init([4, 2], ["nope"])
    with pytest.raises(ValueError, match="names 1 functions, the network has 0 hidden layers"):
        ln.MLP.init([4, 2], ["relu"])
    assert ln.MLP.init([4, 2], []).sizes == (4, 2)
    assert ln.MLP.init([4, 2], bias=np.False_).layers[0].bias is None
    for seed in ([1, 2], np.random.default_rng(1), np.random.SeedSequence(1), np.uint8(3)):
        assert ln.MLP.init([4, 2], seed=seed).sizes == (4, 2)


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (5, TypeError, "sizes must be a sequence of integers, got 5"),
        ("42", TypeError, "sizes must be a sequence of integers, got '42'"),
        (None, TypeError, "sizes must be a sequence of integers, got NoneType"),
        ({4: 1, 2: 1}, TypeError, "sizes must be a sequence of integers, got dict"),
        ([True, 2], TypeError, "sizes[0] must be an integer, got True"),
        ([10**12] * 2, ValueError, f"sizes ask for more weights than memory can hold: {10**24}"),
    ],
)
def test_sizes(sizes, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        ln.MLP.init(sizes)


def test_astype_to_the_dtype_that_it_has():
    for dtype in ("nope", 5, object()):
        with pytest.raises(TypeError, match=r"^dtype must be float32 or float64, got "):
            NET.astype(dtype)


@pytest.mark.parametrize("batch", [True, np.True_, 2.0, "3", None])
def test_batches(batch):
    for call in (lambda: ln.cost(NET, batch), lambda: NET.plan(batch)):
        with pytest.raises(TypeError, match=r"^batch must be an integer, got "):
            call()


@pytest.mark.parametrize("operation", ["nope", None, ["forward"]])
def test_operation(operation):
    with pytest.raises(ValueError, match=r"^operation is .*, expected one of 'forward'"):
        ln.cost(ln.MLP.init([1, 1]), 1, operation)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (5, "batches must be a sequence of integers, got 5"),
        ("18", "batches holds a str, expected integers"),
        ([2.0], "batches holds a float, expected integers"),
    ],
)
def test_roofline(batches, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        ln.roofline(NET, batches)


@pytest.mark.parametrize(
    "call",
    [
        ln.cost,
        ln.roofline,
        lambda net: ln.gradient_flow(net, [1.0]),
        lambda net: ln.check_jacobian(net, [1.0]),
        lambda net: ln.check_gradients(net, [[1.0]], [0]),
        lambda net: R.forward(net, NONE),
        lambda net: R.numerical_jacobian(net, NONE),
    ],
)
@pytest.mark.parametrize("net", ["a file", None, 5])
def test_networks(call, net):
    with pytest.raises(TypeError, match=rf"^net must be an MLP.*, got {type(net).__name__}$"):
        call(net)


def test_machine():
    with pytest.raises(TypeError, match=r"^refresh must be a bool, got str$"):
        ln.machine("no")


@pytest.mark.parametrize("x", [NONE, np.zeros((1, 4))], ids=["no samples", "one sample"])
def test_step(x):
    for call in (ln.check_jacobian, R.numerical_jacobian):
        for step in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match=r"^step must be a positive number, not "):
                call(NET, x, step=step)
        for step in ("a", [1], True, 1j):
            with pytest.raises(TypeError, match=r"^step must be a real number, got "):
                call(NET, x, step=step)


@pytest.mark.parametrize(
    "call", [R.forward, R.forward_components, R.jacobian, R.layer_jacobians, R.numerical_jacobian]
)
def test_layers_of_the_reference(call):
    with pytest.raises(ValueError, match=r"^layers\[1\] takes 5 features, layers\[0\] gives 3$"):
        call(UNCHAINED, NONE)
    with pytest.raises(TypeError, match=r"^layers\[1\] must be a layer, .* got int$"):
        call([UNCHAINED[0], 5], NONE)


@pytest.mark.parametrize("z", [[], np.zeros((3, 0)), 1.0])
def test_softmax_of_nothing(z):
    for call in (R.softmax, R.log_softmax):
        with pytest.raises(ValueError, match=r"^z must have shape \(\.\.\., n\)"):
            call(z)
        assert call(np.zeros((0, 3))).shape == (0, 3)


OUT = {
    "no array": ("x", TypeError),
    "shape": (np.empty((1, 2), np.float32), ValueError),
    "dtype": (np.empty((0, 2)), ValueError),
}


@pytest.mark.parametrize(("out", "error"), OUT.values(), ids=OUT.keys())
def test_out_for_no_samples(out, error):
    weight = np.ones((2, 4), np.float32)
    for call in (
        lambda: NET(NONE, out=out),
        lambda: NET.jvp(NONE, NONE, out=out),
        lambda: NET.vjp(NONE, NONE[:, :2], out=out),
        lambda: NET.jacobian(NONE, out=out),
        lambda: NET.value_and_jacobian(NONE, out=(out, None)),
        lambda: NET.value_and_jacobian(NONE, out=(None, out)),
        lambda: ln.linear(NONE, weight, out=out),
    ):
        with pytest.raises(error, match=r"^out must "):
            call()


def test_back_end_and_threads():
    with pytest.raises(ValueError, match="nope"), ln.backend("nope"):
        pass
    for n in (2.0, np.True_, None, "2"):
        with pytest.raises(TypeError, match=r"^n must be an integer, got "), ln.num_threads(n):
            pass
