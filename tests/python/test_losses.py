"""Losses: arguments and names, what they take as targets, and the words of what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import laminet as ln
from laminet.losses import LOSSES, Loss, as_loss

INF, NAN = float("inf"), float("nan")
ALL = [
    *(kind() for kind in LOSSES),
    ln.losses.Huber(2.5),
    ln.losses.Quantile((0.1, 0.5, 0.9)),
    ln.losses.CrossEntropy(label_smoothing=0.1),
    ln.losses.BinaryCrossEntropy(0.2),
]


def names_of(losses: list[Loss]) -> list[str]:
    return [repr(loss) for loss in losses]


@pytest.mark.parametrize("loss", ALL, ids=names_of(ALL))
def test_a_loss_is_a_value(loss: Loss) -> None:
    described = json.loads(json.dumps(loss.to_dict()))
    assert described["name"] == loss.name
    for other in (
        as_loss(loss),
        as_loss(described),
        copy.deepcopy(loss),
        pickle.loads(pickle.dumps(loss)),
        eval(f"ln.losses.{loss!r}", {"ln": ln}),
    ):
        assert other == loss
        assert hash(other) == hash(loss)
        assert type(other) is type(loss)
    assert type(loss).__module__ == "laminet.losses"
    field = (*(f.name for f in dataclasses.fields(loss)), "name")[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(loss, field, 1.0)


def test_names() -> None:
    names = ["squared_error", "absolute_error", "huber", "quantile", "poisson", "cross_entropy"]
    names.append("binary_cross_entropy")
    assert [kind.name for kind in LOSSES] == names
    for name, kind in zip(names, LOSSES, strict=True):
        assert as_loss(name) == kind()
    assert as_loss("huber").to_dict() == {"name": "huber", "delta": 1.0}
    quantile = ln.losses.Quantile(np.array([0.25, 0.75]))
    assert quantile.to_dict() == {"name": "quantile", "levels": [0.25, 0.75]}
    assert ln.losses.Quantile(0.3) == ln.losses.Quantile([0.3])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mse", "squared_error"),
        ("SquaredError", "squared_error"),
        ("L1Loss", "absolute_error"),
        ("smooth_l1", "huber"),
        ("hubber", "huber"),
        ("pinball", "quantile"),
        ("PoissonNLLLoss", "poisson"),
        ("log_loss", "cross_entropy"),
        ("crossentropy", "cross_entropy"),
        ("bce_with_logits", "binary_cross_entropy"),
    ],
)
def test_a_loss_by_another_name(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match="unknown loss") as caught:
        as_loss(name)
    start = f"unknown loss {name!r}, did you mean {meant!r}? Expected one of squared_error, "
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize("name", ["rmse", "focal", "squared_hinge", "x", ""])
def test_another_loss_is_not_suggested(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown criterion '{name}', expected one of squared_er"):
        as_loss(name, "criterion")


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: ln.losses.Huber(0), ValueError, "delta must be above 0, got 0"),
        (lambda: ln.losses.Huber(-1), ValueError, "delta must be above 0, got -1"),
        (lambda: ln.losses.Huber(INF), ValueError, "delta must be finite, got inf"),
        (lambda: ln.losses.Huber(NAN), ValueError, "delta must be finite, got nan"),
        (lambda: ln.losses.Huber(10**400), ValueError, "delta is too large for a float"),
        (lambda: ln.losses.Huber("1"), TypeError, "delta must be a real number, got str"),
        (lambda: ln.losses.Huber(True), TypeError, "delta must be a real number, got bool"),
        (
            lambda: ln.losses.CrossEntropy(1),
            ValueError,
            "label_smoothing must be at least 0 and below 1, got 1",
        ),
        (
            lambda: ln.losses.BinaryCrossEntropy(-0.1),
            ValueError,
            "label_smoothing must be at least 0 and below 1, got -0.1",
        ),
        (
            lambda: ln.losses.CrossEntropy(None),
            TypeError,
            "label_smoothing must be a real number, got NoneType",
        ),
        (
            lambda: ln.losses.Quantile(()),
            ValueError,
            "levels is empty; a quantile needs at least one",
        ),
        (
            lambda: ln.losses.Quantile((0.5, 1)),
            ValueError,
            "levels[1] must be above 0 and below 1, got 1",
        ),
        (
            lambda: ln.losses.Quantile(0),
            ValueError,
            "levels[0] must be above 0 and below 1, got 0",
        ),
        (
            lambda: ln.losses.Quantile((0.5, 0.5)),
            ValueError,
            "levels must increase, and levels[1] is 0.5 after 0.5",
        ),
        (
            lambda: ln.losses.Quantile((0.1, 0.9, 0.5)),
            ValueError,
            "levels must increase, and levels[2] is 0.5 after 0.9",
        ),
        (lambda: ln.losses.Quantile("0.5"), TypeError, "levels[0] must be a real number, got str"),
        (
            lambda: ln.losses.Quantile({0.5}),
            TypeError,
            "levels[0] must be a real number, got set",
        ),
        (
            lambda: as_loss(None),
            TypeError,
            "loss must be one such as ln.losses.SquaredError(), or a name, got NoneType",
        ),
        (
            lambda: as_loss(ln.losses.Huber),
            TypeError,
            "loss must be one such as ln.losses.SquaredError(), or a name, got Huber itself",
        ),
        (
            lambda: as_loss({"delta": 1.0}),
            ValueError,
            "loss is a dict with the name None, expected one of squared_error, ",
        ),
        (
            lambda: as_loss({"name": "huber", "beta": 1.0}),
            ValueError,
            "loss is a dict: Huber has no 'beta'",
        ),
    ],
)
def test_bad_parameters(make: Callable[[], Loss], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match="^" + re.escape(words)):
        make()


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "shape", "dtype"),
    [
        ("squared_error", 1, [1, 2, 3], (3, 1), np.float64),
        ("squared_error", 2, [[1, 2], [3, 4]], (2, 2), np.float64),
        ("quantile", 1, [1.0], (1, 1), np.float64),
        (ln.losses.Quantile((0.1, 0.9)), 4, [[1.0, 2.0]], (1, 2), np.float64),
        ("poisson", 1, [0, 5], (2, 1), np.float64),
        ("binary_cross_entropy", 1, [True, False], (2, 1), np.float64),
        ("binary_cross_entropy", 2, [[0, 1], [0.25, 1]], (2, 2), np.float64),
        ("cross_entropy", 3, [2, 0], (2,), np.int64),
        ("cross_entropy", 3, np.array([2, 0], np.uint8), (2,), np.int64),
        ("cross_entropy", 3, [[2], [0]], (2,), np.int64),
        ("cross_entropy", 2, [True, False], (2,), np.int64),
        ("cross_entropy", 2, [[0.25, 0.75]], (1, 2), np.float64),
        ("cross_entropy", 2, np.zeros(0, int), (0,), np.int64),
    ],
)
def test_targets(loss, outputs, targets, shape, dtype) -> None:
    array = as_loss(loss).as_targets(targets, outputs)
    assert array.shape == shape
    assert array.dtype == dtype
    assert_array_equal(array.ravel(), np.ravel(targets))


def test_targets_of_the_right_dtype_are_not_copied() -> None:
    y = np.zeros((3, 2), np.float32)
    assert np.shares_memory(as_loss("squared_error").as_targets(y, 2, np.float32), y)
    labels = np.zeros(3, np.int64)
    assert np.shares_memory(as_loss("cross_entropy").as_targets(labels, 2), labels)


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "kind", "words"),
    [
        (
            "squared_error",
            2,
            [1.0, 2.0],
            ValueError,
            "y must have shape (batch, 2) for SquaredError of 2 outputs, got shape (2,)",
        ),
        (
            "huber",
            1,
            [[1.0, 2.0]],
            ValueError,
            "y must have shape (batch, 1) or (batch,) for Huber of 1 output, got shape (1, 2)",
        ),
        (
            ln.losses.Quantile((0.1, 0.9)),
            3,
            [[1.0]],
            ValueError,
            "Quantile of 2 levels takes a multiple of 2 outputs, the network has 3",
        ),
        ("squared_error", 1, [1.0, NAN], ValueError, "y must be finite: row 1 holds NaN"),
        ("squared_error", 1, [-INF, NAN], ValueError, "y must be finite: row 0 holds an infinity"),
        ("squared_error", 1, ["a"], TypeError, "y must hold real numbers"),
        ("squared_error", 1, [1j], TypeError, "y must hold real numbers"),
        ("poisson", 1, [1, -2], ValueError, "y must be at least 0 for Poisson: row 1 holds -2"),
        (
            "binary_cross_entropy",
            2,
            [[0, 1], [1, 1.5]],
            ValueError,
            "y must be from 0 to 1 for BinaryCrossEntropy: row 1 holds 1.5",
        ),
        (
            "cross_entropy",
            1,
            [0],
            ValueError,
            "CrossEntropy takes two outputs or more, the network has 1: BinaryCrossEntropy is the",
        ),
        (
            "cross_entropy",
            3,
            [0, 3],
            ValueError,
            "y must hold labels from 0 to 2: row 1 holds 3",
        ),
        ("cross_entropy", 3, [-1], ValueError, "y must hold labels from 0 to 2: row 0 holds -1"),
        (
            "cross_entropy",
            3,
            [0.0, 1.0],
            TypeError,
            "y must hold integers where it holds labels, got float64; y.astype(int) makes such, "
            "and probabilities have shape (batch, 3)",
        ),
        (
            "cross_entropy",
            2,
            [[0.5, 0.5], [0.5, 0.6]],
            ValueError,
            "y must hold probabilities that sum to 1: those of row 1 sum to 1.1",
        ),
        (
            "cross_entropy",
            2,
            [[-0.5, 1.5]],
            ValueError,
            "y must hold probabilities: row 0 holds -0.5",
        ),
        (
            "cross_entropy",
            2,
            [[0.5, 0.25, 0.25]],
            ValueError,
            "y must have shape (batch, 2) for CrossEntropy of 2 outputs, got shape (1, 3)",
        ),
    ],
)
def test_bad_targets(loss, outputs, targets, kind, words) -> None:
    with pytest.raises(kind, match="^" + re.escape(words)):
        as_loss(loss).as_targets(targets, outputs)
