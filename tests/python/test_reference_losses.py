"""Losses of the reference: by central differences, at extremes, with weights; what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import laminet as ln
from laminet import reference
from laminet.losses import Loss

EPS = float(np.finfo(np.float64).eps)
INF, NAN = float("inf"), float("nan")
LEVELS = (0.1, 0.5, 0.8)
LOSSES: list[Loss] = [
    ln.losses.SquaredError(),
    ln.losses.AbsoluteError(),
    ln.losses.Huber(0.7),
    ln.losses.Quantile(LEVELS),
    ln.losses.Poisson(),
    ln.losses.CrossEntropy(),
    ln.losses.CrossEntropy(0.2),
    ln.losses.BinaryCrossEntropy(),
    ln.losses.BinaryCrossEntropy(0.2),
]
BATCH, OUTPUTS = 5, 6


def targets_of(loss: Loss, rng: np.random.Generator, labels: bool = True) -> np.ndarray:
    if loss.name == "cross_entropy":
        if labels:
            return rng.integers(0, OUTPUTS, BATCH)
        return rng.dirichlet(np.ones(OUTPUTS), BATCH)
    y = rng.standard_normal((BATCH, loss.num_targets(OUTPUTS)))
    return np.round(np.exp(y)) if loss.name == "poisson" else 1 / (1 + np.exp(-y))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_gradients_are_those_of_central_differences(
    loss: Loss, labels: bool, weighted: bool
) -> None:
    rng = np.random.default_rng(3)
    o, y = rng.standard_normal((BATCH, OUTPUTS)), targets_of(loss, rng, labels)
    weight = rng.random(BATCH) + 0.1 if weighted else None
    classes = rng.random(OUTPUTS) + 0.1 if weighted and loss.name == "cross_entropy" else None
    found = reference.loss_gradient(loss, o, y, weight, classes)
    h = EPS ** (1 / 3)
    expected = np.empty_like(o)
    for i in np.ndindex(o.shape):
        sides = []
        for side in (h, -h):
            moved = o.copy()
            moved[i] += side
            sides.append(reference.loss(loss, moved, y, weight, classes))
        expected[i] = (sides[0] - sides[1]) / (2 * h)
    # h^2 times a third derivative below 10, and eps / h for losses below 10; no kink is so near.
    assert_allclose(found, expected, rtol=0, atol=10 * h * h + 10 * EPS / h)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("size", [800.0, 1e150, 1e300])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_no_finite_output_gives_nan(loss: Loss, size: float) -> None:
    o = np.array([[size] * 6, [-size] * 6, [size, -size, 0, 1, -1, size], [-size, 0, 0, 0, 0, 0]])
    for hot in range(6):
        y = np.zeros((4, loss.num_targets(6)))
        y[:, hot % y.shape[1]] = 1
        for targets in (y, y.argmax(axis=1)) if loss.name == "cross_entropy" else (y,):
            for row in range(4):
                one = o[row : row + 1], targets[row : row + 1]
                assert not np.isnan(reference.loss(loss, *one))
                slopes = reference.loss_gradient(loss, *one)
                assert not np.isnan(slopes).any()
                if "cross" in loss.name:
                    assert np.isfinite(reference.loss(loss, *one))
                    assert np.abs(slopes).max() <= 1


def test_values_at_extremes() -> None:
    def binary(o: float, y: float) -> float:
        return reference.loss("binary_cross_entropy", [[o]], [y])

    assert binary(1e300, 1) == 0
    assert binary(1e300, 0) == binary(-1e300, 1) == 1e300
    # log1p(exp(-o)): without cancellation it is exp(-o).
    assert binary(50.0, 1) == pytest.approx(np.exp(-50.0), rel=4 * EPS)
    assert reference.loss_gradient("binary_cross_entropy", [[-700.0]], [0]) == pytest.approx(
        np.exp(-700.0), rel=4 * EPS
    )
    assert reference.loss("cross_entropy", [[1e300, -1e300]], [0]) == 0
    assert reference.loss("cross_entropy", [[1e300, 0.0]], [1]) == 1e300
    assert binary(1e3, 1 - 2.0**-53) == 1e3 * 2.0**-53
    assert reference.loss("poisson", [[1e300]], [1e10]) == INF
    assert reference.loss("poisson", [[-1e300]], [2]) == 2e300
    assert reference.loss("squared_error", [[1e300]], [0.0]) == INF


def test_at_a_target_the_slope_of_a_kink_is_0() -> None:
    assert_array_equal(reference.loss_gradient("absolute_error", [[2.0]], [2.0]), [[0.0]])
    assert_array_equal(reference.loss_gradient("quantile", [[2.0]], [2.0]), [[0.0]])


def test_quantiles_of_a_target_stand_side_by_side() -> None:
    loss = ln.losses.Quantile((0.1, 0.8))
    o, y = np.array([[1.0, 2.0, 30.0, 40.0]]), np.array([[1.5, 35.0]])
    errors = [0.1 * 0.5, 0.2 * 0.5, 0.1 * 5, 0.2 * 5]
    assert reference.loss(loss, o, y) == pytest.approx(sum(errors) / 4)
    assert_allclose(reference.loss_gradient(loss, o, y), np.array([[-0.1, 0.2, -0.1, 0.2]]) / 4)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_weights_are_numbers_of_samples(loss: Loss) -> None:
    rng = np.random.default_rng(4)
    o, y = rng.standard_normal((BATCH, OUTPUTS)), targets_of(loss, rng)
    times = np.array([2, 0, 1, 3, 1])
    o[1] = 1e300  # of weight 0, it does not count, though some losses of it are infinite
    rows = np.repeat(np.arange(BATCH), times)
    found = reference.loss(loss, o, y, times)
    assert found == pytest.approx(reference.loss(loss, o[rows], y[rows]), rel=20 * EPS)
    slopes = reference.loss_gradient(loss, o, y, times)
    summed = np.zeros_like(slopes)
    np.add.at(summed, rows, reference.loss_gradient(loss, o[rows], y[rows]))
    assert_allclose(slopes, summed, rtol=20 * EPS, atol=20 * EPS)
    # Scale does not matter, even where the sum overflows.
    assert reference.loss(loss, o, y, times * 5e307) == pytest.approx(found, rel=20 * EPS)


def test_without_any_weight_there_is_no_loss() -> None:
    arguments = "squared_error", [[1.0], [2.0]], [0.0, 0.0], [0, 0]
    assert reference.loss(*arguments) == 0
    assert_array_equal(reference.loss_gradient(*arguments), [[0.0], [0.0]])


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("mse", [[1.0]], [1.0]), ValueError, "unknown loss 'mse', did you mean 'squared_error'?"),
        (
            ("huber", [1.0], [1.0]),
            ValueError,
            "outputs must have shape (batch, out_features), none of them 0, got shape (1,)",
        ),
        (
            ("huber", np.zeros((0, 1)), []),
            ValueError,
            "outputs must have shape (batch, out_features), none of them 0, got shape (0, 1)",
        ),
        (("huber", [["a"]], [1.0]), TypeError, "outputs must hold real numbers"),
        (
            ("huber", [[1.0]], [1.0, 2.0]),
            ValueError,
            "targets has 2 samples, outputs has 1",
        ),
        (("huber", [[1.0]], [NAN]), ValueError, "targets must be finite: row 0 holds NaN"),
        (
            ("huber", [[1.0]], [1.0], [1.0, 2.0]),
            ValueError,
            "sample_weight must have shape (1,), got shape (2,)",
        ),
        (
            ("huber", [[1.0], [1.0]], [1.0, 1.0], [1.0, -1.0]),
            ValueError,
            "sample_weight must be finite and at least 0: sample_weight[1] is -1",
        ),
        (
            ("huber", [[1.0]], [1.0], [INF]),
            ValueError,
            "sample_weight must be finite and at least 0: sample_weight[0] is inf",
        ),
        (
            ("huber", [[1.0]], [1.0], None, [1.0]),
            ValueError,
            "class_weight is for cross_entropy, and the loss is huber: give sample_weight",
        ),
        (
            ("cross_entropy", [[1.0, 2.0]], [0], None, [1.0]),
            ValueError,
            "class_weight must have shape (2,), got shape (1,)",
        ),
        (
            ("cross_entropy", [[1.0, 2.0]], [0], None, [1.0, NAN]),
            ValueError,
            "class_weight must be finite and at least 0: class_weight[1] is nan",
        ),
    ],
)
def test_bad_arguments(arguments, kind, words) -> None:
    for function in (reference.loss, reference.loss_gradient):
        with pytest.raises(kind, match="^" + re.escape(words)):
            function(*arguments)


@pytest.mark.parametrize("size", [1e308, 1e-320])
def test_class_weights_count_against_each_other_alone(size: float) -> None:
    outputs, labels = [[0.0, 1.0], [2.0, 0.0]], [0, 1]
    plain = reference.loss("cross_entropy", outputs, labels)
    assert reference.loss("cross_entropy", outputs, labels, class_weight=[size, size]) == plain
