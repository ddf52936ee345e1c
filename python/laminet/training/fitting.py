"""Training from first to last."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from laminet.core.conversion.counts import as_count
from laminet.core.mlp import MLP
from laminet.core.scalar_arguments import as_flag, as_number_within
from laminet.losses import as_loss
from laminet.optim import AdamW, FirstOrder, as_optimizer
from laminet.training.data import Data, prepared
from laminet.training.errors import TrainingError
from laminet.training.full_batch import fit_full_batch
from laminet.training.history import Epoch, Fit, History, as_callbacks
from laminet.training.metrics import chosen_metrics
from laminet.training.precision import training_precision
from laminet.training.progress import progress_bar
from laminet.training.seed import as_seed
from laminet.training.standardized import behind_one_layer, standardized
from laminet.training.targets import Goal, balanced, chosen_loss
from laminet.training.trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from laminet.core.name_types import PrecisionName
    from laminet.losses import Loss
    from laminet.optim import Optimizer
    from laminet.training.metrics import Metric

__all__ = ["fit"]


def fit(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    *,
    loss: Loss | str | Mapping[str, Any] | None = None,
    optimizer: Optimizer | str | Mapping[str, Any] | None = None,
    batch_size: int | None = 128,
    epochs: int = 100,
    validation: float | tuple[Any, ...] | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: Any = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    standardize: bool | str = False,
    metrics: Any = None,
    seed: int | None = None,
    precision: PrecisionName | None = None,
    progress: bool | None = None,
    callbacks: Callable[[Epoch], Any] | Sequence[Callable[[Epoch], Any]] = (),
) -> Fit:
    """Train a network, and return the new one with the history of the run.

    Parameters
    ----------
    net : MLP
        Where to start, as `MLP.init` gives it. It does not change.
    X : array_like of shape (batch, in_features)
        The samples: an array, a table, or a file mapped into memory, which is read batch by batch.
    y : array_like of shape (batch, targets) or (batch,)
        What the outputs should be: labels of ``net.outputs`` if these are `Classes`, numbers for
        quantities.
    loss : Loss or str, optional
        One of `laminet.losses`. If nothing is said, that of what the outputs stand for:
        cross entropy of `Classes`, binary cross entropy of `Labels`, squared error of `Quantities`;
        without ``net.outputs`` cross entropy of integers where there are several outputs, squared
        error of floats.
    optimizer : Optimizer or str, optional
        One of `laminet.optim`; ``AdamW(1e-3)`` if nothing is said. `LBFGS` and `LevenbergMarquardt`
        look at all samples in each iteration, which is an epoch then: `epochs` is how many at most,
        where the optimiser does not say less, and `batch_size` means nothing.
    batch_size : int or None, default 128
        How many samples make a step; None for all.
    epochs : int, default 100
        How often each sample is seen, at most.
    validation : float or tuple of arrays, optional
        What is held out: a part of the samples, of each class its share, which is copied; or
        ``(X, y)`` or ``(X, y, sample_weight)``.
    sample_weight : array_like of shape (batch,), optional
        At least 0. A sample of weight 0 is as if it were not there.
    class_weight : "balanced", dict or array_like of shape (classes,), optional
        Of classes: a factor of the weight of each sample, by label (a Series of pandas goes by its
        index), one for each class, or such that all classes have the same weight in sum.
    patience : int, optional
        End after so many epochs that bring no smaller validation loss, or loss where nothing is
        held out.
    min_delta : float, default 0
        By how much a loss must be smaller to count.
    standardize : bool, "inputs" or "both", default False
        Whether inputs are shifted and scaled to mean 0 and standard deviation 1 ("inputs" or True),
        and targets, too ("both"; losses are then those of such targets, metrics of those given).
        Each becomes a `Rescale` of the network.
    metrics : str, sequence of str, or dict of callables, optional
        Of validation data, after each epoch: "accuracy", "r2" or "mean_absolute_error". Accuracy
        for cross entropies and r2 for others if nothing is said; by the weights of the samples.
        Callables take outputs (logits for cross entropies) and targets, neither to be written to,
        of the samples whose weight is not 0.
    seed : int, optional
        Of the order of samples, of what is held out and what `Dropout` drops; without one it is
        another in each run.
    precision : {"float32", "float64", "bfloat16"}, optional
        By default that of the dtype. In "bfloat16" the products of each step have factors rounded
        to that (see `Trainer`): on a CPU with AVX512_BF16 a step of a network whose layers are
        hundreds wide takes less time. The network that comes of it is of float32 as before; of
        optimisers that make steps.
    progress : bool, optional
        Whether a bar shows how far it is; if nothing is said, where stderr is a terminal.
    callbacks : callable or sequence of callables
        Each is called with an `Epoch` after each epoch; its ``stop()`` ends the run, its
        ``network`` is the network of that moment.

    Returns
    -------
    Fit
        ``network``, ``history``, ``best_epoch``, ``stopped``.

    Raises
    ------
    ValueError
        If data has NaN or infinity (it names the first row), or something does not go together.
    TypeError
        If an argument is of a wrong type.
    TrainingError
        If the loss is not finite though all data is, or no validation loss was: it carries the best
        network so far, and the history.
    Exception
        What a callback or metric raises. What had been made by then is its attribute ``fit``,
        where an epoch was complete.

    Warns
    -----
    UserWarning
        After Ctrl-C: what is returned is what had been made.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    >>> y = np.sin(3 * X[:, 0]) * X[:, 1]
    >>> net = ln.MLP.init([2, 32, 32, 1], "tanh", seed=0)
    >>> fit = ln.fit(net, X, y, optimizer=ln.optim.Adam(0.01), validation=0.2, seed=0)
    >>> fit.history.metrics["r2"][fit.best_epoch - 1] > 0.98
    True
    """
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
    method = AdamW(1e-3) if optimizer is None else as_optimizer(optimizer)
    kind = chosen_loss(net, y) if loss is None else as_loss(loss)
    most = as_count(epochs, "epochs")
    delta = as_number_within(min_delta, "min_delta", least=0)
    wait = None if patience is None else as_count(patience, "patience")
    size = None if batch_size is None else as_count(batch_size, "batch_size")
    shows = None if progress is None else as_flag(progress, "progress")
    calls = as_callbacks(callbacks)
    own_seed = as_seed(seed)
    exactness = training_precision(precision, net)
    if exactness == "bfloat16" and not isinstance(method, FirstOrder):
        raise ValueError(
            f"optimizer {method!r} needs exact gradients, which precision 'bfloat16' has not: take "
            "one that makes steps, such as ln.optim.AdamW"
        )
    plain = Goal(net, kind)
    data = prepared(net, plain, X, y, sample_weight, validation, own_seed)
    if isinstance(class_weight, str):
        class_weight = balanced(class_weight, plain, data.y, data.weights)
    given = data.validation
    start, data, finish, in_units = standardized(net, kind, data, standardize)
    goal = Goal(start, kind, class_weight)
    if start is not net and isinstance(method, FirstOrder):
        method = behind_one_layer(method, net)
    goal.require_some(data.y, data.weights, "learn from")
    if (held_out := data.validation) is not None:
        goal.require_some(held_out.y, held_out.weights, "validate with")
    chosen = chosen_metrics(metrics, goal, net.out_features)
    if held_out is None and metrics is not None:
        raise ValueError("metrics are of validation data, and validation is None")
    with progress_bar(shows, most) as show:
        run = _Run(most, wait, delta, [show, *calls], data, chosen, finish)
        run.judged, run.in_units = given, in_units
        try:
            if not isinstance(method, FirstOrder):
                fit_full_batch(run, start, goal, method, most)
            else:
                trainer = partial(
                    Trainer, class_weight=class_weight, seed=own_seed, precision=exactness
                )
                _fit_in_steps(run, start, goal, method, size, most, trainer)
        except TrainingError:
            raise
        except Exception as error:
            if (network := run.network()) is not None:
                error.fit = run.made(network, "error")  # type: ignore[attr-defined]  # for users
            raise
    return run.result()


class _Row(NamedTuple):
    """What is known of an epoch, apart from what callbacks have."""

    loss: float
    validation_loss: float | None
    metrics: Mapping[str, float]
    learning_rate: float
    seconds: float


class _Run:
    """What is known of a run so far."""

    def __init__(
        self,
        epochs: int,
        patience: int | None,
        min_delta: float,
        calls: Sequence[Callable[[Epoch], Any]],
        data: Data,
        metrics: Mapping[str, Metric],
        finish: Callable[[MLP], MLP],
    ) -> None:
        self.epochs, self.patience, self.min_delta = epochs, patience, min_delta
        self.calls, self.data, self.metrics, self.finish = calls, data, metrics, finish
        self.rows: list[_Row] = []
        self.best_epoch, self.best = 0, np.inf
        self.stopped = "epochs"
        # How to get at the network that is the best one, and at the last.
        self.best_network: Callable[[], MLP] | None = None
        self.last_network: Callable[[], MLP] | None = None
        # What metrics are of, in the user's units, and how outputs come to be in these.
        self.judged = data.validation
        self.in_units: Callable[[Any], Any] = lambda outputs: outputs
        self._since = time.perf_counter()

    @property
    def keeps_best(self) -> bool:
        """Whether the best epoch's network is the result."""
        return self.data.validation is not None or self.patience is not None

    def over(
        self,
        loss: float,
        validation_loss: float | None,
        learning_rate: float,
        network: Callable[[], MLP],
        keep: Callable[[], Callable[[], MLP]],
        outputs: Callable[[Any], Any],
    ) -> bool:
        """Take note of an epoch; whether the run ends with it.

        `network` gives the network of now, and what `keep` returns gives it later, too.
        """
        found = {}
        if self.judged is not None and self.metrics:
            given = self.in_units(outputs(self.judged.x))
            targets, weights = self.judged.y, self.judged.weights
            found = {
                name: _as_score(metric(given, targets, weights), name)
                for name, metric in self.metrics.items()
            }
        now = time.perf_counter()
        epoch = Epoch(
            len(self.rows) + 1,
            self.epochs,
            loss,
            validation_loss,
            found,
            learning_rate,
            now - self._since,
            lambda: self.finish(network()),
        )
        self.rows.append(
            _Row(epoch.loss, epoch.validation_loss, found, epoch.learning_rate, epoch.seconds)
        )
        self.last_network = network
        watched = loss if validation_loss is None else validation_loss
        if watched < self.best - (self.min_delta if self.best_epoch else 0):
            kept = keep() if self.keeps_best else None
            self.best_epoch, self.best, self.best_network = epoch.number, watched, kept
        elif self.patience is not None and epoch.number - self.best_epoch >= self.patience:
            self.stopped = "patience"
        if epoch._tell(self.calls):
            self.stopped = "callback"
        self._since = time.perf_counter()
        return self.stopped != "epochs"

    def network(self) -> MLP | None:
        """Return the network that the run has come to."""
        made = self.best_network if self.keeps_best else self.last_network
        return None if made is None else self.finish(made())

    def history(self) -> History:
        """Return what the epochs were like."""
        names = list(self.rows[0].metrics) if self.rows else []
        held_out = [r.validation_loss for r in self.rows if r.validation_loss is not None]
        return History(
            tuple(row.loss for row in self.rows),
            tuple(held_out),
            {name: tuple(row.metrics[name] for row in self.rows) for name in names},
            tuple(row.learning_rate for row in self.rows),
            tuple(row.seconds for row in self.rows),
        )

    def result(self) -> Fit:
        """Return what `fit` returns.

        Raises
        ------
        TrainingError
            If no epoch was the best one, as no loss that was watched is a finite number.
        """
        if (network := self.network()) is not None:
            return self.made(network, self.stopped)
        assert self.last_network is not None
        raise TrainingError(
            "the validation loss was finite after no epoch: look at the validation data, which may "
            "be far from what is learnt from, or take a smaller learning rate",
            network=self.finish(self.last_network()),
            history=self.history(),
            epoch=len(self.rows),
        )

    def made(self, network: MLP, stopped: str) -> Fit:
        """Return a network with the history so far."""
        return Fit(network, self.history(), self.best_epoch, stopped)

    def interrupted(self, network: Callable[[], MLP]) -> None:
        """Say that Ctrl-C has ended the run, and keep what there is."""
        self.stopped = "interrupted"
        if self.last_network is None:
            self.last_network = self.best_network = network
        warnings.warn(
            f"training was interrupted in epoch {len(self.rows) + 1}: the network is that of what "
            "had been made",
            stacklevel=4,
        )

    def diverged(self, error: TrainingError, net: MLP) -> TrainingError:
        """Return the error with what the run had come to before."""
        network = self.network()
        error.network = self.finish(net) if network is None else network
        error.history = self.history()
        return error


