"""A network in training, a step or an epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import _core
from laminet.core.conversion.counts import as_count
from laminet.core.layers.tree import without_ending
from laminet.core.mlp import MLP
from laminet.core.parameters import by_kind, by_name, parameters, with_parameters
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_flag
from laminet.losses import as_loss
from laminet.optim import AdamW, FirstOrder, as_optimizer
from laminet.training import descriptions, saved_state
from laminet.training.errors import TrainingError, diverged
from laminet.training.precision import training_precision
from laminet.training.samples import as_sample_weight, as_samples, refuse_not_finite, require_rows
from laminet.training.seed import as_seed
from laminet.training.targets import Goal, chosen_loss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.name_types import PrecisionName
    from laminet.losses import Loss
    from laminet.optim import Optimizer

    Array = NDArray[Any]

__all__ = ["Trainer"]

_CORES: dict[np.dtype[Any], Any] = {
    np.dtype(np.float32): _core.TrainerF32.make,
    np.dtype(np.float64): _core.TrainerF64.make,
}

# Of the arrays of a state: what the optimiser keeps beside the parameters.
_BUFFERS = ("first", "second", "average")


@named_in("laminet")
class Trainer:
    """A network in training, a step or an epoch at a time; `laminet.fit` does all of it at once.

    For online learning, reinforcement learning and loops of one's own. One caller at a time.

    Parameters
    ----------
    net : MLP
        Where to start. It does not change: `network` gives what has become of it.
    loss : Loss, str or None, default "cross_entropy"
        One of `laminet.losses`; None for that of ``net.outputs``. Cross entropies take logits: a
        head, or for ``binary_cross_entropy`` a sigmoid at the end, stays the network's and is left
        out of training.
    optimizer : FirstOrder or str, optional
        One of `laminet.optim` that makes steps; ``AdamW(1e-3)`` if nothing is said.
    class_weight : dict or array_like of shape (classes,), optional
        Of a network of classes: a factor of the weight of each sample, by label or one for each
        class; 1 for labels that are not in the dict.
    seed : int, optional
        At least 0: of the order of samples, and of what `Dropout` drops. Without one it is another
        in each run.
    total_steps : int, optional
        How many steps there will be in all, for schedules that need to know.
    precision : {"float32", "float64", "bfloat16"}, optional
        By default that of the dtype. In "bfloat16", of networks of float32, each product of a step
        (forward, back, and those that gradients are) has its factors rounded to bfloat16 and adds
        up in float32; parameters, gradients and moments are float32.

    Attributes
    ----------
    loss_function : Loss
    optimizer : FirstOrder
    precision : str
    steps, epochs : int
        How many were made.

    Raises
    ------
    ValueError
        If loss, optimiser and network do not go together, or a number is out of its bounds.
    TypeError
        If an argument is of a wrong type.

    Notes
    -----
    The tiled back end trains, whatever is set. Steps alone drop what `Dropout` says; a loss, and
    `network`, are without it. A trained network has the same bits for any number of threads and any
    instruction set from AVX2 on, and after being saved and resumed (`state`). An array of the
    network's dtype is read in place, batch by batch: it may be a file that is larger than memory
    (``numpy.load(..., mmap_mode="r")``). Pickles and copies go on to the same bits, each by itself.

    What is trained, and `network`, is of the dtype, though the network to start from may round its
    weights (`MLP.precision`).

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP.init([2, 16, 2], "tanh", seed=0)
    >>> trainer = ln.Trainer(net, optimizer=ln.optim.AdamW(0.01), seed=0)
    >>> X = np.random.default_rng(0).standard_normal((512, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> losses = [trainer.epoch(X, y, batch_size=32) for _ in range(30)]
    >>> bool(losses[-1] < 0.2 < losses[0]), trainer.steps
    (True, 480)
    >>> trainer.network.predict([[1.0, 1.0], [1.0, -1.0]])
    array([1, 0])
    """

    def __init__(
        self,
        net: MLP,
        loss: Loss | str | Mapping[str, Any] | None = "cross_entropy",
        optimizer: Optimizer | str | Mapping[str, Any] | None = None,
        *,
        class_weight: Any = None,
        seed: int | None = None,
        total_steps: int | None = None,
        precision: PrecisionName | None = None,
    ) -> None:
        if not isinstance(net, MLP):
            raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
        method = AdamW(1e-3) if optimizer is None else as_optimizer(optimizer)
        if not isinstance(method, FirstOrder):
            raise TypeError(
                f"optimizer must be one that makes steps, such as ln.optim.AdamW, got {method!r}: "
                "ln.fit takes it"
            )
        if not parameters(net):
            raise ValueError("the network has no parameters that could be trained")
        kind = chosen_loss(net, None) if loss is None else as_loss(loss)
        self._goal = Goal(net, kind, class_weight)
        self._start = net
        layers = without_ending(net.layers) if self._goal.strips_sigmoid else net.layers
        self._trained = MLP(
            layers,
            head=net.head,
            in_features=net.in_features,
            feature_names=net.feature_names,
            dtype=net.dtype,
        )
        self.loss_function, self.optimizer = kind, method
        self.precision = training_precision(precision, net)
        self._seed = as_seed(seed)
        self._total_steps = None if total_steps is None else as_count(total_steps, "total_steps")
        self._epochs = 0
        self._losses: list[float] = []
        self._last_rate = method.learning_rate
        of_core = self._goal.class_weight if kind.name == "cross_entropy" else None
        self._core = _CORES[net.dtype](
            self._trained._core_in_training(),
            descriptions.loss_for_core(kind, of_core),
            descriptions.optimizer_for_core(method),
            descriptions.factors_for_core(method, net),
            self._seed,
            self.precision,
        )

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return int(self._core.steps)

    @property
    def epochs(self) -> int:
        """How many epochs were made."""
        return self._epochs

    @property
    def network(self) -> MLP:
        """The network as it is now, a new one each time: of the average, if one is kept."""
        return self._network(self._arrays())

    def step(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Make a step of the optimiser with one batch, and return its mean loss before it.

        Parameters
        ----------
        X : array_like of shape (batch, in_features)
            Read as ``net(X)`` reads it.
        y : array_like of shape (batch, targets) or (batch,)
            What the outputs should be: labels of ``net.outputs``, if these are `Classes`; else as
            the loss takes them (`Loss.as_targets`).
        sample_weight : array_like of shape (batch,), optional
            At least 0, and not all 0. A sample of weight 0 is as if it were not there.

        Returns
        -------
        float
            ``sum_i w_i loss_i / sum_i w_i``, without decay.

        Raises
        ------
        ValueError
            If a shape is wrong, a number is not finite (it names the first row), a target is out of
            bounds, or the schedule needs `total_steps`.
        TypeError
            If something does not hold real numbers.
        TrainingError
            If the loss is not finite though all that came is: the step is not made.
        """
        x, targets, weights = self._taken(X, y, sample_weight)
        rates = descriptions.learning_rates(
            self.optimizer, self.steps, 1, self._total_steps, self._losses
        )
        loss: float = self._core.step(x, targets, weights, rates[0])
        if not math.isfinite(loss):
            refuse_not_finite(x, X, "X")
            raise diverged(loss, self._epochs, self.steps + 1, self.network)
        return loss

    def epoch(
        self,
        X: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = 128,
        *,
        sample_weight: ArrayLike | None = None,
        shuffle: bool = True,
    ) -> float:
        """Make a step with each batch of the samples, and return the mean of their losses.

        Parameters
        ----------
        X, y, sample_weight
            As of `step`, all samples.
        batch_size : int or None, default 128
            How many samples make a step; the last one takes those that are left. None for all.
        shuffle : bool, default True
            Whether they come in a new order, which depends on the seed and the number of the epoch
            alone.

        Returns
        -------
        float
            The mean loss of the samples, each before the step that it was part of.

        Raises
        ------
        ValueError, TypeError, TrainingError
            As of `step`. The steps before stay made.
        KeyboardInterrupt
            After Ctrl-C, between two steps: those before stay made, and the trainer is whole.
        """
        ordered = as_flag(shuffle, "shuffle")
        x, targets, weights = self._taken(X, y, sample_weight)
        try:
            loss = self._epoch(x, targets, weights, batch_size, ordered)
        except TrainingError:
            refuse_not_finite(x, X, "X")
            raise
        self._losses.append(loss)
        return loss

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean loss of `network` over samples, without a step.

        Parameters
        ----------
        X, y, sample_weight
            As of `step`.

        Returns
        -------
        float
            It may be infinite or NaN.

        Raises
        ------
        ValueError, TypeError
            As of `step`.
        """
        return self._loss(*self._taken(X, y, sample_weight))

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on, to the same bits.

        Returns
        -------
        dict of str to ndarray, int, float or str
            Plain: it pickles, and ``numpy.savez(path, **state)`` holds it.

        Examples
        --------
        >>> import numpy as np, laminet as ln
        >>> net = ln.MLP.init([2, 1], seed=0)
        >>> trainer = ln.Trainer(net, "squared_error", "adam")
        >>> loss = trainer.step([[1.0, 2.0]], [3.0])
        >>> again = ln.Trainer.restore(trainer.state())
        >>> again.step([[1.0, 2.0]], [3.0]) == trainer.step([[1.0, 2.0]], [3.0])
        True
        """
        return saved_state.of(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any], net: MLP | None = None) -> Trainer:
        """Return the trainer that `state` was of.

        Parameters
        ----------
        state : mapping of str to ndarray, int, float or str
            What `state` returned, or ``numpy.load`` of it.
        net : MLP, optional
            A network of the same layers as that which was trained, whatever its parameters: for
            `network` to be of its class and its layers of theirs, where these are one's own.

        Returns
        -------
        Trainer

        Raises
        ------
        ValueError
            If something is missing in `state`, or it is of a network of other layers.
        TypeError
            If an argument is of a wrong type.
        """
        return saved_state.restored(cls, state, net)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).restore, (self.state(), self._start)

    # --- What fit needs, too ------------------------------------------------------------------

    def _taken(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array, Array | None]:
        """Return samples, targets and weights as the core takes them."""
        x = as_samples(self._start, X)
        targets = self._goal.targets(y)
        require_rows(targets, len(x), "y")
        weights = as_sample_weight(sample_weight, len(x))
        return x, targets, self._goal.weights(targets, weights)

    def _epoch(
        self,
        x: Array,
        targets: Array,
        weights: Array | None,
        batch_size: int | None,
        shuffle: bool,
    ) -> float:
        rows = self._goal.count(targets, weights)
        if rows == 0:
            raise ValueError("all samples have the weight 0: there is nothing to learn from")
        size = rows if batch_size is None else min(as_count(batch_size, "batch_size"), rows)
        count, first = -(-rows // size), self.steps
        rates = descriptions.learning_rates(
            self.optimizer, first, count, self._total_steps, self._losses
        )
        self._last_rate = float(rates[-1])
        order = (self._seed, self._epochs) if shuffle else None
        loss: float
        loss, made = self._core.epoch(x, targets, weights, size, order, rates)
        if made < count or not math.isfinite(loss):
            raise diverged(loss, self._epochs + 1, first + made + 1, self.network)
        self._epochs += 1
        return loss

    def _loss(self, x: Array, targets: Array, weights: Array | None) -> float:
        if not self._averages():
            return float(self._core.loss(x, targets, weights))
        # That of the average, put in the parameters' place for as long as it takes.
        own, average = self._core.arrays("parameters"), self._core.arrays("average")
        try:
            self._core.assign("parameters", average)
            return float(self._core.loss(x, targets, weights))
        finally:
            self._core.assign("parameters", own)

    def _outputs(self, x: Array) -> Array:
        """Return what the loss takes of samples: outputs of `network`, logits for cross entropy."""
        bare = self._trained._like(self._trained.layers, head=None, outputs=None)
        return with_parameters(bare, by_name(self._arrays(), self._trained._places))(x)

    def _arrays(self) -> Any:
        """Return the parameters of `network` as the core has them."""
        return self._core.arrays("average" if self._averages() else "parameters")

    def _network(self, arrays: Any) -> MLP:
        values = by_name(arrays, self._trained._places)
        # A sigmoid has no parameters: the others come in the same order with and without it.
        names = dict(zip(parameters(self._trained), parameters(self._start), strict=True))
        return with_parameters(self._start, {names[name]: v for name, v in values.items()})

    def _assign(self, which: str, values: Mapping[str, Array]) -> None:
        self._core.assign(which, by_kind(values, self._trained._places))

    def _averages(self) -> bool:
        return self.optimizer.average is not None and self.steps > 0

    def _kept(self) -> list[str]:
        """Return which buffers the optimiser keeps beside the parameters."""
        found = []
        for which in _BUFFERS:
            try:
                self._core.arrays(which)
            except ValueError:  # keeps none
                continue
            found.append(which)
        return found
