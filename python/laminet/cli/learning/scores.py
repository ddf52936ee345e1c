"""How well a network does on samples, beside models that anybody would try first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Quantities
from laminet.core.wording import figure
from laminet.optim import Adam, LevenbergMarquardt
from laminet.training import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from laminet.cli.learning.lesson import Lesson, Part

__all__ = ["Trial", "better_linear", "linear_model", "score_table", "trivial_model"]

# Parameters of a linear model up to which its least squares are solved exactly: their square takes
# 32 MB, and the time that of a blink.
_MOST_EXACT = 2000
_LINEAR_RATE = 1e-2
_LINEAR_EPOCHS = 200
_LINEAR_PATIENCE = 10


class Trial:
    """A model with the name that the table gives it."""

    def __init__(self, name: str, net: MLP) -> None:
        self.name, self.net = name, net

    def losses(self, part: Part) -> NDArray[np.float64]:
        """Return a loss of each sample and target (rows, targets), or of each class (rows, 1)."""
        y = self.net(part.x)
        if isinstance(self.net.outputs, Classes):
            return np.asarray(y.argmax(axis=1) != part.y, np.float64)[:, None]
        return np.asarray((y - part.y) ** 2, np.float64)

    def scores(self, part: Part) -> list[list[float]]:
        """Return the figures of each target, or those of the classes.

        Numbers have the root of the mean square error, the mean absolute error, and the
        coefficient of determination; classes the share of right ones, and the mean logarithm of the
        probabilities of the right ones, with a minus.
        """
        if isinstance(self.net.outputs, Classes):
            logs = self.net.predict_log_proba(part.x).astype(np.float64)
            right = logs[np.arange(len(part)), part.y]
            return [[100 * float((logs.argmax(axis=1) == part.y).mean()), -float(right.mean())]]
        squares = self.losses(part).mean(axis=0)
        spread = part.y.var(axis=0)
        # Of what does not vary, as one sample does not, nothing can be explained.
        shares = np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1), np.nan)
        absolute = np.abs(self.net(part.x) - part.y).mean(axis=0)
        figures: list[list[float]] = np.column_stack([np.sqrt(squares), absolute, shares]).tolist()
        return figures


def trivial_model(lesson: Lesson) -> Trial:
    """Return the model that says the same of every sample: the mean, or the shares of classes."""
    training = lesson.training
    weight = np.zeros((_width(lesson), training.x.shape[1]))
    if lesson.labels is None:
        net = MLP([Dense(weight, training.y.mean(axis=0))], outputs=Quantities())
        return Trial("the mean", net)
    counts = np.bincount(training.y, minlength=len(lesson.labels))
    with np.errstate(divide="ignore"):
        logits = np.log(counts / counts.sum())
    # A class that is not among the samples: -inf would be NaN after log_softmax.
    net = MLP([Dense(weight, np.maximum(logits, -1e3))], outputs=Classes(lesson.labels))
    return Trial(f"always {str(lesson.labels[counts.argmax()])[:30]!r}", net)


def linear_model(lesson: Lesson, dtype: np.dtype[Any], seed: int) -> Trial:
    """Return a linear model that laminet has fitted to the same samples."""
    training = lesson.training
    sizes = [training.x.shape[1], _width(lesson)]
    if lesson.labels is None:
        start = MLP.init(sizes, dtype="float64", seed=seed, outputs=Quantities())
        exact = start.num_parameters <= _MOST_EXACT
        found = fit(
            start,
            training.x,
            training.y,
            optimizer=LevenbergMarquardt() if exact else Adam(_LINEAR_RATE),
            epochs=_LINEAR_EPOCHS,
            patience=None if exact else _LINEAR_PATIENCE,
            standardize="both",
            seed=seed,
            progress=False,
        )
        return Trial("least squares" if exact else "linear model", found.network)
    start = MLP.init(sizes, dtype=dtype, seed=seed, outputs=Classes(lesson.labels))
    held_out = lesson.validation
    found = fit(
        start,
        training.x,
        lesson.labels[training.y],
        optimizer=Adam(_LINEAR_RATE),
        epochs=_LINEAR_EPOCHS,
        patience=_LINEAR_PATIENCE,
        validation=(held_out.x, lesson.labels[held_out.y]) if len(held_out) else None,
        standardize="inputs",
        seed=seed,
        progress=False,
    )
    return Trial("logistic regression", found.network)


def score_table(lesson: Lesson, part: Part, trials: Sequence[Trial]) -> list[list[str]]:
    """Return the rows of the closing table."""
    found = [trial.scores(part) for trial in trials]
    if lesson.labels is not None:
        rows = [["", "right", "log loss"]]
        for trial, ((right, loss),) in zip(trials, found, strict=True):
            rows.append([trial.name, f"{right:.1f} %", figure(loss)])
        return rows
    rows = [["target", "model", "RMSE", "mean error", "R2"]]
    for i, target in enumerate(lesson.targets):
        for trial, scores in zip(trials, found, strict=True):
            numbers = [figure(value) for value in scores[i][:2]]
            share = (
                "" if np.isnan(scores[i][2]) else f"{scores[i][2]:.3f}".replace("-0.000", "0.000")
            )
            rows.append([target if trial is trials[0] else "", trial.name, *numbers, share])
    return rows


def better_linear(part: Part, network: Trial, linear: Trial) -> bool:
    """Whether a linear model is better by more than chance would be, in most of the targets.

    That is: by twice the standard error of the mean difference of the losses of samples, which are
    1 for a wrong class and 0 for a right one, or squares of errors.
    """
    difference = network.losses(part) - linear.losses(part)
    error = difference.std(axis=0) / np.sqrt(len(part))
    return bool((difference.mean(axis=0) > 2 * error).mean() > 0.5)


def _width(lesson: Lesson) -> int:
    return len(lesson.targets if lesson.labels is None else lesson.labels)