def _fit_in_steps(
    run: _Run,
    net: MLP,
    goal: Goal,
    method: FirstOrder,
    batch_size: int | None,
    epochs: int,
    make: Callable[..., Trainer],
) -> None:
    data = run.data
    weights = goal.weights(data.y, data.weights)
    rows = goal.count(data.y, weights)
    size = rows if batch_size is None else min(batch_size, rows)
    total = epochs * -(-rows // size)
    trainer = make(net, goal.loss, method, total_steps=total)
    held_out = data.validation

    def kept() -> Callable[[], MLP]:
        arrays = trainer._arrays()
        return lambda: trainer._network(arrays)

    def epoch() -> bool:
        try:
            loss, after = trainer._epoch(data.x, data.y, weights, size, True), None
        except TrainingError as error:
            raise run.diverged(error, net) from None
        if held_out is not None:
            after = trainer._loss(
                held_out.x, held_out.y, goal.weights(held_out.y, held_out.weights)
            )
        trainer._losses.append(loss if after is None else after)
        rate = trainer._last_rate
        return run.over(loss, after, rate, lambda: trainer.network, kept, trainer._outputs)

    try:
        for _ in range(epochs):
            if epoch():
                return
    except KeyboardInterrupt:  # in validation, a metric or a callback, too
        run.interrupted(lambda: trainer.network)


def _as_score(value: Any, name: str) -> float:
    """Return what a metric gave as a number; it may be an array of one."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        shape = getattr(value, "shape", None)
        what = type(value).__name__ if shape is None else f"an array of shape {tuple(shape)}"
        raise TypeError(f"the metric {name!r} must return a number, got {what}") from None
