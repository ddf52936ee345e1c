"""The activations through the public API: ULP against mpmath, the tails, special values."""

from __future__ import annotations

import numpy as np
import pytest
from compare import assert_close
from exact import FUNCTIONS, exact, ulp_errors
from variants import ACTIVATION_CASES, DTYPES, ISAS, instruction_set, same_bits

import laminet as ln
from laminet import reference
from laminet.core.activation import ACTIVATIONS

# DESIGN.md, section 5. Functions that only select values have no rounding at all.
ULPS = {"identity": 0, "relu": 0, "relu6": 0, "tanh": 2, "sigmoid": 2, "softplus": 2}
COLUMNS = 19  # one full vector of each width, and a tail


def apply(activation, points):
    """s(z) of each point, from every lane of a vector; all lanes must agree.

    NaN equals NaN here: its sign bit says nothing, and compilers swap the operands of a sum.
    """
    net = ln.MLP([ln.Dense(np.ones((COLUMNS, 1), points.dtype), None, activation)])
    y = net(points[:, None])
    numbers = np.where(np.isnan(y), np.nan, y).astype(y.dtype)
    for column in numbers.T[1:]:
        assert same_bits(column.copy(), numbers[:, 0].copy())
    return numbers[:, 0].copy()


def points(dtype, count=1500):
    """Signed points of every size: subnormal, small, the range where things happen, tails."""
    rng = np.random.default_rng(5)
    tail = 760 if dtype == np.float64 else 110
    info = np.finfo(dtype)
    parts = [
        np.exp(rng.uniform(np.log(float(info.tiny)), np.log(tail), count // 3)),
        rng.uniform(0, 8, count // 3),
        rng.uniform(0, tail, count // 6),
        rng.uniform(4, 45, count // 6),
        [float(info.smallest_subnormal), float(info.tiny), 1, 3, 6, 2.5, 1e4, float(info.eps)],
        # Gelu ends at -38.6 (-14.2), gelu_tanh at -21.6 (-10.8).
        rng.uniform(36, 40, 40), rng.uniform(13, 15, 40), rng.uniform(20, 22, 40),
        rng.uniform(10, 11, 40),
    ]  # fmt: skip
    positive = np.unique(np.concatenate(parts).astype(dtype))
    return np.concatenate([-positive[::-1], positive])


_EXACT: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}


def exact_values(activation, dtype):
    """mpmath takes a second for each; every instruction set is compared with the same."""
    key = activation, str(dtype)
    if key not in _EXACT:
        _EXACT[key] = exact(activation, points(dtype))
    return _EXACT[key]


def cancellation(activation, z):
    """What hard_sigmoid may be off by beside 4 ULP, where alpha z + beta cancels.

    The parameters are doubles; a float32 network carries them as two float32 numbers, 48 bits.
    """
    if activation.name != "hard_sigmoid" or z.dtype != np.float32:
        return np.zeros(len(z))
    return 2.0**-46 * (abs(activation.alpha) * np.abs(z.astype(float)) + abs(activation.beta))


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_ulp(activation, dtype, isa, record_property):
    z = points(dtype)
    got, (high, low) = apply(activation, z), exact_values(activation, dtype)
    errors = ulp_errors(got, high, low)
    errors[np.abs(got - high - low) <= cancellation(activation, z)] = 0
    worst = int(np.argmax(errors))
    record_property("worst", f"{errors[worst]:.3f} ULP at {z[worst]!r}")
    limit = ULPS.get(activation.name, 4)
    assert errors[worst] <= limit, f"{errors[worst]:.3f} ULP at {z[worst]!r}"


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_against_the_reference(activation, dtype, isa):
    """Many more points than mpmath has time for; within the ULP of both."""
    rng = np.random.default_rng(6)
    z = (rng.standard_normal(20_000) * np.exp(rng.uniform(-6, 3, 20_000))).astype(dtype)
    expected = reference.activation(activation, z)
    # The reference has errors of its own. An exponent y is off by some roundings, |y| u, which is
    # the relative error of e^y; no exponent here is above z^2 + 4. Where e^y is subnormal it is off
    # by 2^-1074, and multiplied with z.
    size = np.abs(z.astype(float))
    own = 8 * 2.0**-53 * (4 + size**2) * np.abs(expected) + (4 + size) * 2.0**-1074
    if activation.name == "hard_sigmoid":  # a sum that cancels
        own += 4 * 2.0**-53 * (abs(activation.alpha) * size + abs(activation.beta))
    info = np.finfo(dtype)
    bound = ULPS.get(activation.name, 4) * float(info.eps) * np.abs(expected)
    bound += 4 * float(info.smallest_subnormal) + cancellation(activation, z)
    assert_close(apply(activation, z), expected, bound + own)


def test_mpmath_has_a_row_for_each():
    assert set(FUNCTIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_special_values(activation, dtype, isa):
    """NaN, infinities, zeros and huge numbers, as IEEE arithmetic on the formula has it."""
    info = np.finfo(dtype)
    huge = [float(info.max), float(info.max) / 4, 1e30, 1e18, 800, 100]
    z = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, *huge, *(-h for h in huge)], dtype)
    expected = reference.activation(activation, z)
    with np.errstate(over="ignore"):
        expected = expected.astype(dtype).astype(float)  # what overflows in float32 is infinite
    bound = 4 * float(info.eps) * np.abs(expected) + 4 * float(info.smallest_subnormal)
    assert_close(apply(activation, z), expected, bound)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "elu", "hard_sigmoid", "softsign"])
def test_nan_is_not_selected_away(name, dtype, isa):
    """max(NaN, 0) is 0 by the instruction maxps; NumPy, and so laminet, says NaN."""
    z = np.full(40, np.nan, dtype)
    assert np.isnan(apply(ln.Activation(name), z)).all()


@pytest.mark.parametrize("activation", ACTIVATION_CASES, ids=str)
def test_zero(activation, dtype, isa):
    y = apply(activation, np.zeros(40, dtype))
    at_zero = {"sigmoid": 0.5, "softplus": np.log(2), "hard_sigmoid": activation.beta}
    np.testing.assert_allclose(y, at_zero.get(activation.name, 0.0), rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "elu", "selu", "softsign", "relu"])
