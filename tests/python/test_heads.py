"""predict, predict_proba and predict_log_proba: argmax, softmax and log-softmax of the outputs."""

from __future__ import annotations

import copy
import pickle

import mpmath
import numpy as np
import pytest
from bounds import gamma, smallest_subnormal, unit_roundoff
from compare import assert_close
from variants import normal, random_net, same_bits

import laminet as ln
from laminet import reference

pytestmark = pytest.mark.usefixtures("isa", "backend")


def identity_net(n, dtype):
    """A network whose outputs are its inputs: the heads see logits of our choice."""
    return ln.MLP([ln.Dense(np.eye(n, dtype=dtype))])


def constant_net(z, head):
    """A network of that head whose last activations are z, infinities and NaN too."""
    return ln.MLP([ln.Dense(np.zeros((len(z), 1), z.dtype), z)], head=head)


def proba_bound(z, dtype):
    """|computed - softmax(z)|, derived.

    With d_i = z_i - max rounded, exp within 2 ULP and a sum of n terms, the relative error of
    exp(d_i) is at most |d_i| u + 4 u (to first order; doubled here), the sum's that of the worst
    term plus gamma_n, and the division adds u. A term below the normal numbers also loses one
    subnormal. Terms of the sum below u / n do not count, so |d| there is at most log(n / u).
    """
    u, n = unit_roundoff(dtype), z.shape[-1]
    d = np.abs(z - z.max(axis=-1, keepdims=True))
    counted = np.minimum(d, np.log(n / u))
    relative = 2 * (d * u + 4 * u) + 2 * (counted.max(-1, keepdims=True) * u + 4 * u)
    relative = relative + gamma(n + 2, dtype)
    return relative * reference.softmax(z) * 2 + 4 * smallest_subnormal(dtype)


def log_proba_bound(z, dtype):
    """z_i - max is rounded once, log of the sum is off by the sum's relative error, one more."""
    u, n = unit_roundoff(dtype), z.shape[-1]
    exact = reference.log_softmax(z)
    d = np.abs(z - z.max(axis=-1, keepdims=True))
    counted = np.minimum(d, np.log(n / u)).max(-1, keepdims=True)
    of_sum = 2 * (counted * u + 4 * u) + gamma(n + 2, dtype)
    return 2 * (d * u + of_sum + u * np.abs(exact)) + 4 * smallest_subnormal(dtype)


LOGITS = {
    "normal": lambda n, rng: rng.standard_normal((40, n)) * 3,
    "wide": lambda n, rng: rng.standard_normal((40, n)) * 60,
    "equal": lambda n, rng: np.full((3, n), 2.5),
    "zero": lambda n, rng: np.zeros((3, n)),
    "shifted up": lambda n, rng: rng.standard_normal((40, n)) + 1e4,
    "shifted down": lambda n, rng: rng.standard_normal((40, n)) - 1e4,
    "one hot 1e4": lambda n, rng: 1e4 * np.eye(n),
    "one hot -1e4": lambda n, rng: -1e4 * np.eye(n),
    "huge": lambda n, rng: np.where(np.eye(n) > 0, 3e38, -3e38),
}


# One output has no probabilities of its own; its softmax is a head's (test_a_head_of_one).
@pytest.mark.parametrize("n", [2, 3, 5, 8, 10, 16, 17, 33, 100, 1000])
@pytest.mark.parametrize("make", LOGITS.values(), ids=LOGITS.keys())
def test_softmax(make, n, dtype):
    z = make(n, np.random.default_rng(3)).astype(dtype)
    if n == 1000:
        z = z[:20]
    net = identity_net(n, dtype)
    wide = z.astype(float)
    proba, log_proba = net.predict_proba(z), net.predict_log_proba(z)
    assert_close(proba, reference.softmax(wide), proba_bound(wide, dtype))
    if np.ptp(wide) < np.finfo(dtype).max:  # 3e38 - (-3e38) is no float32
        assert_close(log_proba, reference.log_softmax(wide), log_proba_bound(wide, dtype))
    total = proba.astype(float).sum(axis=-1)
    assert (np.abs(total - 1) <= (n + 2) * 4 * unit_roundoff(dtype)).all()
    assert ((proba >= 0) & (proba <= 1)).all()
    assert (log_proba <= 0).all()
    for i in range(min(len(z), 3)):
        assert_close(net.predict_proba(z[i]), reference.softmax(wide[i]),
                     proba_bound(wide[i], dtype))  # fmt: skip


