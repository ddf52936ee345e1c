"""Solvers that look at all samples in every iteration: `LBFGS` and `LevenbergMarquardt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from laminet.training import Trainer
from laminet.training.data import Data
from laminet.training.full_batch import fit_full_batch
from laminet.training.targets import Goal

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.optim import FullBatch
    from laminet.sklearn.held_out import HeldOut
    from laminet.sklearn.objective import Objective, Samples

__all__ = ["Iterations"]


class Iterations:
    """A network in training by iterations over all samples, each an epoch of an estimator.

    It is what `laminet.training.full_batch.fit_full_batch` calls a run.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Told of each iteration.
    net : MLP
        Where to start.
    objective : Objective
    held : HeldOut

    Attributes
    ----------
    data : Data
        What is learnt from.
    rows : list of float
        The loss after each iteration.
    stopped : str
        Why there was no further one: "converged", "iterations", "stalled", "patience",
        "callback" or "interrupted".
    best : MLP or None
        The network of the best score, where there are scores.
    """

    def __init__(self, estimator: Any, net: MLP, objective: Objective, held: HeldOut) -> None:
        learnt = held.learnt
        self.data = Data(learnt.x, learnt.targets, learnt.weights)
        self.rows: list[float] = []
        self.stopped = ""
        self.best: MLP | None = None
        self._estimator, self._objective, self._held = estimator, objective, held
        self._start = net
        self._last: Callable[[], MLP] = lambda: net

    def run(self, method: FullBatch) -> None:
        """Make iterations until nothing is to be gained, or the estimator has seen enough."""
        goal = Goal(self._start, self._objective.loss)
        fit_full_batch(self, self._start, goal, method, self._estimator.max_iter)

    @property
    def network(self) -> MLP:
        """The network after the last iteration."""
        return self._last()

    def loss_of(self, samples: Samples) -> float:
        """Return the loss of other samples."""
        trainer = Trainer(self.network, self._objective.loss, "sgd", seed=0)
        return float(trainer._core.loss(samples.x, samples.targets, samples.weights))

    # --- What a run is asked and told ---------------------------------------------------------

    def over(
        self,
        loss: float,
        _after: float | None,
        _rate: float,
        _network: Callable[[], MLP],
        keep: Callable[[], Callable[[], MLP]],
        _outputs: Any,
    ) -> bool:
        """Take note of an iteration; return whether it is the last one."""
        given = self._estimator
        self.rows.append(loss)
        self._last = keep()
        best = given._note_epoch(self._objective.reported(loss), self._held, self)
        self.best = self.best if best is None else best
        if given.early_stopping and given._no_improvement > given.n_iter_no_change:
            self.stopped = "patience"
            if given.verbose:
                print(f"Nothing improved by tol={given.tol:g} for too long: stopping")
        if given._called_back(self):
            self.stopped = "callback"
        return bool(self.stopped)

    def diverged(self, error: Exception, _net: MLP) -> Exception:
        """Return the error of a loss that is not finite at the start."""
        return ValueError(f"training cannot begin: {error}")

    def interrupted(self, _network: Callable[[], MLP]) -> None:
        """Say that Ctrl-C has ended the run: the last iteration's network is there."""
        self.stopped = "interrupted"
