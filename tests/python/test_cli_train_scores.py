"""The parts of a table, and the figures of ``laminet train``'s closing table, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from command_train import ROWS, in_folder

import laminet as ln
from laminet.cli.learning.lesson import Choices, Lesson, Part, lesson_of
from laminet.cli.learning.scores import (
    Trial,
    better_linear,
    linear_model,
    score_table,
    trivial_model,
)
from laminet.files.tables import read_table

__all__ = ["in_folder"]  # a fixture

FLOAT32 = np.dtype(np.float32)


def lesson(target: str, ignore: str, test: float = 0.2, seed: int = 0, **more: Any) -> Lesson:
    table = read_table("t.csv", "csv", asked=[target])
    choices = Choices([target], ignore=[ignore], **more)
    return lesson_of(table, choices, FLOAT32, test, 0.3, seed)


def test_parts_hold_every_row_once() -> None:
    found = lesson("price", "kind")
    parts = (found.training, found.validation, found.test)
    assert [len(part) for part in parts] == [200, 120, 80]
    rows = np.concatenate([np.column_stack([part.x, part.y]) for part in parts])
    table = read_table("t.csv", "csv", asked=["price"])
    numbers = [table.columns[i].numbers for i in (2, 3, 4)]
    expected = np.column_stack([n for n in numbers if n is not None])
    assert sorted(map(tuple, rows[:, -3:])) == sorted(map(tuple, expected))
    colors = table.columns[0].texts(True)
    assert [list(rows[:, :3].sum(axis=0))] == [
        [colors.count(c) for c in ("green", "light blue", "red")]
    ]
    other = lesson("price", "kind", seed=1)
    assert not np.array_equal(other.test.y, found.test.y)
    assert np.array_equal(lesson("price", "kind").test.y, found.test.y)


def test_parts_have_of_each_class_its_share() -> None:
    found = lesson("kind", "price")
    # Half of the rows are of each class (command_train).
    for part in (found.training, found.validation, found.test):
        assert np.bincount(part.y).tolist() == [len(part) // 2] * 2
    assert found.classes is not None
    assert found.classes.tolist() == ["high", "low"]


def test_nothing_of_what_is_held_out_fills_gaps() -> None:
    table = read_table("t.csv", "csv", asked=["price"])
    gaps = np.arange(ROWS) % 3 == 0
    ages = table.columns[2].numbers
    assert ages is not None
    ages[gaps] = np.nan
    found = lesson_of(
        table, Choices(["price"], columns=["age", "w"], missing="mean"), FLOAT32, 0.4, 0.2, 0
    )
    own = found.training.x[:, 0]
    # The mean of those that are there is that of all, with gaps filled by it.
    filled = own.mean()
    assert filled == pytest.approx(found.training.x[own != filled, 0].mean(), rel=1e-12)
    counts = [int(np.isclose(part.x[:, 0], filled).sum()) for part in (found.training, found.test)]
    assert min(counts) > 20
    total = sum(np.isclose(p.x[:, 0], filled).sum() for p in (found.training, found.test))
    assert total + np.isclose(found.validation.x[:, 0], filled).sum() == gaps.sum()


def test_least_squares_are_those_of_numpy() -> None:
    found = lesson("price", "kind")
    x, y = found.training.x, found.training.y
    # Of the columns of one text each row has a 1: they and a constant have no single solution.
    with_ones = np.column_stack([x, np.ones(len(x))])
    weights = np.linalg.lstsq(with_ones, y, rcond=None)[0]
    expected = np.column_stack([found.test.x, np.ones(80)]) @ weights
    model = linear_model(found, FLOAT32, 0)
    assert model.name == "least squares"
    np.testing.assert_allclose(model.net(found.test.x), expected, rtol=1e-6, atol=1e-6)


def test_figures_of_numbers() -> None:
    found = lesson("price", "kind")
    y = found.test.y[:, 0]
    guess = found.training.y.mean()
    trial = trivial_model(found)
    np.testing.assert_allclose(trial.net(found.test.x), guess, rtol=1e-6)
    expected = [
        np.sqrt(np.mean((y - guess) ** 2)),
        np.abs(y - guess).mean(),
        1 - np.mean((y - guess) ** 2) / y.var(),
    ]
    np.testing.assert_allclose(trial.scores(found.test), [expected], rtol=1e-6)
    rows = score_table(found, found.test, [trial])
    assert rows[0] == ["target", "model", "RMSE", "MAE", "R2"]
    assert rows[1][:2] == ["price", "the mean"]
    assert float(rows[1][4]) == pytest.approx(expected[2], abs=5e-4)
    # Of one sample nothing varies, and a mean of its own part explains nothing, without a minus.
    assert score_table(found, Part(found.test.x[:1], found.test.y[:1]), [trial])[1][4] == ""
    assert score_table(found, found.training, [trial])[1][4] == "0.000"


def test_figures_of_classes() -> None:
    found = lesson("kind", "price")
    rare = Part(found.training.x[:-90], np.sort(found.training.y)[:-90])
    uneven = Lesson(
        rare,
        *(found.validation, found.test, found.features, found.columns, found.targets),
        task="classes",
        classes=found.classes,
    )
    assert np.bincount(rare.y).tolist() == [100, 10]
    trial = trivial_model(uneven)
    assert trial.name == "always 'high'"
    loss = -(np.log(100 / 110) + np.log(10 / 110)) / 2
    np.testing.assert_allclose(trial.scores(found.test), [[50, loss]], rtol=1e-6)
    rows = score_table(uneven, found.test, [trial])
    assert rows[0] == ["", "accuracy", "log loss"]
    assert rows[1][:2] == ["always 'high'", "50.0 %"]
    linear = linear_model(found, FLOAT32, 0)
    assert linear.name == "logistic regression"
    assert len([a for a in linear.net.layers if isinstance(a, ln.Dense)]) == 1
    proba = linear.net.predict_proba(found.test.x).astype(np.float64)
    right = np.mean(linear.net.predict(found.test.x) == np.array(["high", "low"])[found.test.y])
    expected = [100 * right, -np.log(proba[np.arange(80), found.test.y]).mean()]
    np.testing.assert_allclose(linear.scores(found.test), [expected], rtol=1e-5)


def test_a_class_that_is_not_learnt_from_has_a_finite_loss() -> None:
    found = lesson("kind", "price")
    one = Part(found.training.x[:5], np.zeros(5, np.int64))
    rest = (found.validation, found.test, found.features, found.columns, found.targets)
    trial = trivial_model(Lesson(one, *rest, task="classes", classes=found.classes))
    ((right, loss),) = trial.scores(found.test)
    assert right == 50
    assert np.isfinite(loss)


@pytest.mark.parametrize(("shift", "better"), [(0.0, False), (0.02, False), (1.0, True)])
def test_chance_makes_no_model_better(shift: float, better: bool) -> None:
    """Errors of deviation 1: their squares differ by a mean of shift^2 - 0 within 2 / 10 * 2."""
    random = np.random.default_rng(0)
    part = Part(random.standard_normal((100, 1)), random.standard_normal((100, 1)))
    zero = ln.MLP([ln.Dense([[0.0]], [0.0])], outputs=ln.Quantities())
    other = ln.MLP([ln.Dense([[0.0]], [shift])], outputs=ln.Quantities())
    assert better_linear(part, Trial("", other), Trial("", zero)) is better
    assert not better_linear(part, Trial("", zero), Trial("", zero))


def test_the_better_of_classes_has_more_of_them_right() -> None:
    x = np.linspace(-1, 1, 100)[:, None]
    part = Part(x, (x[:, 0] > 0).astype(np.int64))
    right = ln.MLP([ln.Dense([[-1.0], [1.0]])], outputs=ln.Classes(["a", "b"]))
    wrong = ln.MLP([ln.Dense([[-1.0], [1.0]], [1.0, 0.0])], outputs=ln.Classes(["a", "b"]))
    assert better_linear(part, Trial("", wrong), Trial("", right))
    assert not better_linear(part, Trial("", right), Trial("", wrong))


def test_figures_of_labels() -> None:
    found = lesson("price", "kind")
    y = np.column_stack([found.test.x[:, 0], found.test.x[:, 1] * 0])
    of = Part(found.training.x, np.column_stack([found.training.x[:, 0], np.zeros(200)]))
    labels = Lesson(
        of, of, Part(found.test.x, y), found.features, found.columns, ("a", "b"), task="labels"
    )
    trial = trivial_model(labels)
    share = of.y[:, 0].mean()
    # Green is the color of a third of the rows; the other label is never there.
    expected = 100 * (1 - y[:, 0].mean())
    loss = -np.mean(np.where(y[:, 0] == 1, np.log(share), np.log(1 - share)))
    (first, second) = trial.scores(labels.test)
    np.testing.assert_allclose(first, [expected, loss], rtol=1e-6)
    np.testing.assert_allclose(second, [100, 0], atol=1e-12)
    linear = linear_model(labels, FLOAT32, 0)
    assert linear.name == "logistic regression"
    assert linear.scores(labels.test)[0][0] == 100
    rows = score_table(labels, labels.test, [linear, trial])
    assert rows[0] == ["target", "model", "accuracy", "log loss"]
    assert [row[:2] for row in rows[1:3]] == [["a", linear.name], ["", "the more frequent"]]
    assert not better_linear(labels.test, trial, trial)
    # A label is there from a probability of 1/2 on.
    net = ln.MLP([ln.Dense(np.zeros((2, 7)), [0.2, -0.2])], outputs=ln.Labels(["a", "b"]))
    assert Trial("", net).losses(Part(found.test.x, np.ones((80, 2)))).mean(axis=0).tolist() == [
        0,
        1,
    ]