def test_extreme_logits_stay_finite(dtype):
    """Issue 2: logits of 1e4 and -1e4 give finite probabilities that sum to 1."""
    z = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    net = identity_net(3, dtype)
    third = dtype.type(1) / 3
    expected = np.array([[1, 0, 0], [third, third, third], [0.5, 0.5, 0]], dtype)
    assert same_bits(net.predict_proba(z), expected)
    log = net.predict_log_proba(z)
    assert np.isfinite(log).all()
    np.testing.assert_array_equal(log[0], [0, -2e4, -1e4])


@pytest.mark.parametrize("gap", [5, 12, 20, 40, 90, 300])
def test_log_of_a_probability_near_one(gap, dtype):
    """log(1 + e^-gap) is e^-gap and not 0: log(sum) would have lost it."""
    net = identity_net(2, dtype)
    y = net.predict_log_proba(np.array([gap, 0], dtype))
    with mpmath.workdps(60):
        exact = float(-mpmath.log1p(mpmath.exp(-gap)))
    assert y[0] == pytest.approx(exact, rel=8 * unit_roundoff(dtype) * 2, abs=2e-45)
    assert y[1] == pytest.approx(-gap + exact, rel=4 * unit_roundoff(dtype))


@pytest.mark.parametrize("columns", [3, 20])
def test_special_values(columns, dtype):
    """As NumPy on the formula: NaN and +inf make a row NaN, -inf is probability 0."""
    net = identity_net(columns, dtype)
    base = normal((6, columns), dtype)
    clean = net.predict_proba(base), net.predict_log_proba(base)
    for place in (0, columns // 2, columns - 1):
        for value in (np.nan, np.inf, -np.inf):
            z = base.copy()
            z[2, place] = value
            for head, kept, exact in (
                ("softmax", clean[0], reference.softmax(z)),
                ("log_softmax", clean[1], reference.log_softmax(z)),
            ):
                y = np.array([constant_net(row, head)([0]) for row in z])
                others = [0, 1, 3, 4, 5]
                assert same_bits(y[others], kept[others])
                bound = 1e-4 if dtype == np.float32 else 1e-13
                assert_close(y[2], exact[2], bound)
    nothing = constant_net(np.full(columns, -np.inf, dtype), "softmax")
    assert np.isnan(nothing([0])).all()


def test_predict(dtype):
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    x = normal((50, 12), dtype)
    y = net(x)
    classes = net.predict(x)
    assert classes.dtype == np.intp
    assert classes.tolist() == y.argmax(axis=1).tolist()
    assert len(set(classes.tolist())) > 2
    one = net.predict(x[3])
    assert one == classes[3]
    assert np.ndim(one) == 0
    assert isinstance(one, np.intp)


def test_predict_takes_the_first_of_equals(dtype):
    net = identity_net(4, dtype)
    assert net.predict(np.array([1, 5, 5, 2], dtype)) == 1
    assert net.predict(np.zeros((2, 4), dtype)).tolist() == [0, 0]


def test_predict_takes_the_largest_of_negative_outputs(dtype):
    assert identity_net(3, dtype).predict(np.array([-3, -1, -2], dtype)) == 1


def test_heads_agree(dtype):
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    x = normal((50, 12), dtype)
    proba = net.predict_proba(x)
    assert (proba.argmax(axis=1) == net.predict(x)).all()
    np.testing.assert_allclose(
        np.exp(net.predict_log_proba(x).astype(float)), proba, rtol=60 * unit_roundoff(dtype)
    )


def test_the_network_is_not_changed(dtype):
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    x = normal((50, 12), dtype)
    before = net(x)
    net.predict_proba(x)
    net.predict_log_proba(x)
    net.predict(x)
    assert same_bits(net(x), before)


# --- Networks that end in a head ----------------------------------------------------------------

HEADS = ("softmax", "log_softmax")


@pytest.fixture(params=HEADS)
def head(request):
    return request.param


def with_head(net, head):
    return ln.MLP(net.layers, head=head)


def test_a_head_of_one(head, dtype):
    net = with_head(identity_net(1, dtype), head)
    z = np.array([[0], [-3e38], [1e4], [np.finfo(dtype).max]], dtype)
    assert net(z).tolist() == [[1 if head == "softmax" else 0]] * 4
    assert np.isnan(net([np.nan])).all()


@pytest.mark.parametrize("batch", [0, 1, 2, 5, 100, 2000])
def test_the_head_is_the_last_step(head, batch, dtype):
    """The same bits as the kernel gives for the logits, whatever the batch; all of them rows."""
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    headed = with_head(net, head)
    x = normal((batch, 12), dtype)
    expected = net.predict_proba(x) if head == "softmax" else net.predict_log_proba(x)
    assert same_bits(headed(x), expected)
    if batch:
        assert not same_bits(headed(x), net(x))
        assert same_bits(headed(x[0]), headed(x[:1])[0])
    exact = reference.log_softmax(reference.forward(net, x))
    exact = np.exp(exact) if head == "softmax" else exact
    np.testing.assert_allclose(headed(x), exact, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(reference.forward(headed, x), exact, rtol=1e-13)


def test_the_head_goes_into_every_layout_of_out(head, dtype):
    headed = with_head(random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype), head)
    x = normal((40, 12), dtype)
    expected = headed(x)
    columns, wide = np.empty((7, 40), dtype), np.zeros((80, 20), dtype)
    assert same_bits(np.ascontiguousarray(headed(x, out=columns.T)), expected)
    assert same_bits(np.ascontiguousarray(headed(x, out=wide[::2, 3:10])), expected)
    assert np.count_nonzero(wide) <= expected.size
    assert same_bits(headed(np.asfortranarray(x)), expected)


def test_probabilities_do_not_depend_on_the_head(head, dtype):
    """The head is not applied twice, and no logarithm is taken of a rounded probability."""
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    headed, x = with_head(net, head), 30 * normal((50, 12), dtype)
    assert same_bits(headed.predict_proba(x), net.predict_proba(x))
    assert same_bits(headed.predict_log_proba(x), net.predict_log_proba(x))
    assert (headed.predict(x) == net.predict(x)).all()
    extreme = with_head(identity_net(3, dtype), head)
    assert extreme.predict_log_proba([1e4, -1e4, 0]).tolist() == [0, -2e4, -1e4]


def test_trace_of_a_head(head, dtype):
    net = random_net([12, 30, 7], ["tanh", "identity"], dtype=dtype)
    headed, x = with_head(net, head), normal((5, 12), dtype)
    for samples in (x, x[0]):
        trace, plain = headed.trace(samples), net.trace(samples)
        assert same_bits(trace.output, headed(samples))
        assert same_bits(trace.activations[-1], net(samples))
        assert same_bits(trace.pre_activations[-1], plain.pre_activations[-1])
        assert plain.output is plain.activations[-1]
    assert str(headed.trace(x)).endswith(f"\nHead: {head} of A(5, 7)")
    assert str(headed.trace(x[0])).endswith(f"\nHead: {head} of a(7,)")
    assert "Head" not in str(net.trace(x))


def test_reference_derivatives_of_a_head(head):
    headed = with_head(random_net([4, 6, 3], dtype="float64"), head)
    x = normal((5, 4), "float64")
    exact = reference.jacobian(headed, x)
    # Central differences: truncation and rounding of the order eps^(2/3).
    np.testing.assert_allclose(reference.numerical_jacobian(headed, x), exact, atol=1e-8)
    assert np.abs(exact - reference.jacobian(headed.layers, x)).max() > 0.1
    np.testing.assert_allclose(
        reference.forward_components(headed, x), reference.forward(headed, x), rtol=1e-13
    )


def test_what_else_knows_the_head(head, dtype, tmp_path):
    net = random_net([5, 7, 2], dtype=dtype)
    headed = with_head(net, head)
    assert (headed.head, net.head) == (head, None)
    assert headed == with_head(net, head)
    assert headed != net
    assert headed != with_head(net, next(h for h in HEADS if h != head))
    for again in (
        pickle.loads(pickle.dumps(headed)),
        copy.copy(headed),
        copy.deepcopy(headed),
        headed.astype("float64").astype(dtype),
    ):
        assert again == headed
    headed.save(tmp_path / "net")
    assert ln.load(tmp_path / "net") == headed
    assert repr(headed) == (f"MLP(5 -> 7 tanh -> 2 tanh -> {head}, {dtype}, 58 parameters)")
    assert head in str(headed.summary())
    assert ln.cost(headed, 10).flops == ln.cost(net, 10).flops + 20
    assert ln.cost(headed, 10).head_flops == 20
    assert "head" in str(ln.cost(headed))
    assert headed.head in str(headed.summary())
    with pytest.raises(AttributeError):
        headed.head = None


def test_other_heads_are_refused():
    layers = random_net([5, 2]).layers
    with pytest.raises(ValueError, match="unknown head 'sigmoid', expected None or one of softmax"):
        ln.MLP(layers, head="sigmoid")
    with pytest.raises(ValueError, match="unknown head 'none'"):
        ln.MLP(layers, head="none")
    with pytest.raises(TypeError, match="head must be a str or None, got Activation"):
        ln.MLP(layers, head=ln.Activation("tanh"))
