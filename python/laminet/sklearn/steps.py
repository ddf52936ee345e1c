"""Solvers that go step by step: optimisers, their learning rates, an epoch at a time."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.parameters import by_kind, by_name
from laminet.optim import SGD, Adam, FirstOrder
from laminet.optim.schedules import Schedule
from laminet.sklearn.objective import squares
from laminet.training import Trainer
from laminet.training.descriptions import learning_rates

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.sklearn.objective import Objective, Samples

__all__ = ["Steps"]


class Steps:
    """A network in training by steps, with the learning rates that scikit-learn takes.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        For its parameters.
    net : MLP
        Where to start.
    objective : Objective
    samples : Samples
    batch_size : int
    seed : int
        Of the order of samples.
    state : dict, optional
        What `state` returned of the steps to go on from.
    """

    def __init__(
        self,
        estimator: Any,
        net: MLP,
        objective: Objective,
        samples: Samples,
        batch_size: int,
        seed: int,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._estimator, self._objective, self._samples = estimator, objective, samples
        self._batch_size, self._seed, self._epochs = batch_size, seed, 0
        own = isinstance(estimator.solver, FirstOrder)
        # The L2 term is divided by what a full batch weighs.
        self._decay = 0.0 if own else samples.decay(estimator.alpha, batch_size)
        self._optimizer = self._described()
        self._trainer = Trainer(net, objective.loss, self._optimizer, seed=seed)
        self._core = self._trainer._core
        self._rate = estimator.learning_rate_init
        if state is not None and state["solver"] == self._optimizer.name:
            self._rate = state["rate"]
            self._go_on(state)

    def _go_on(self, state: dict[str, Any]) -> None:
        """Take up what an optimiser of this name kept, whose other parameters may have changed."""
        arrays, kept = state["arrays"], self._trainer._kept()
        averages = self._optimizer.average is not None
        # Beside an average the parameters go on; without one the average has become them.
        known = [*kept, *(["parameters"] if averages else [])]
        self._core.steps = state["steps"]
        for which in known:
            if which in arrays:
                self._core.assign(which, arrays[which])
        if averages and "average" not in arrays and state["steps"] > 0:
            self._core.assign("average", self._core.arrays("parameters"))

    def _described(self) -> FirstOrder:
        """Return the optimiser, whose decay and scale undo what the gradient's factor does."""
        given, factor = self._estimator, self._objective.gradient_factor
        schedule = given.learning_rate if isinstance(given.learning_rate, Schedule) else None
        if isinstance(given.solver, FirstOrder):
            if schedule is None:
                return given.solver
            return dataclasses.replace(given.solver, schedule=schedule)
        decay = self._decay / factor
        if given.solver == "sgd":
            momentum = min(given.momentum, np.nextafter(1.0, 0.0))
            return SGD(
                given.learning_rate_init * factor,
                momentum=momentum,
                nesterov=bool(given.nesterovs_momentum) and momentum > 0,
                weight_decay=decay,
                schedule=schedule,
            )
        return Adam(
            given.learning_rate_init,
            betas=(given.beta_1, given.beta_2),
            eps=given.epsilon / factor,
            weight_decay=decay,
            schedule=schedule,
        )

    def epoch(self) -> float:
        """Make an epoch and return the loss that scikit-learn reports of it, NaN if it diverged."""
        samples, given = self._samples, self._estimator
        count = -(-len(samples) // self._batch_size)
        if self._scaled_by_name():
            rates = np.full(count, self._rate * self._objective.gradient_factor)
        else:
            rates = learning_rates(
                self._optimizer, self._core.steps, count, count * given.max_iter, given.loss_curve_
            )
        order = (self._seed, self._epochs) if given.shuffle else None
        before = self._squares()
        loss, made = self._core.epoch(
            samples.x, samples.targets, samples.weights, self._batch_size, order, rates
        )
        self._epochs += 1
        if made < count or not math.isfinite(loss):
            return math.nan
        # Each batch adds decay / 2 times the squares before its step: taken as even in between.
        mean = before + (self._squares() - before) * (count - 1) / (2 * count)
        share = count * self._batch_size / len(samples)
        return self._objective.reported(loss) + 0.5 * self._decay * mean * share

    def _squares(self) -> float:
        return squares(self._core.arrays("parameters")[0]) if self._decay else 0.0

    def _scaled_by_name(self) -> bool:
        return self._estimator.solver == "sgd" and self._optimizer.schedule is None

    def epoch_ends(self, seen: int) -> None:
        """Set the learning rate after so many samples, where it follows from their number."""
        given = self._estimator
        if self._scaled_by_name() and given.learning_rate == "invscaling":
            self._set_rate(given.learning_rate_init / (seen + 1) ** given.power_t)

    def goes_on(self) -> bool:
        """Return whether there is a smaller learning rate to try where nothing improves."""
        if not self._scaled_by_name() or self._estimator.learning_rate != "adaptive":
            return False
        if self._rate <= 1e-6:
            return False
        self._set_rate(self._rate / 5)
        if self._estimator.verbose:
            print(f"The learning rate is {self._rate:g} from here on")
        return True

    def _set_rate(self, rate: float) -> None:
        # scikit-learn's momentum is of steps, that of the core of gradients.
        if self._estimator.momentum > 0 and self._core.steps > 0:
            scale = self._rate / rate
            kinds = self._core.arrays("first")
            places = self._trainer._trained._places
            scaled = {name: array * scale for name, array in by_name(kinds, places).items()}
            self._core.assign("first", by_kind(scaled, places))
        self._rate = rate

    @property
    def network(self) -> MLP:
        """The network as it is now."""
        return self._trainer.network

    def loss_of(self, samples: Samples) -> float:
        """Return the loss of other samples, without L2."""
        return float(self._core.loss(samples.x, samples.targets, samples.weights))

    def state(self) -> dict[str, Any]:
        """Return what it takes to go on later; it pickles."""
        kept = self._trainer._kept()
        if self._trainer._averages():  # the network is the average then
            kept.append("parameters")
        return {
            "solver": self._optimizer.name,
            "steps": int(self._core.steps),
            "rate": self._rate,
            "arrays": {which: self._core.arrays(which) for which in kept},
        }
