"""The reference against mpmath, against itself in another form, and against hand-made figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import laminet as ln
from laminet import reference
from laminet.analysis import error_bound
from laminet.core.activation import ACTIVATIONS, Activation

EPS = float(np.finfo(np.float64).eps)
INF, NAN = math.inf, math.nan
NAMES = sorted(ACTIVATIONS)

mp = mpmath.mp.clone()
mp.dps = 700  # 1 + exp(-700) must not round to 1

# The textbook formulas, in arithmetic that can afford them.
EXACT: dict[str, Callable[..., Any]] = {
    "identity": lambda z: z,
    "relu": lambda z: max(z, mp.mpf(0)),
    "relu6": lambda z: min(max(z, mp.mpf(0)), mp.mpf(6)),
    "leaky_relu": lambda z, alpha: z if z > 0 else alpha * z,
    "elu": lambda z, alpha: z if z > 0 else alpha * (mp.exp(z) - 1),
    "selu": lambda z: (
        mp.mpf("1.0507009873554804934193349852946")
        * (z if z > 0 else mp.mpf("1.6732632423543772848170429916717") * (mp.exp(z) - 1))
    ),
    "gelu": lambda z: z * (1 + mp.erf(z / mp.sqrt(2))) / 2,
    "gelu_tanh": lambda z: (
        z * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3))) / 2
    ),
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "mish": lambda z: z * mp.tanh(mp.log(1 + mp.exp(z))),
    "tanh": lambda z: mp.tanh(z),
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "softplus": lambda z: mp.log(1 + mp.exp(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_sigmoid": lambda z, alpha, beta: min(max(alpha * z + beta, mp.mpf(0)), mp.mpf(1)),
    "hard_swish": lambda z: z * min(max(z / 6 + mp.mpf(1) / 2, mp.mpf(0)), mp.mpf(1)),
    "sin": lambda z: mp.sin(z),
    "gated": lambda z, alpha, beta: z * (beta + (1 - beta) / (1 + mp.exp(-alpha * z))),
}

# Up to where the slowest of them, silu and mish, underflows; gelu is 0 from -38 on.
_MAGNITUDES = [*np.geomspace(1e-150, 0.1, 12), *np.linspace(0.15, 9, 40), 12, 20, 30, 36, 100, 700]
POINTS = np.array([sign * value for value in _MAGNITUDES for sign in (-1.0, 1.0)])


def as_float(value: Any) -> float:
    return float(mpmath.mpf(value))


@pytest.mark.parametrize("name", NAMES)
def test_activation_is_within_some_roundings_of_the_exact_value(name: str) -> None:
    parameters = Activation(name).parameters
    computed = reference.activation(name, POINTS)
    for z, value in zip(POINTS, computed, strict=True):
        exact = as_float(EXACT[name](mp.mpf(float(z)), **parameters))
        slope = float(reference.activation_derivative(name, z))
        # A rounding of the input by eps moves the value by eps |z f'(z)|; at most 8 such roundings
        # happen on the way, and 8 of the result. The last term is for results below 1e-307.
        tolerance = 8 * EPS * (abs(exact) + abs(z * slope)) + 4 * 5e-324
        assert abs(value - exact) <= tolerance, (z, value, exact)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_is_that_of_the_exact_function(name: str) -> None:
    parameters = Activation(name).parameters
    # Steps of 1e-250 do not cross the kinks, which lie at other points.
    h = mp.mpf(10) ** -250
    points = POINTS[np.abs(POINTS) > 1e-100]
    computed = reference.activation_derivative(name, points)
    for z, value in zip(points, computed, strict=True):
        f, x = EXACT[name], mp.mpf(float(z))
        exact = as_float((f(x + h, **parameters) - f(x - h, **parameters)) / (2 * h))
        # Near its zeros, all within 4 of 0, a derivative is a difference of terms of the size of 1.
        # In the tails it is an exponential whose argument, of the size of z^3 for gelu_tanh, is
        # rounded; from |z| = 40 on it is constant or that of silu and mish, exp(z).
        scale = 1 + abs(exact) if abs(z) < 4 else abs(exact) * (1 + min(abs(z), 40.0) ** 3)
        assert abs(value - exact) <= 16 * EPS * scale + 1e-300, (z, value, exact)


@pytest.mark.parametrize(
    ("name", "at_minus_infinity", "at_infinity"),
    [
        ("identity", -INF, INF),
        ("relu", 0, INF),
        ("relu6", 0, 6),
        ("leaky_relu", -INF, INF),
        ("elu", -1, INF),
        ("selu", -1.758099340847376624, INF),
        ("gelu", NAN, INF),
        ("gelu_tanh", NAN, INF),
        ("silu", NAN, INF),
        ("mish", NAN, INF),
        ("tanh", -1, 1),
        ("sigmoid", 0, 1),
        ("softplus", 0, INF),
        ("softsign", NAN, NAN),
        ("hard_sigmoid", 0, 1),
        ("hard_swish", NAN, INF),
        ("sin", NAN, NAN),
        ("gated", NAN, INF),
    ],
)
def test_special_values(name: str, at_minus_infinity: float, at_infinity: float) -> None:
    result = reference.activation(name, [-INF, INF, NAN])
    np.testing.assert_allclose(result, [at_minus_infinity, at_infinity, NAN], rtol=2 * EPS)
    slope = float(reference.activation_derivative(name, NAN))
    assert slope == 1 if name == "identity" else math.isnan(slope)


@pytest.mark.parametrize("name", NAMES)
def test_zero_and_the_largest_numbers(name: str) -> None:
    at_zero = {"sigmoid": 0.5, "softplus": math.log(2), "hard_sigmoid": 0.5}.get(name, 0.0)
    assert_array_equal(reference.activation(name, [0.0, -0.0]), [at_zero, at_zero])
    largest = float(np.finfo(np.float64).max)
    positive, negative = reference.activation(name, [largest, -largest])
    if name == "sin":
        assert positive == -negative == pytest.approx(as_float(mp.sin(mp.mpf(largest))), rel=EPS)
        return
    assert positive in (largest, 1, 6, INF)
    assert negative in (-largest, -largest * 0.01, 0, -1, pytest.approx(-1.758099340847376624))


def test_results_are_new_arrays_of_the_same_shape() -> None:
    for name in NAMES:
        z = np.ones((2, 3))
        result = reference.activation(name, z)
        assert result.shape == (2, 3)
        assert not np.shares_memory(result, z)
        assert reference.activation(name, np.float32(1)).shape == ()
        assert reference.activation(name, np.empty((0, 4))).shape == (0, 4)
        assert reference.activation_derivative(name, np.empty((0, 4))).dtype == np.float64


def test_parameters_are_used() -> None:
    assert reference.activation(Activation("leaky_relu", alpha=0.25), -4.0) == -1.0
    assert reference.activation(Activation("elu", alpha=3.0), -1e9) == -3.0
    hard = Activation("hard_sigmoid", alpha=0.25, beta=0.125)
    assert_array_equal(reference.activation(hard, [-1.0, 0.5, 9.0]), [0.0, 0.25, 1.0])
    assert reference.activation_derivative(hard, 0.5) == 0.25
    assert reference.activation_derivative(Activation("leaky_relu", alpha=0.25), -4.0) == 0.25


@pytest.mark.parametrize(
    ("name", "kink", "value"),
    [
        ("relu", 0, 0),
        ("relu6", 0, 0),
        ("relu6", 6, 0),
        ("leaky_relu", 0, 0.01),
        ("elu", 0, 1),
        ("selu", 0, 1.0507009873554805 * 1.6732632423543772),
        ("hard_swish", -3, 0),
        ("hard_swish", 3, 1),
    ],
)
def test_derivatives_at_kinks_are_those_of_pytorch(name: str, kink: float, value: float) -> None:
    assert reference.activation_derivative(name, kink) == value


def test_hard_sigmoid_is_flat_at_its_corners() -> None:
    # alpha and beta whose corners are exact; PyTorch has 0 at both.
    hard = Activation("hard_sigmoid", alpha=0.25, beta=0.5)
    assert_array_equal(reference.activation_derivative(hard, [-2.0, 2.0, 0.0]), [0, 0, 0.25])


# --- Networks ---------------------------------------------------------------------------------


def hand_made() -> ln.MLP:
    return ln.MLP(
        [
            ln.Dense([[1.0, 2.0], [3.0, -4.0]], [0.5, 0.25], "relu"),
            ln.Dense([[2.0, 5.0]], [-1.0]),
        ]
    )


def test_forward_by_hand() -> None:
    # z_1 = (1 + 2 + 0.5, 3 - 4 + 0.25) = (3.5, -0.75); a_1 = (3.5, 0); z_2 = 7 - 1.
    for function in (reference.forward, reference.forward_components):
        assert_array_equal(function(hand_made(), [1.0, 1.0]), [6.0])
        # (-1, 1): z_1 = (1.5, -6.75), y = 2.  (1, -1): z_1 = (-0.5, 7.25), y = 35.25.
        assert_array_equal(function(hand_made(), [[-1, 1], [1, -1]]), [[2.0], [35.25]])
        assert_array_equal(function(hand_made().layers, [1.0, 1.0]), [6.0])
        assert function(hand_made(), np.empty((0, 2))).shape == (0, 1)


def test_trace_by_hand() -> None:
    trace = reference.trace(hand_made(), [1.0, 1.0])
    assert_array_equal(trace.activations[0], [1.0, 1.0])
    assert_array_equal(trace.pre_activations[0], [3.5, -0.75])
    assert_array_equal(trace.activations[1], [3.5, 0.0])
    assert_array_equal(trace.pre_activations[1], [6.0])
    assert trace.output is trace.activations[2]


def test_jacobian_by_hand() -> None:
    # At (1, 1) the second hidden unit is off: J = (2, 5) diag(1, 0) W_1 = (2, 4).
    assert_array_equal(reference.jacobian(hand_made(), [1.0, 1.0]), [[2.0, 4.0]])
    # At (1, -1) the first is off: 5 (3, -4).
    batch = reference.jacobian(hand_made(), [[1.0, 1.0], [1.0, -1.0]])
    assert_array_equal(batch, [[[2.0, 4.0]], [[15.0, -20.0]]])
    first, second = reference.layer_jacobians(hand_made(), [1.0, -1.0])
    assert_array_equal(first, [[0.0, 0.0], [3.0, -4.0]])
    assert_array_equal(second, [[2.0, 5.0]])
    assert reference.jacobian(hand_made(), np.empty((0, 2))).shape == (0, 1, 2)
    assert reference.numerical_jacobian(hand_made(), np.empty((0, 2))).shape == (0, 1, 2)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    batch=st.integers(0, 4),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_matrix_form_and_sums_agree(sizes: list[int], batch: int, bias: bool, seed: int) -> None:
    net = ln.MLP.init(sizes, "relu", bias=bias, dtype="float64", seed=seed)
    x = np.random.default_rng(seed).standard_normal((batch, sizes[0]))
    matrix, sums = reference.forward(net, x), reference.forward_components(net, x)
    assert matrix.shape == sums.shape == (batch, sizes[-1])
    # Either is within the bound of the exact result, whatever the order of its sums.
    assert (np.abs(matrix - sums) <= 2 * error_bound(net, x)).all()


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_apply_the_activation_to_the_pre_activations(name: str) -> None:
    net = ln.MLP.init([5, 4], output_activation=name, dtype="float32", seed=1)
    x = np.random.default_rng(1).standard_normal(5)
    trace = reference.trace(net, x)
    assert_array_equal(trace.output, reference.activation(name, trace.pre_activations[0]))
    # |s'| <= 1.13 for each of them (mish, gelu and silu exceed 1); 4 EPS for the function itself.
    linear = ln.MLP([ln.Dense(net.layers[0].weight.astype(np.float64), net.layers[0].bias)])
    tolerance = 1.13 * 2 * error_bound(linear, x) + 8 * EPS * (1 + np.abs(trace.output))
    assert (np.abs(trace.output - reference.forward_components(net, x)) <= tolerance).all()


@pytest.mark.parametrize("name", NAMES)
def test_jacobian_agrees_with_differences(name: str) -> None:
    net = ln.MLP.init([6, 9, 7, 4], name, output_activation=name, dtype="float64", seed=3)
    x = np.random.default_rng(3).standard_normal((3, 6))
    jacobian = reference.jacobian(net, x)
    assert jacobian.shape == (3, 4, 6)
    # h = 6e-6: the error is some h^2 |f'''| = 4e-11 and eps |f| / h = 4e-11, for figures of the
    # size of 10 here. No kink lies within h of these points.
    assert np.abs(jacobian).max() > 1e-3
    assert np.abs(reference.numerical_jacobian(net, x) - jacobian).max() < 1e-8
    # The same products in another order: some 20 roundings of terms not much larger than J.
    assert np.abs(jacobian[1] - reference.jacobian(net, x[1])).max() < 1e-13
    product = np.eye(6)
    for factor in reference.layer_jacobians(net, x[1]):
        product = factor @ product
    assert np.abs(product - jacobian[1]).max() < 1e-13


def test_step_of_the_differences() -> None:
    net = ln.MLP([ln.Dense([[1.0]], activation="softplus")])
    # The third derivative at 0 is -1/8: the error of a large step is h^2 / 6 times that.
    coarse = reference.numerical_jacobian(net, [0.0], step=0.01)[0, 0]
    assert coarse - 0.5 == pytest.approx(0, abs=1e-12)  # even derivatives only: none at 0
    coarse = reference.numerical_jacobian(net, [1.0], step=0.01)[0, 0]
    s = 1 / (1 + math.exp(-1))
    third = s * (1 - s) * (1 - 2 * s)
    assert coarse - s == pytest.approx(third * 0.01**2 / 6, rel=1e-2)
    for step in (0.0, -1.0, INF, NAN):
        with pytest.raises(ValueError, match="step must be a positive number"):
            reference.numerical_jacobian(net, [0.0], step=step)


def test_float32_weights_are_taken_as_they_are() -> None:
    weight = np.array([[0.1, 0.2]], dtype=np.float32)
    net = ln.MLP([ln.Dense(weight)])
    expected = float(weight[0, 0]) * 3.0 + float(weight[0, 1]) * 5.0
    assert reference.forward(net, [3.0, 5.0])[0] == pytest.approx(expected, rel=2 * EPS)
    assert reference.forward(net, [3.0, 5.0]).dtype == np.float64


def test_infinities_stay_in_their_row() -> None:
    net = ln.MLP.init([2, 3, 2], "tanh", dtype="float64", seed=0)
    x = np.array([[1.0, 2.0], [INF, -INF], [NAN, 0.0], [3.0, 4.0]])
    result = reference.forward(net, x)
    assert np.isfinite(result[[0, 3]]).all()
    assert np.isnan(result[2]).all()
    finite_rows = reference.forward(net, x[[0, 3]])
    np.testing.assert_allclose(result[[0, 3]], finite_rows, rtol=1e-13)


@pytest.mark.parametrize(
    "function",
    [
        reference.forward,
        reference.forward_components,
        reference.trace,
        reference.jacobian,
        reference.layer_jacobians,
        reference.numerical_jacobian,
    ],
)
def test_wrong_shapes(function: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(ValueError, match="x has 3 features, the network takes 2"):
        function(hand_made(), [1, 2, 3])
    with pytest.raises(ValueError, match="x has 0 axes"):
        function(hand_made(), 1.0)
    with pytest.raises(ValueError, match="x has 3 axes"):
        function(hand_made(), np.ones((1, 1, 2)))
    with pytest.raises(ValueError, match="no layers"):
        function([], [1.0])


def test_the_input_is_never_written() -> None:
    x = np.array([[1.0, -1.0]])
    x.flags.writeable = False
    trace = reference.trace(hand_made(), x)
    reference.numerical_jacobian(hand_made(), x)
    assert not np.shares_memory(trace.activations[0], x)


# --- Softmax ----------------------------------------------------------------------------------


def test_softmax_of_large_logits() -> None:
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    assert_array_equal(reference.softmax(z), [[1, 0, 0], np.full(3, 1.0) / 3])
    assert_array_equal(reference.log_softmax(z)[0], [0, -2e4, -1e4])
    assert reference.log_softmax(z)[1] == pytest.approx(-math.log(3), abs=4 * EPS)


def test_softmax_against_exact_arithmetic() -> None:
    z = np.random.default_rng(0).standard_normal((7, 5)) * 30
    for row, p, log_p in zip(z, reference.softmax(z), reference.log_softmax(z), strict=True):
        exponentials = [mp.exp(mp.mpf(float(value))) for value in row]
        for value, e, computed, logarithm in zip(row, exponentials, p, log_p, strict=True):
            exact = e / sum(exponentials)
            # The subtraction of the maximum rounds at the size of the logits, below 256.
            assert abs(computed - as_float(exact)) <= 256 * EPS * as_float(exact), value
            assert abs(logarithm - as_float(mp.log(exact))) <= 512 * EPS, value


# --- What is refused --------------------------------------------------------------------------

NOT_REAL: list[Any] = [
    np.ma.array([1.0, 2.0], mask=[True, False]),
    np.array([1.0, 2.0], object),
    np.array(["1", "2"]),
    ["1", "2"],
    np.array([1j, 2j]),
    None,
    "12",
]


@pytest.mark.parametrize("x", NOT_REAL, ids=lambda x: str(getattr(x, "dtype", x)))
def test_only_real_numbers(x: Any) -> None:
    net = hand_made()
    for function in (
        reference.forward,
        reference.forward_components,
        reference.trace,
        reference.jacobian,
        reference.layer_jacobians,
        reference.numerical_jacobian,
    ):
        with pytest.raises(TypeError, match=r"^x (is a masked array|must)"):
            function(net, x)
    for function in (reference.softmax, reference.log_softmax):
        with pytest.raises(TypeError, match=r"^z (is a masked array|must)"):
            function(x)
    for function in (reference.activation, reference.activation_derivative):
        with pytest.raises(TypeError, match=r"^z (is a masked array|must)"):
            function("tanh", x)


def test_differences_of_infinities_give_no_warning() -> None:
    net = ln.MLP.init([2, 3], "tanh", output_activation="silu", seed=0)
    for x in ([INF, 1.0], [-INF, INF], [NAN, 0.0], [1e308, -1e308]):
        assert reference.numerical_jacobian(net, x).shape == (3, 2)
    assert np.isnan(reference.numerical_jacobian(net, [NAN, 0.0])).any()


def test_the_difference_is_divided_by_what_was_stepped():
    """Near 1e8 numbers are 1.5e-8 apart: x + 1e-8 is not where one asked to go."""
    identity = ln.MLP([ln.Dense(np.eye(1))])
    np.testing.assert_array_equal(reference.numerical_jacobian(identity, [1e8], 1e-8), [[1.0]])
