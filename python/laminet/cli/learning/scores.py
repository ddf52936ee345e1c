"""How well a network does on samples, beside models that anybody would try first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.cli.common import one_line
from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels
from laminet.core.wording import figure
from laminet.optim import Adam, LevenbergMarquardt
from laminet.training import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from laminet.cli.learning.lesson import Lesson, Part
    from laminet.training import Fit

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
        """Return a loss of each sample and target (rows, targets), of classes (rows, 1).

        It is 1 for a wrong class or label and 0 for a right one, or the square of an error.
        """
        y = self.net(part.x)
        if isinstance(self.net.outputs, Classes):
            return np.asarray(y.argmax(axis=1) != part.y, np.float64)[:, None]
        if isinstance(self.net.outputs, Labels):
            return np.asarray((y > 0) != part.y, np.float64)
        return np.asarray((y - part.y) ** 2, np.float64)

    def scores(self, part: Part) -> list[list[float]]:
        """Return the figures of each target, or those of the classes.

        Numbers have the root of the mean square error, the mean absolute error, and the
        coefficient of determination; classes and labels the share of right ones in percent, and the
        mean logarithm of the probabilities of the right ones, with a minus.
        """
        figures: list[list[float]]
        if isinstance(self.net.outputs, Classes):
            logs = self.net.predict_log_proba(part.x).astype(np.float64)
            right = logs[np.arange(len(part)), part.y]
            return [[100 * float((logs.argmax(axis=1) == part.y).mean()), -float(right.mean())]]
        if isinstance(self.net.outputs, Labels):
            logits = self.net(part.x).astype(np.float64)
            losses = np.logaddexp(0, logits) - part.y * logits
            shares = 100 * (1 - self.losses(part).mean(axis=0))
            figures = np.column_stack([shares, losses.mean(axis=0)]).tolist()
            return figures
        squares = self.losses(part).mean(axis=0)
        spread = part.y.var(axis=0)
        # Of what does not vary, as one sample does not, nothing can be explained.
        shares = np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1), np.nan)
        absolute = np.abs(self.net(part.x) - part.y).mean(axis=0)
        figures = np.column_stack([np.sqrt(squares), absolute, shares]).tolist()
        return figures


def trivial_model(lesson: Lesson) -> Trial:
    """Return the model that says the same of every sample: the mean, or the shares of classes."""
    y = lesson.training.y
    if lesson.task == "numbers":
        name, bias = "the mean", y.mean(axis=0)
    elif lesson.classes is None:
        name, bias = (
            "the more frequent",
            _logarithm(y.mean(axis=0)) - _logarithm(1 - y.mean(axis=0)),
        )
    else:
        counts = np.bincount(y, minlength=len(lesson.classes))
        name = f"always {str(lesson.classes[counts.argmax()])[:30]!r}"
        bias = _logarithm(counts / counts.sum())
    weight = np.zeros((lesson.out_features, lesson.training.x.shape[1]))
    return Trial(name, MLP([Dense(weight, bias)], outputs=lesson.outputs))


def _logarithm(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits of shares, finite where there are no samples: infinities would become NaN."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(shares), -1e3)


def linear_model(lesson: Lesson, dtype: np.dtype[Any], seed: int) -> Trial:
    """Return a linear model that laminet has fitted to the same samples."""
    training = lesson.training
    sizes = [training.x.shape[1], lesson.out_features]
    if lesson.task == "numbers":
        start = MLP.init(sizes, dtype="float64", seed=seed, outputs=lesson.outputs)
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
        return _linear("least squares" if exact else "linear model", found)
    start = MLP.init(sizes, dtype=dtype, seed=seed, outputs=lesson.outputs)
    held_out = lesson.validation
    found = fit(
        start,
        training.x,
        lesson.told(training),
        optimizer=Adam(_LINEAR_RATE),
        epochs=_LINEAR_EPOCHS,
        patience=_LINEAR_PATIENCE,
        validation=(held_out.x, lesson.told(held_out)) if len(held_out) else None,
        standardize="inputs",
        seed=seed,
        progress=False,
    )
    return _linear("logistic regression", found)


def _linear(name: str, found: Fit) -> Trial:
    """Return a model that has been fitted as a whole: of one that was not the figures would lie."""
    if found.stopped == "interrupted":
        raise KeyboardInterrupt
    return Trial(name, found.network)


def score_table(lesson: Lesson, part: Part, trials: Sequence[Trial]) -> list[list[str]]:
    """Return the rows of the closing table."""
    found = [trial.scores(part) for trial in trials]
    heads = ["RMSE", "MAE", "R2"] if lesson.task == "numbers" else ["accuracy", "log loss"]
    if lesson.classes is not None:
        rows = [["", *heads]]
        rows += [[t.name, *_shown(lesson, f[0])] for t, f in zip(trials, found, strict=True)]
        return rows
    rows = [["target", "model", *heads]]
    for i, target in enumerate(lesson.targets):
        for trial, scores in zip(trials, found, strict=True):
            name = one_line(target) if trial is trials[0] else ""
            rows.append([name, trial.name, *_shown(lesson, scores[i])])
    return rows


def _shown(lesson: Lesson, scores: Sequence[float]) -> list[str]:
    if lesson.task != "numbers":
        return [f"{scores[0]:.1f} %", figure(scores[1])]
    share = "" if np.isnan(scores[2]) else f"{scores[2]:.3f}".replace("-0.000", "0.000")
    return [figure(scores[0]), figure(scores[1]), share]


def better_linear(part: Part, network: Trial, linear: Trial) -> bool:
    """Whether a linear model is better by more than chance would be, in most of the targets.

    That is: by twice the standard error of the mean difference of the losses of samples, which are
    1 for a wrong class and 0 for a right one, or squares of errors.
    """
    difference = network.losses(part) - linear.losses(part)
    error = difference.std(axis=0) / np.sqrt(len(part))
    return bool((difference.mean(axis=0) > 2 * error).mean() > 0.5)