def test_monotone_on_neighbours(name, isa):
    """A step of a table or polynomial shows here: 4000 consecutive floats about some points."""
    for start in (-16.0, -5.0, -1.0, -0.5, 0.25, 1.0, 5.0, 9.0):
        first = np.array([start], np.float32).view(np.int32)[0]
        z = np.sort((first + np.arange(4000, dtype=np.int32)).view(np.float32))
        y = apply(ln.Activation(name), z).astype(float)
        # 2 ULP each: two neighbours may be 4 out of order at most, and never by more.
        assert (np.diff(y) >= -4 * 2.0**-23 * np.abs(y[1:])).all()


@pytest.mark.parametrize("alpha", [0.0, -1.0, 1e-40, 1e10, -3.5])
def test_parameters_of_leaky_relu_and_elu(alpha, dtype, isa):
    z = np.array([-3.0, -0.5, 0.0, 2.0], dtype)
    leaky = apply(ln.Activation("leaky_relu", alpha=alpha), z)
    elu = apply(ln.Activation("elu", alpha=alpha), z)
    bound = 4 * float(np.finfo(dtype).eps) * abs(alpha) * 3 + 2 * float(
        np.finfo(dtype).smallest_subnormal
    )
    assert_close(leaky, np.where(z > 0, z, alpha * z.astype(float)), bound)
    assert_close(elu, np.where(z > 0, z, alpha * np.expm1(z.astype(float))), bound)


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.25), (0.0, 2.0), (1e-30, 0.5), (50.0, -3.0)])
def test_parameters_of_hard_sigmoid(alpha, beta, dtype, isa):
    z = np.array([-1e6, -3.0, -0.05, 0.0, 0.06, 0.07, 2.0, 1e6], dtype)
    activation = ln.Activation("hard_sigmoid", alpha=alpha, beta=beta)
    high, low = exact(activation, z)
    got = apply(activation, z)
    errors = ulp_errors(got, high, low)
    assert errors[np.abs(got - high - low) > cancellation(activation, z)].max(initial=0) <= 4


def test_the_measure_of_ulp():
    """The ruler itself: 1 ULP is 1, at powers of two, subnormals and for float32."""
    for dtype in DTYPES:
        info = np.finfo(dtype)
        for value in (1.0, 1.5, 0.1, 3e-30, float(info.tiny), float(info.smallest_subnormal)):
            v = np.array([value], dtype)
            high = v.astype(float)
            assert ulp_errors(v, high, np.zeros(1))[0] == 0
            up = np.nextafter(v, dtype.type(np.inf))
            assert ulp_errors(up, high, np.zeros(1))[0] == 1
            assert ulp_errors(np.full(1, np.nan, dtype), high, np.zeros(1))[0] != 0
    third = np.array([np.float64(1) / 3])
    _, low = exact(ln.Activation("leaky_relu", alpha=1 / 3), np.array([-1.0]))
    assert low[0] == 0
    assert ulp_errors(third, third, np.array([2.0**-55]))[0] == 0.5


def test_instruction_sets_differ_by_ulps_only():
    """`generic` may round otherwise than the fused ones, not compute something else."""
    z = points(np.dtype(np.float32), 300)
    for activation in ACTIVATION_CASES:
        results = []
        for name in ISAS:
            with instruction_set(name):
                results.append(apply(activation, z))
        limit = 2 * ULPS.get(activation.name, 4) * np.finfo(np.float32).eps
        for other in results[1:]:
            np.testing.assert_allclose(other, results[0], rtol=limit, atol=4e-45)


def test_names_and_defaults():
    assert " ".join(ACTIVATIONS) == (
        "identity relu relu6 leaky_relu elu selu gelu gelu_tanh silu mish tanh sigmoid softplus "
        "softsign hard_sigmoid hard_swish sin gated"
    )
    assert ln.Activation("leaky_relu").alpha == 0.01
    assert ln.Activation("elu").alpha == 1.0
    hard = ln.Activation("hard_sigmoid")
    assert (hard.alpha, hard.beta) == (1 / 6, 0.5)
    assert ln.Activation("relu").parameters == {}
    with pytest.raises(AttributeError, match="cannot assign"):
        hard.alpha = 0.2


def test_text():
    assert repr(ln.Activation("leaky_relu", alpha=0.2)) == "Activation('leaky_relu', alpha=0.2)"
    assert str(ln.Activation("leaky_relu", alpha=0.2)) == "leaky_relu(alpha=0.2)"
    assert str(ln.Activation("leaky_relu")) == "leaky_relu"
    assert repr(ln.Activation("gelu")) == "Activation('gelu')"
    for activation in ACTIVATION_CASES:
        assert eval(repr(activation), {"Activation": ln.Activation}) == activation


def test_equality_and_hash():
    assert ln.Activation("elu") == ln.Activation("elu", alpha=1) != ln.Activation("elu", alpha=2)
    assert ln.Activation("relu") != ln.Activation("relu6")
    assert ln.Activation("relu") != "relu"
    assert len({ln.Activation("elu"), ln.Activation("elu", alpha=1.0), ln.Activation("selu")}) == 2
