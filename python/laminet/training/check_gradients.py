"""The gradients that training follows against central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import reference
from laminet.core.conversion.counts import as_count
from laminet.core.floating_point import silent
from laminet.core.mlp import MLP
from laminet.core.parameters import by_name
from laminet.core.report import Report, TableData
from laminet.optim import SGD
from laminet.training.samples import refuse_not_finite
from laminet.training.trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.losses import Loss

    Array = NDArray[np.float64]

__all__ = ["GradientCheck", "ParameterCheck", "check_gradients"]


@dataclass(frozen=True, repr=False)
class ParameterCheck(Report):
    """What `check_gradients` found in the gradient of one array of parameters.

    Attributes
    ----------
    parameter : str
        As `laminet.reference.parameters` names it: "layers[0].weight".
    shape : tuple of int
        Of the array.
    entries : int
        How many were looked at.
    max_error : float
        The largest difference of an entry from its central difference, less what that difference
        may be off; 0 where that explains all of them.
    index : tuple of int
        Where.
    analytic, numerical : float
        The two values there.
    uncertainty : float
        What the central difference may be off there.
    scale : float
        The largest entry of this gradient, by its absolute value: what `max_error` is to be
        compared with.
    kinks : int
        How many of those looked at have an uncertainty above a thousandth of `scale`: beside a
        kink, most often. Of them little is said.
    """

    parameter: str
    shape: tuple[int, ...]
    entries: int
    max_error: float
    index: tuple[int, ...]
    analytic: float
    numerical: float
    uncertainty: float
    scale: float
    kinks: int

    def tables(self) -> list[TableData]:
        """Return a table of one line."""
        return [_table([self])]


@dataclass(frozen=True, repr=False)
class GradientCheck(Report):
    """What `check_gradients` found.

    Attributes
    ----------
    parameters : tuple of ParameterCheck
        One for each array of parameters, in the order of the layers.
    loss : float
        Of the samples, as the training core computes it.
    loss_error : float
        Its difference from that of `laminet.reference`, in float64.
    """

    parameters: tuple[ParameterCheck, ...]
    loss: float
    loss_error: float

    @property
    def worst(self) -> ParameterCheck:
        """The array whose `max_error` is the largest beside its `scale`."""
        return max(self.parameters, key=_badness)

    @property
    def max_error(self) -> float:
        """That of the worst array."""
        return self.worst.max_error

    @property
    def scale(self) -> float:
        """That of the worst array."""
        return self.worst.scale

    def tables(self) -> list[TableData]:
        """Return a table with a line for each array of parameters."""
        return [_table(self.parameters)]


def _badness(found: ParameterCheck) -> float:
    if math.isnan(found.max_error):
        return math.inf
    return found.max_error / found.scale if found.max_error > 0 else 0.0


def _table(found: Any) -> TableData:
    rows = [
        (
            "parameters",
            "worst at",
            "analytic",
            "numerical",
            "error",
            "uncertainty",
            "largest entry",
            "looked at",
            "kinks",
        )
    ]
    for one in found:
        rows.append(
            (
                one.parameter,
                str(one.index),
                f"{one.analytic:.9g}",
                f"{one.numerical:.9g}",
                f"{one.max_error:.3g}",
                f"{one.uncertainty:.3g}",
                f"{one.scale:.3g}",
                f"{one.entries} of {math.prod(one.shape)}",
                str(one.kinks),
            )
        )
    return TableData(rows, text_columns=2)


@silent
def check_gradients(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    loss: Loss | str | Mapping[str, Any] | None = "cross_entropy",
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: Any = None,
    step: float | None = None,
    entries: int | None = 64,
) -> GradientCheck:
    """Compare the gradients by which a network is trained with central differences in float64.

    Parameters
    ----------
    net : MLP
        The network, of either dtype; the differences are taken in float64 of the same parameters.
        `Dropout` drops nothing.
    X : array_like of shape (batch, in_features)
        The samples; the fewer, the fewer kinks lie about.
    y : array_like of shape (batch, targets) or (batch,)
        What the outputs should be, as `laminet.Trainer.step` takes it.
    loss : Loss, str or None, default "cross_entropy"
        One of `laminet.losses`; None for that of ``net.outputs``.
    sample_weight, class_weight
        As of `laminet.Trainer.step` and `laminet.Trainer`.
    step : float, optional
        The step of the differences; by default ``eps**(1/3) max(1, |w|)``, which balances their two
        errors.
    entries : int or None, default 64
        How many entries of each array to look at: the one with the largest gradient, and others at
        random, always the same. None for all, which takes four times as many losses as there are
        parameters.

    Returns
    -------
    GradientCheck
        A line for each array of parameters; ``.max_error`` and ``.scale`` of the worst. A NaN in
        either gradient is the worst there is.

    Raises
    ------
    ValueError
        If a shape is wrong, a number is not finite, loss and network do not go together, or `step`
        or `entries` is not positive.
    TypeError
        If an argument is of a wrong type.

    Notes
    -----
    A right gradient differs by some 1e-9 of its scale in float64, and by the rounding of float32,
    some 1e-6 of it, otherwise.

    What a central difference may be off follows from differences of half the step. Let ``t h`` be
    the distance of a kink at which the slope changes by ``d``, for a step ``h``. The central
    difference ``D(h)`` is off by ``d (1 - t) / 2``. It changes with the step by
    ``c = D(h) - D(h / 2)``, and the difference ``S(h)`` of the slopes to the two sides by
    ``s = S(h) - 2 S(h / 2)``, which is 0 where the loss is smooth. For each ``t`` from 0, where the
    kink is at the very point, to 1 the error is at most ``2 |c| + |s|``, and so it is of the
    truncation, ``4 |c| / 3``, where there is no kink. Only kinks on several sides can cancel each
    other there.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP.init([4, 8, 3], "tanh", dtype="float64", seed=0)
    >>> X = np.random.default_rng(0).standard_normal((5, 4))
    >>> found = ln.check_gradients(net, X, [0, 1, 2, 1, 0], "cross_entropy")
    >>> bool(found.max_error < 1e-8 * found.scale)
    True
    """
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
    reference.check_step(step)
    most = None if entries is None else as_count(entries, "entries")
    trainer = Trainer(net, loss, SGD(1.0), class_weight=class_weight, seed=0)
    x, targets, weights = trainer._taken(X, y, sample_weight)
    refuse_not_finite(x, X, "X")
    value, arrays = trainer._core.value_and_gradients(x, targets, weights)
    trained = trainer._trained
    found = by_name(arrays, trained._places)
    bare = trained._like(trained.layers, head=None, outputs=None, dtype="float64")
    values = reference.parameters(bare)
    of_core = trainer._goal.class_weight if trainer.loss_function.name == "cross_entropy" else None
    points = x.astype(np.float64)

    def loss_of(other: MLP) -> float:
        outputs = reference.forward(other, points)
        return reference.loss(trainer.loss_function, outputs, targets, weights, of_core)

    here = loss_of(bare)
    random = np.random.default_rng(0)
    checks = []
    for name, array in values.items():
        analytic = found[name].astype(np.float64)
        where = _looked_at(analytic, most, random)

        def moved(changed: Array, name: str = name) -> float:
            return loss_of(reference.with_parameters(bare, {name: changed}))

        differences = [_difference(moved, array, i, here, step) for i in where]
        checks.append(_checked(name, analytic, where, np.array(differences)))
    return GradientCheck(tuple(checks), float(value), abs(float(value) - here))


def _looked_at(gradient: Array, most: int | None, random: np.random.Generator) -> NDArray[np.intp]:
    """Return flat indices: that of the largest entry (of a NaN) first, then some of the others."""
    first = int(np.argmax(np.abs(gradient)))
    others = np.delete(np.arange(gradient.size), first)
    if most is not None and most < gradient.size:
        others = np.sort(random.choice(others, most - 1, replace=False))
    return np.concatenate([[first], others]).astype(np.intp)


def _difference(
    loss_of: Callable[[Array], float], array: Array, flat: int, here: float, step: float | None
) -> tuple[float, float]:
    """Return the central difference of a loss by one entry, and what it may be off."""
    start = float(array.flat[flat])
    h = step or np.finfo(np.float64).eps ** (1 / 3) * max(1.0, abs(start))
    found = []
    for width in (h, h / 2):
        above, below = np.array(array, np.float64), np.array(array, np.float64)
        above.flat[flat] += width
        below.flat[flat] -= width
        up, down = loss_of(above), loss_of(below)
        rise, fall = above.flat[flat] - start, start - below.flat[flat]  # start + h is rounded
        found.append(((up - down) / (rise + fall), (up - here) / rise - (here - down) / fall))
    (wide, bent), (narrow, bent_less) = found
    return wide, 2 * abs(wide - narrow) + abs(bent - 2 * bent_less)


def _checked(
    name: str, analytic: Array, where: NDArray[np.intp], differences: Array
) -> ParameterCheck:
    numerical, uncertainty = differences[:, 0], differences[:, 1]
    error = np.abs(analytic.flat[where] - numerical)
    # Not np.maximum: what is uncertain without end, or NaN, is no agreement.
    beyond = np.where(error <= uncertainty, 0.0, error - uncertainty)
    beyond[~np.isfinite(uncertainty)] = np.nan
    worst = int(np.argmax(beyond))  # the first NaN where there is one
    if beyond[worst] == 0:  # all is explained: show where most had to be
        worst = int(np.argmax(error))
    index = np.unravel_index(int(where[worst]), analytic.shape)
    scale = float(np.abs(analytic).max())
    return ParameterCheck(
        parameter=name,
        shape=analytic.shape,
        entries=len(where),
        max_error=float(beyond[worst]),
        index=tuple(int(i) for i in index),
        analytic=float(analytic.flat[where[worst]]),
        numerical=float(numerical[worst]),
        uncertainty=float(uncertainty[worst]),
        scale=scale,
        kinks=int((uncertainty > 1e-3 * scale).sum()),
    )
