"""Levenberg and Marquardt's method against the reference, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import laminet as ln
from laminet import _core, reference
from laminet.training.least_squares import LeastSquaresRun, least_squares

METHOD = ln.optim.LevenbergMarquardt


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def dense(seed: int, n: int, m: int, activation: object = "tanh", bias: bool = True) -> ln.Dense:
    return ln.Dense(
        numbers(seed, m, n) / np.sqrt(n), numbers(seed + 1, m) if bias else None, activation
    )


def slopes(seed: int, units: int) -> ln.Activation:
    return ln.Activation("leaky_relu", alpha=np.abs(numbers(seed, units)))


NETWORKS = {
    "chain": [dense(0, 3, 4), dense(2, 4, 2, "identity")],
    "narrow": [dense(0, 1, 5), dense(2, 5, 1, "identity")],
    "no bias": [dense(0, 3, 4, "sigmoid", bias=False), dense(2, 4, 2, "tanh", bias=False)],
    "residual": [ln.Residual([dense(0, 3, 5), dense(2, 5, 3, "identity")]), dense(4, 3, 2)],
    "parallel": [
        ln.Parallel([[dense(0, 3, 2)], [dense(2, 3, 2)], [dense(4, 3, 3, "sigmoid")]]),
        dense(6, 7, 2, "identity"),
    ],
    "sum": [ln.Parallel([[dense(0, 3, 2), dense(8, 2, 2)], [dense(2, 3, 2)]], join="mean")],
    "norms": [
        dense(0, 3, 5),
        ln.LayerNorm(numbers(1, 5), numbers(2, 5), 0.5),
        dense(3, 5, 4),
        ln.RMSNorm(numbers(4, 4), 0.5),
        dense(5, 4, 2, "identity"),
    ],
    "units": [dense(0, 3, 4, slopes(3, 4)), dense(2, 4, 3), slopes(4, 3), dense(5, 3, 2)],
    "constants": [
        ln.Rescale(numbers(0, 3), 0.5),
        ln.Select([2, 0]),
        dense(0, 2, 4),
        dense(2, 4, 2, "identity"),
    ],
    # More columns than a chunk of samples has sums for; then layers by pairs of inputs and outputs,
    # of fewer inputs and of fewer outputs.
    "wide": [dense(0, 3, 24), dense(2, 24, 3, "identity")],
    "pairs": [dense(0, 5, 24), dense(2, 24, 6), dense(4, 6, 2, "identity")],
}


def data(net: ln.MLP, rows: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = numbers(7, rows, net.in_features)
    y = np.sin(x.sum(axis=1, keepdims=True) * (1 + np.arange(net.out_features)))
    return x, y, np.random.default_rng(8).random(rows) + 0.5


def flat(net: ln.MLP) -> np.ndarray:
    return np.concatenate([v.ravel() for v in reference.parameters(net).values()])


def expected_iterates(net, x, y, w, method, count) -> list[np.ndarray]:
    found, state = [], None
    for _ in range(count):
        step = reference.training_step(net, x, y, "squared_error", method, state, sample_weight=w)
        if step.state.optimizer.stopped:
            break
        net, state = step.network, step.state
        found.append(flat(net))
    return found


def moved(net: ln.MLP, seed: int) -> ln.MLP:
    """The network with each parameter moved by about a unit in its last place."""
    rng = np.random.default_rng(seed)
    return reference.with_parameters(
        net,
        {
            name: value * (1 + rng.choice([-1, 1], value.shape) * 2.0**-52)
            for name, value in reference.parameters(net).items()
        },
    )


CASES = [(name, True) for name in NETWORKS] + [
    (name, False) for name in ("narrow", "units", "wide")
]


@pytest.mark.parametrize(
    ("name", "weighted", "rows", "iterations"),
    [(name, weighted, 12, 10 if name in ("wide", "pairs") else 30) for name, weighted in CASES]
    # Several blocks of rows and chunks of them; the last one not whole.
    + [("chain", True, 700, 2), ("wide", True, 300, 2), ("pairs", False, 300, 2)],
)
def test_iterates_are_those_of_the_reference(
    name: str, weighted: bool, rows: int, iterations: int
) -> None:
    """About as near as those of the reference are to its own from a start one rounding away.

    What an iteration rounds itself, sums over the rows and a factorisation, is multiplied by the
    condition of the normal equations as that one rounding is; it is more of them, hence 50.
    """
    net = ln.MLP(NETWORKS[name], dtype="float64")
    x, y, w = data(net, rows)
    method = METHOD(weight_decay=1e-3, decay_biases=name == "norms") if weighted else METHOD()
    weights = w if weighted else None
    expected = expected_iterates(net, x, y, weights, method, iterations)
    other = expected_iterates(moved(net, 0), x, y, weights, method, iterations)
    run = LeastSquaresRun(net, x, y, method, weights)
    spread = 0.0
    assert len(expected) >= min(iterations, 5)
    for p, q in zip(expected, other, strict=False):
        (loss,) = run.run()
        now = run.network()
        spread = max(spread, float(np.abs(p - q).max()), 2.0**-52 * float(np.abs(p).max()))
        assert np.abs(flat(now) - p).max() <= 50 * spread
        expected_loss = reference.loss("squared_error", reference.forward(now, x), y, weights)
        # Outputs that are nearly the targets, whose difference has an error of their size.
        rounding = 1e-14 * np.sqrt(expected_loss) + 1e-28
        assert loss == run.loss == pytest.approx(expected_loss, rel=1e-12, abs=rounding)
    assert run.iterations == min(len(expected), len(other))


def after(net: ln.MLP, rows: int, threads: int, iterations: int = 6) -> list[np.ndarray]:
    x, y, w = data(net, rows)
    with ln.num_threads(threads):
        run = LeastSquaresRun(net, x, y, METHOD(weight_decay=1e-4), w)
        losses = run.run(iterations)
    return [losses, flat(run.network())]


@pytest.mark.parametrize(
    ("sizes", "rows"), [([1, 5, 1], 5000), ([3, 4, 2], 1500), ([10, 30, 1], 700), ([3, 30, 2], 300)]
)
def test_bits_do_not_depend_on_threads_and_instruction_sets(sizes: list[int], rows: int) -> None:
    """Chunks of samples, and tiles of many columns; a factorisation that threads share."""
    before = _core.isa()
    net = ln.MLP.init(sizes, "tanh", dtype="float64", seed=0)
    expected = after(net, rows, 1)
    for threads in (2, 3):
        for one, other in zip(expected, after(net, rows, threads), strict=True):
            assert_array_equal(one, other)
    try:
        for isa in _core.available_isas():
            if isa == "generic":
                continue
            _core.set_isa(isa)
            again = ln.MLP(net.layers)
            for one, other in zip(expected, after(again, rows, 2), strict=True):
                assert_array_equal(one, other)
    finally:
        _core.set_isa(before)


def test_iterations_at_once_are_those_one_by_one() -> None:
    net = ln.MLP(NETWORKS["chain"], dtype="float64")
    x, y, _ = data(net)
    one, other = LeastSquaresRun(net, x, y), LeastSquaresRun(net, x, y)
    losses = one.run(7)
    assert_array_equal(losses, np.concatenate([other.run() for _ in range(7)]))
    assert_array_equal(flat(one.network()), flat(other.network()))
    assert one.damping == other.damping
    fit = least_squares(net, x, y, METHOD(7))
    assert_array_equal(fit.losses[1:], losses)
    assert fit.losses[0] == LeastSquaresRun(net, x, y).loss
    assert fit.stopped == "iterations"


def test_a_sample_of_weight_0_is_not_there() -> None:
    net = ln.MLP(NETWORKS["chain"], dtype="float64")
    x, y, w = data(net, 20)
    w[::3] = 0
    some = w > 0
    one, other = (
        LeastSquaresRun(net, x, y, None, w),
        LeastSquaresRun(net, x[some], y[some], None, w[some]),
    )
    x[::3], y[::3] = 1e300, 1e300
    hidden = LeastSquaresRun(net, x, y, None, w)
    assert_array_equal(one.run(3), other.run(3))
    assert_array_equal(one.run(3), [*hidden.run(6)[3:]])


def test_a_network_of_float32_is_that_of_float64_rounded() -> None:
    net = ln.MLP.init([3, 5, 2], "tanh", seed=1)
    x, y, _ = data(net, 40)
    one = LeastSquaresRun(net, x.astype("float32"), y)
    other = LeastSquaresRun(net.astype("float64"), x.astype("float32"), y)
    assert_array_equal(one.run(5), other.run(5))
    assert one.network().dtype == np.float32
    assert_array_equal(flat(one.network()), flat(other.network()).astype("float32"))


def test_why_it_stops() -> None:
    net = ln.MLP(NETWORKS["chain"], dtype="float64")
    x, y, _ = data(net, 30)

    def stopped(*args: object, **kwargs: object) -> str:
        return least_squares(net, x, y, METHOD(*args, **kwargs)).stopped

    assert stopped(tolerance_gradient=1e9) == "gradient"
    assert stopped(tolerance_change=0.5) == "change"
    assert stopped(3) == "iterations"
    fit = least_squares(net, x, y, on_iteration=lambda run: run.iterations == 4)
    assert (len(fit.losses), fit.stopped) == (5, "callback")
    # At the optimum no step makes it less.
    line = ln.MLP([ln.Dense([[0.0]], [0.0])], dtype="float64")
    exact = METHOD(100, tolerance_gradient=0, tolerance_change=0)
    fit = least_squares(line, [[0.0], [1.0], [2.0]], [0.1, 0.9, 0.5], exact)
    assert fit.stopped == "damping"
    expected = np.polyfit([0, 1, 2], [0.1, 0.9, 0.5], 1)
    np.testing.assert_allclose(flat(fit.network), expected, rtol=1e-7)
    run = LeastSquaresRun(line, [[1e200]], [1e200])
    assert run.loss == np.inf
    assert run.run(3).size == 0
    assert run.stopped == "not_finite"
    assert run.run(3).size == 0
    assert_array_equal(flat(run.network()), [0, 0])


def test_fewer_residuals_than_parameters() -> None:
    net = ln.MLP(NETWORKS["wide"], dtype="float64")
    fit = least_squares(net, [[1.0, 2.0, 3.0]], [[1.0, 0.5, -1.0]])
    assert fit.losses[-1] < 1e-12


def test_data_of_any_layout() -> None:
    net = ln.MLP(NETWORKS["chain"], dtype="float64")
    x, y, w = data(net, 40)
    expected = LeastSquaresRun(net, x, y, None, w).run(3)
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    found = LeastSquaresRun(net, wide, np.asfortranarray(y), None, np.repeat(w, 2)[::2]).run(3)
    assert_array_equal(found, expected)
    found = LeastSquaresRun(net, x.tolist(), y.tolist(), None, w.tolist()).run(3)
    assert_array_equal(found, expected)


X, Y = np.ones((3, 3)), np.ones((3, 2))
NAN = np.array([[1.0, 1, 1], [1, np.nan, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"X": np.ones((3, 2))}, ValueError, "X must have shape (batch, 3), got shape (3, 2)"),
        ({"X": np.ones(3)}, ValueError, "X must have shape (batch, 3), got shape (3,)"),
        ({"X": np.ones((0, 3)), "y": np.ones((0, 2))}, ValueError, "X has no samples"),
        ({"X": NAN}, ValueError, "X must be finite: row 1 is not"),
        ({"y": NAN[:, :2]}, ValueError, "y must be finite: row 1 holds NaN"),
        ({"y": np.ones((2, 2))}, ValueError, "X has 3 rows and y has 2"),
        ({"y": np.ones((3, 3))}, ValueError, "y must have shape (batch, 2)"),
        ({"sample_weight": [1, 1]}, ValueError, "sample_weight must have shape (3,)"),
        ({"sample_weight": [1, -1, 1]}, ValueError, "sample_weight[1] is -1"),
        ({"sample_weight": [1, np.inf, 1]}, ValueError, "sample_weight[1] is inf"),
        ({"sample_weight": [0, 0, 0]}, ValueError, "all sample_weight are 0"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be a LevenbergMarquardt, got str"),
        ({"net": "chain"}, TypeError, "net must be an ln.MLP, got str"),
        ({"net": ln.MLP([dense(0, 3, 2)], head="softmax")}, ValueError, "which has no head"),
        (
            {"net": ln.MLP([dense(0, 3, 300_000), dense(2, 300_000, 2)])},
            MemoryError,
            "matrices of 1,800,002 parameters take 72,420 GiB",
        ),
        (
            {"net": ln.MLP([ln.Select([0, 1])], in_features=3)},
            ValueError,
            "the network has no parameters that could be trained",
        ),
    ],
)
def test_what_is_refused(change: dict[str, object], kind: type[Exception], words: str) -> None:
    given = {"net": ln.MLP(NETWORKS["chain"]), "X": X, "y": Y, **change}
    with pytest.raises(kind) as raised:
        LeastSquaresRun(**given)
    assert words in str(raised.value)


def test_what_is_told_of_iterations_can_be_called() -> None:
    with pytest.raises(TypeError, match="on_iteration must be callable, got int"):
        least_squares(ln.MLP(NETWORKS["chain"]), X, Y, on_iteration=5)  # type: ignore[arg-type]


def test_the_core_refuses_what_python_would_have() -> None:
    """It is asked by nobody else; and must not read beyond arrays."""
    net = ln.MLP(NETWORKS["chain"], dtype="float64")
    with pytest.raises(TypeError, match="made by"):
        _core.LeastSquares()
    make = _core.LeastSquares.make
    with pytest.raises(ValueError, match="no parameters"):
        make(ln.MLP([ln.Select([0])], in_features=3, dtype="float64")._core, 1, 2, 0, 0, 0, False)
    with pytest.raises(ValueError, match="without a head"):
        make(ln.MLP([dense(0, 3, 2)], head="softmax")._core, 1, 2, 0, 0, 0, False)
    core = make(net._core, 1e-3, 1e10, 0, 0, 0, False)
    for x, y, w in ((X[:, :2], Y, None), (X, Y[:, :1], None), (X, Y[:2], None), (X, Y, np.ones(2))):
        with pytest.raises(ValueError, match=r"shape|features"):
            core.run(x, y, w, 1)
    with pytest.raises(ValueError, match="at least one sample"):
        core.run(X[:0], Y[:0], None, 1)
    with pytest.raises(ValueError, match="sum of the weights"):
        core.loss(X, Y, np.zeros(3))
