"""Steps of training in the reference: gradients by name, optimisers by hand, least squares."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import laminet as ln
from laminet import reference

EPS = float(np.finfo(np.float64).eps)
RNG = np.random.default_rng(1)
NET = ln.MLP(
    [
        ln.Rescale(2.0, 0.5),
        ln.Dense(RNG.standard_normal((5, 3)), RNG.standard_normal(5), "tanh"),
        ln.LayerNorm(RNG.standard_normal(5), RNG.standard_normal(5)),
        ln.Residual([ln.RMSNorm(RNG.standard_normal(5)), ln.Dense(RNG.standard_normal((5, 5)))]),
        ln.Activation("leaky_relu", alpha=RNG.random(5)),
        ln.Parallel(
            [
                [ln.Dense(RNG.standard_normal((2, 5)), activation="sigmoid")],
                [ln.Dropout(0.5), ln.Dense(RNG.standard_normal((2, 5)), [1.0, 2.0], "softplus")],
            ]
        ),
        ln.Dense(
            RNG.standard_normal((2, 4)),
            RNG.standard_normal(2),
            ln.Activation("gated", alpha=RNG.random(2), beta=RNG.random(2)),
        ),
    ]
)
NAMES = [
    *("layers[1].weight", "layers[1].bias", "layers[2].weight", "layers[2].bias"),
    *("layers[3].layers[0].weight", "layers[3].layers[1].weight", "layers[4].alpha"),
    *("layers[5].branches[0][0].weight", "layers[5].branches[1][1].weight"),
    *("layers[5].branches[1][1].bias", "layers[6].weight", "layers[6].bias"),
    *("layers[6].activation.alpha", "layers[6].activation.beta"),
]


def test_parameters_by_name() -> None:
    found = reference.parameters(NET)
    assert list(found) == NAMES
    assert_array_equal(found["layers[3].layers[1].weight"], NET.layers[3].layers[1].weight)
    found["layers[1].weight"][:] = 0  # a copy
    assert NET.layers[1].weight.all()
    again = reference.with_parameters(NET, reference.parameters(NET))
    assert again == NET
    values = {name: value + 1 for name, value in reference.parameters(NET).items()}
    for name, value in reference.parameters(reference.with_parameters(NET, values)).items():
        assert_array_equal(value, values[name])
    one = reference.with_parameters(NET, {"layers[6].activation.beta": [3.0, 4.0]})
    changed = {
        name
        for name, value in reference.parameters(one).items()
        if (value != reference.parameters(NET)[name]).any()
    }
    assert changed == {"layers[6].activation.beta"}
    assert one.layers[6].activation.name == "gated"


def test_parameters_that_are_none() -> None:
    with pytest.raises(ValueError, match=re.escape("no parameter 'layers[0].scale', expected lay")):
        reference.with_parameters(NET, {"layers[0].scale": 1.0})
    words = "layers[1].bias must have shape (5,), got shape (4,)"
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        reference.with_parameters(NET, {"layers[1].bias": np.zeros(4)})


@pytest.mark.parametrize("head", [None, "softmax", "log_softmax"])
def test_gradients_are_those_of_central_differences(head: str | None) -> None:
    net = ln.MLP(NET.layers, head=head)
    x, g = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 2))
    found = reference.gradients(net, x, g)
    assert list(found) == [*NAMES, "input"]
    values, h = reference.parameters(net), EPS ** (1 / 3)
    for name, value in values.items():
        for i in np.ndindex(value.shape):
            sides = []
            for side in (h, -h):
                moved = value.copy()
                moved[i] += side
                changed = reference.with_parameters(net, {name: moved})
                sides.append(float((g * reference.forward(changed, x)).sum()))
            expected = (sides[0] - sides[1]) / (2 * h)
            # h^2 times a third derivative, and eps / h times the sum; both below 1e3 here.
            assert found[name][i] == pytest.approx(expected, abs=1e3 * h * h), name
    assert_allclose(found["input"], np.einsum("bi,bij->bj", g, reference.jacobian(net, x)))
    one = reference.gradients(net, x[0], g[0])
    assert one["input"].shape == (3,)
    assert_allclose(one["input"], found["input"][0])


def test_a_step_is_made_of_its_parts() -> None:
    net = ln.MLP.init([3, 4, 2], "tanh", seed=0, head="softmax").with_outputs(
        ln.Classes(["a", "b"])
    )
    x, y, w = RNG.standard_normal((5, 3)), [0, 1, 1, 0, 1], RNG.random(5)
    method = ln.optim.AdamW(0.1, weight_decay=0.5)
    step = reference.training_step(net, x, y, "cross_entropy", method, sample_weight=w)
    assert step.network.head == "softmax"
    assert step.network.outputs == net.outputs
    assert step.network.dtype == np.float64
    logits = reference.forward(net.layers, x)
    assert step.loss == reference.loss("cross_entropy", logits, y, w)
    slopes = reference.loss_gradient("cross_entropy", logits, y, w)
    found = reference.gradients(ln.MLP(net.layers), x, slopes)
    values = reference.parameters(net)
    after, state = reference.optimizer_step(
        method, list(values.values()), [found[name] for name in values]
    )
    assert step.state.step == 1
    for name, value in zip(values, after, strict=True):
        assert_array_equal(reference.parameters(step.network)[name], value)
    assert_array_equal(step.state.optimizer.first[0], state.first[0])


def test_decayed_is_what_is_said() -> None:
    p, g = [np.full((2, 2), 4.0), np.full(2, 4.0)], [np.zeros((2, 2)), np.zeros(2)]
    method = ln.optim.AdamW(0.5, weight_decay=0.5)
    assert [a.flat[0] for a in reference.optimizer_step(method, p, g)[0]] == [3, 4]
    after, _ = reference.optimizer_step(method, p, g, decayed=[False, True])
    assert [a.flat[0] for a in after] == [4, 3]


def test_clipping_of_what_overflows_when_squared() -> None:
    method = ln.optim.SGD(1.0, clip_norm=1.0)
    after, _ = reference.optimizer_step(method, [[0.0, 0.0]], [[3e200, 4e200]])
    assert_allclose(after[0], [-0.6, -0.8])
    (after,), _ = reference.optimizer_step(method, [[0.0, 0.0]], [[0.3, 0.4]])
    assert_allclose(after, [-0.3, -0.4], rtol=0)  # below it nothing changes
    assert np.isnan(reference.optimizer_step(method, [[0.0, 0.0]], [[np.nan, 1.0]])[0]).all()


def test_frozen_parameters_stay_whatever_their_gradient() -> None:
    for method in ("sgd", "adam", "adamw", "muon"):
        p = np.ones((2, 2))
        (after,), state = reference.optimizer_step(method, [p], [p * np.nan], factors=[0])
        assert_array_equal(after, p)
        assert not np.shares_memory(after, p)
        assert not np.isnan(state.first[0]).any()


def test_a_matrix_without_gradient_has_no_direction() -> None:
    method = ln.optim.Muon(weight_decay=0)
    (after,), _ = reference.optimizer_step(method, [np.ones((2, 3))], [np.zeros((2, 3))])
    assert (after == 1).all()


def test_nothing_is_changed_in_place() -> None:
    p, g = [np.ones((2, 2))], [np.ones((2, 2))]
    for method in (ln.optim.SGD(momentum=0.9), ln.optim.AdamW(average=0.5), ln.optim.Muon()):
        _, state = reference.optimizer_step(method, p, g)
        kept = [array.copy() for part in state for array in part]
        reference.optimizer_step(method, p, g, state, 1)
        for array, before in zip([a for part in state for a in part], kept, strict=True):
            assert_array_equal(array, before)
        assert (p[0] == 1).all()
        assert (g[0] == 1).all()


def least_squares(
    seed: int = 0, method: ln.optim.LevenbergMarquardt | None = None, iterations: int = 60
) -> list[float]:
    rng = np.random.default_rng(seed)
    net = ln.MLP.init([1, 5, 1], "tanh", dtype="float64", seed=seed)
    x = np.linspace(-1, 1, 40)[:, None]
    y, w = np.sin(3 * x), rng.random(40) + 0.5
    method = ln.optim.LevenbergMarquardt() if method is None else method
    found, state = [], None
    for _ in range(iterations):
        step = reference.training_step(net, x, y, "squared_error", method, state, sample_weight=w)
        net, state = step.network, step.state
        decay = sum(float((v**2).sum()) for v in reference.parameters(net).values() if v.ndim == 2)
        outputs = reference.forward(net, x)
        loss = reference.loss("squared_error", outputs, y, w)
        found.append(loss + method.weight_decay / 2 * decay)
        if state.optimizer.stopped:
            break
    return [*found, state.optimizer]


def test_least_squares_become_small_soon() -> None:
    *losses, end = least_squares()
    assert all(after <= before for before, after in pairwise(losses))
    assert losses[-1] < 1e-6
    assert not end.stopped


def test_least_squares_of_a_linear_network_are_those_of_the_normal_equations() -> None:
    x, y = RNG.standard_normal((20, 3)), RNG.standard_normal((20, 2))
    net = ln.MLP([ln.Dense(np.zeros((2, 3)), np.zeros(2))])
    method = ln.optim.LevenbergMarquardt(damping=1e-12)
    step = reference.training_step(net, x, y, "squared_error", method)
    expected, *_ = np.linalg.lstsq(np.hstack([x, np.ones((20, 1))]), y, rcond=None)
    found = np.column_stack([step.network.layers[0].weight, step.network.layers[0].bias])
    assert_allclose(found, expected.T, rtol=1e-9)
    # Ridge regression, and the bias free: (2 X^T X / N + d) w = 2 X^T y / N, N of all residuals.
    method = ln.optim.LevenbergMarquardt(damping=1e-12, weight_decay=0.3)
    step = reference.training_step(net, x, y, "squared_error", method)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = np.linalg.solve(2 * a.T @ a / 40 + 0.3 * np.eye(3), 2 * a.T @ b / 40)
    assert_allclose(step.network.layers[0].weight, expected.T, rtol=1e-9)


def test_least_squares_stop() -> None:
    x, y = RNG.standard_normal((20, 3)), RNG.standard_normal((20, 2))
    net, state = ln.MLP([ln.Dense(np.zeros((2, 3)), np.zeros(2))]), None
    for _ in range(10):
        step = reference.training_step(net, x, y, "squared_error", "levenberg_marquardt", state)
        net, state = step.network, step.state
    assert state.optimizer.stopped == "gradient"
    *_, end = least_squares(method=ln.optim.LevenbergMarquardt(tolerance_gradient=1e9))
    assert end.stopped == "gradient"
    *_, end = least_squares(method=ln.optim.LevenbergMarquardt(tolerance_change=1.0))
    assert end.stopped == "change"
    # All steps go the wrong way: mu is 2 times 1e-3 at first, and grows by 2, 4, 8, ...
    method = ln.optim.LevenbergMarquardt(tolerance_change=0)
    after, state = reference.levenberg_marquardt_step(
        method, np.ones(1), lambda p: (p - 3, -np.eye(1))
    )
    assert after == 1
    assert state == (2e-3 * 2.0**45, 2.0**10, "damping")
    hopeless = reference.levenberg_marquardt_step(
        ln.optim.LevenbergMarquardt(), np.ones(1), lambda p: (np.array([np.nan]), np.eye(1))
    )
    assert hopeless[1].stopped == "damping"


STEP = reference.training_step
PLAIN = ln.MLP([ln.Dense([[1.0, 2.0]])])
X, Y = np.ones((3, 2)), np.ones(3)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: reference.gradients(PLAIN, np.ones(3), [1.0]),
            ValueError,
            "x must have shape (2,) or (batch, 2), got shape (3,)",
        ),
        (
            lambda: reference.gradients(PLAIN, X, Y),
            ValueError,
            "grad_output must have shape (3, 1), got shape (3,)",
        ),
        (
            lambda: STEP(PLAIN, Y, Y, "huber", "sgd"),
            ValueError,
            "X must have shape (batch, 2), got shape (3,)",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "hubert", "sgd"),
            ValueError,
            "unknown loss 'hubert', did you mean 'huber'?",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "huber", "sdg"),
            ValueError,
            "unknown optimizer 'sdg', expected one of sgd",
        ),
        (
            lambda: STEP(ln.MLP(NET.layers, head="softmax"), X, Y, "squared_error", "sgd"),
            ValueError,
            "the network ends in softmax, whose loss is cross_entropy, and the loss is squared_er",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "huber", "levenberg_marquardt"),
            ValueError,
            "LevenbergMarquardt is for squared_error alone, and the loss is huber",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "huber", "lbfgs"),
            TypeError,
            "optimizer must be one that follows gradients, or LevenbergMarquardt, got LBFGS",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "huber", ln.optim.SGD(learning_rate_factors=[1, 1])),
            ValueError,
            "learning_rate_factors has 2 numbers, the network has 1 layers",
        ),
        (
            lambda: STEP(PLAIN, X, Y, "huber", ln.optim.SGD(schedule="cosine")),
            ValueError,
            "Cosine() needs to know how many steps there will be",
        ),
        (
            lambda: reference.optimizer_step("lbfgs", [Y], [Y]),
            TypeError,
            "optimizer must be one that follows gradients, SGD, Adam, AdamW or Muon, got LBFGS",
        ),
        (
            lambda: reference.optimizer_step("sgd", [Y], [Y, Y]),
            ValueError,
            "gradients has 2 arrays, parameters has 1",
        ),
        (
            lambda: reference.optimizer_step("sgd", [Y], [X]),
            ValueError,
            "gradients[0] must have shape (3,), got shape (3, 2)",
        ),
        (
            lambda: reference.optimizer_step("sgd", [Y], [Y], factors=[]),
            ValueError,
            "factors has 0 elements, parameters has 1",
        ),
        (
            lambda: reference.optimizer_step("sgd", [Y], [Y], decayed=[True, False]),
            ValueError,
            "decayed has 2 elements, parameters has 1",
        ),
    ],
)
def test_bad_arguments(call: Callable[[], object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match="^" + re.escape(words)):
        call()


def test_a_state_of_another_optimizer_is_refused() -> None:
    net = ln.MLP([ln.Dense([[1.0]], [0.0])])
    data = ([[1.0], [2.0]], [1.0, 3.0], "squared_error")
    squares = ln.optim.LevenbergMarquardt()
    for one, other in ((squares, "adam"), ("adam", squares)):
        state = reference.training_step(net, *data, one).state
        with pytest.raises(TypeError, match="state is of another optimiser"):
            reference.training_step(net, *data, other, state)
