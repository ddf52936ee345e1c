"""One step of training a network, in NumPy float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laminet.core.conversion import as_real_array
from laminet.core.conversion.counts import as_step
from laminet.reference.arguments import require_kind, require_network
from laminet.reference.gradients import gradients, parameters, with_parameters
from laminet.reference.layers import value
from laminet.reference.least_squares import DampingState, levenberg_marquardt_step
from laminet.reference.losses import as_sample_weight, loss_gradient, normalized_weights
from laminet.reference.losses import loss as loss_of
from laminet.reference.optimizers import OptimizerState, optimizer_step

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.losses import Loss
    from laminet.optim import FirstOrder, LevenbergMarquardt, Optimizer

__all__ = ["TrainingState", "TrainingStep", "training_step"]

Array = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)

_State = TypeVar("_State", OptimizerState, DampingState)


class TrainingState(NamedTuple):
    """What training remembers from step to step, beside the network.

    Attributes
    ----------
    step : int
        How many steps were made.
    optimizer : OptimizerState, DampingState or None
        What the optimiser remembers; arrays in the order of `parameters`.
    """

    step: int = 0
    optimizer: OptimizerState | DampingState | None = None


class TrainingStep(NamedTuple):
    """What `training_step` returns.

    Attributes
    ----------
    network : MLP
        After the step, float64.
    state : TrainingState
        For the next step.
    loss : float
        Before the step, without decay.
    """

    network: MLP
    state: TrainingState
    loss: float


def training_step(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    loss: Loss | str | Mapping[str, Any],
    optimizer: Optimizer | str | Mapping[str, Any],
    state: TrainingState | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    total_steps: int | None = None,
    losses: Sequence[float] = (),
) -> TrainingStep:
    """Return a network after one step of an optimiser with one batch, and what comes with it.

    Parameters
    ----------
    net : MLP
        The network. A head of softmax or log-softmax goes with cross entropy alone, which takes the
        logits before it. `Dropout` drops nothing.
    X : array_like of shape (batch, in_features)
        The samples.
    y : array_like of shape (batch, targets) or (batch,)
        As `Loss.as_targets` takes them.
    loss : Loss or str
        One of `laminet.losses`; the squared error for `LevenbergMarquardt`.
    optimizer : Optimizer or str
        One of `laminet.optim`; not `LBFGS`, whose steps are those of any L-BFGS over `loss` and
        `gradients`.
    state : TrainingState, optional
        What the step before returned; nothing before the first.
    sample_weight, class_weight
        As of `laminet.reference.loss`.
    total_steps, losses
        For the schedule, as of `laminet.optim.schedules.Schedule.factor`.

    Returns
    -------
    TrainingStep
        ``network``, ``state`` and ``loss``.

    Raises
    ------
    ValueError
        If shapes, targets or weights are wrong, or loss, head and optimiser do not go together.
    TypeError
        If something does not hold real numbers, or is of a wrong type.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP([ln.Dense([[0.0]], [0.0])])
    >>> step = ln.reference.training_step(net, [[1.0]], [2.0], "squared_error", ln.optim.SGD(0.25))
    >>> step.loss, step.network([3.0])
    (4.0, array([4.]))
    """
    from laminet.losses import as_loss  # for those alone who train
    from laminet.optim import FirstOrder, LevenbergMarquardt, as_optimizer

    require_network(net)
    kind, method = as_loss(loss), as_optimizer(optimizer)
    if net.head is not None and kind.name != "cross_entropy":
        raise ValueError(
            f"the network ends in {net.head}, whose loss is cross_entropy, and the loss is "
            f"{kind.name}"
        )
    now = TrainingState() if state is None else require_kind(state, TrainingState, "state")
    done = as_step(now.step, "state.step")
    bare = net._like(net.layers, head=None, outputs=None, dtype="float64")
    x = as_real_array(X, _FLOAT64, "X", net.feature_names)
    if x.ndim != 2 or x.shape[1] != net.in_features:
        raise ValueError(f"X must have shape (batch, {net.in_features}), got shape {x.shape}")
    outputs = _forward(bare, x)
    before = loss_of(kind, outputs, y, sample_weight, class_weight)
    values = parameters(bare)
    new: OptimizerState | DampingState
    if isinstance(method, FirstOrder):
        slopes = loss_gradient(kind, outputs, y, sample_weight, class_weight)
        found = gradients(bare, x, slopes)
        after, new = optimizer_step(
            method,
            list(values.values()),
            [found[name] for name in values],
            _remembered(now, OptimizerState),
            done,
            factors=_factors(method, net, values),
            total_steps=total_steps,
            losses=losses,
        )
        changed = dict(zip(values, after, strict=True))
    elif isinstance(method, LevenbergMarquardt):
        if kind.name != "squared_error":
            raise ValueError(
                f"LevenbergMarquardt is for squared_error alone, and the loss is {kind.name}"
            )
        targets = kind.as_targets(y, net.out_features)
        shares = normalized_weights(as_sample_weight(sample_weight, len(x)))
        roots = np.sqrt(shares / net.out_features)
        changed, new = _least_squares(method, bare, x, targets, roots, values, now)
    else:
        raise TypeError(
            "optimizer must be one that follows gradients, or LevenbergMarquardt, got "
            f"{type(method).__name__}"
        )
    return TrainingStep(
        net._like(with_parameters(bare, changed).layers, dtype="float64"),
        TrainingState(done + 1, new),
        before,
    )


def _remembered(state: TrainingState, kind: type[_State]) -> _State | None:
    """Return what an optimiser of this kind left, None before the first step; refuse another's."""
    kept = state.optimizer
    if kept is None or isinstance(kept, kind):
        return kept
    raise TypeError(
        f"state is of another optimiser: it holds {type(kept).__name__}, expected {kind.__name__}"
    )


def _forward(net: MLP, x: Array) -> Array:
    a = x
    for layer in net.layers:
        a = value(layer, a)
    return a


def _factors(method: FirstOrder, net: MLP, values: Mapping[str, Array]) -> tuple[float, ...]:
    """Return the factor of the learning rate of each parameter."""
    places = [name.rpartition(".")[0].removesuffix(".activation") for name in values]
    return method.layer_factors(places, len(net.layers))


def _least_squares(
    method: LevenbergMarquardt,
    net: MLP,
    x: Array,
    targets: Array,
    roots: Array,
    values: Mapping[str, Array],
    now: TrainingState,
) -> tuple[dict[str, Array], DampingState]:
    """Return parameters by name after an iteration."""

    def named(flat: Array) -> dict[str, Array]:
        ends = np.cumsum([v.size for v in values.values()])[:-1]
        parts = zip(values.items(), np.split(flat, ends), strict=True)
        return {name: part.reshape(v.shape) for (name, v), part in parts}

    def residuals(flat: Array) -> tuple[Array, Array]:
        changed = with_parameters(net, named(flat))
        r = roots[:, None] * (_forward(changed, x) - targets)
        rows = []
        for i in range(len(x)):
            for j in range(net.out_features):
                one = np.zeros(net.out_features)
                one[j] = roots[i]
                found = gradients(changed, x[i], one)
                rows.append(np.concatenate([found[name].ravel() for name in values]))
        return r.ravel(), np.array(rows)

    if not values:
        return {}, DampingState(stopped="gradient")  # which has no element
    flat = np.concatenate([v.ravel() for v in values.values()])
    decayed = np.concatenate([np.full(v.size, method.decays(v.ndim)) for v in values.values()])
    after, new = levenberg_marquardt_step(
        method, flat, residuals, _remembered(now, DampingState), decayed
    )
    return named(after), new
