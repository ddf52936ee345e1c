"""What the learning rate is multiplied by as training goes on.

A duration, where a schedule takes one, is an integer, so many steps, or a float below 1, that part
of all steps. Steps are updates of the parameters, and count from 0. The cosines are those of the C
library, so that a trained network does not depend on the instruction set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from laminet.core.conversion import as_real_array
from laminet.core.conversion.counts import as_step
from laminet.core.described import Described, as_described
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number_within

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "InverseScaling",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Step",
    "WarmUp",
    "as_schedule",
    "as_steps",
]


class Schedule(Described):
    """A schedule; the kinds are `Cosine`, `WarmUp` and others of `laminet.optim.schedules`.

    Attributes
    ----------
    name : str
        What it is called where a name will do: "cosine".
    """

    __slots__ = ()
    _example = "ln.optim.schedules.Cosine()"

    def factor(
        self, step: int, total_steps: int | None = None, losses: Sequence[float] = ()
    ) -> float:
        """Return what the learning rate of one step is multiplied by.

        Parameters
        ----------
        step : int
            How many steps were made before it.
        total_steps : int, optional
            How many there will be in all. Some schedules need it.
        losses : sequence of float
            The losses of the epochs that are over, of validation where there is one. `Plateau`
            alone looks at them.

        Returns
        -------
        float
            At least 0.

        Raises
        ------
        ValueError
            If the schedule needs `total_steps`, and it is not known; or `step` is below 0, or
            `total_steps` below 1.
        TypeError
            If these are no integers, or losses that are looked at no real numbers.
        """
        done, total = as_steps(step, total_steps)
        return self._factor(done, total, losses)

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return what `factor` does."""
        raise NotImplementedError

    def _all(self, total_steps: int | None) -> int:
        if total_steps is None:
            raise ValueError(
                f"{self!r} needs to know how many steps there will be, and total_steps is None"
            )
        return total_steps

    def _steps(self, duration: float, total_steps: int | None) -> int:
        """Return a duration in steps, at least 1."""
        if isinstance(duration, int):
            return duration
        # Rounded up; 1e-9 keeps 0.1 * 30, a little above 3, at 3.
        return max(1, math.ceil(duration * self._all(total_steps) - 1e-9))


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """The same learning rate from first to last."""

    name: ClassVar[str] = "constant"

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return 1."""
        return 1.0


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    """Half a cosine, from 1 down to `final` [1]_. As ``CosineAnnealingLR`` of PyTorch.

    Parameters
    ----------
    steps : int or float, optional
        How long it takes; all steps if nothing is said. It stays at `final` after.
    final : float, default 0
        From 0 to 1.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017, equation 5.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> [round(schedules.Cosine().factor(step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    _: KW_ONLY
    steps: int | float | None = None
    final: float = 0.0
    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        if self.steps is not None:
            self._set(steps=_as_duration(self.steps, "steps"))
        self._set(final=as_number_within(self.final, "final", least=0, most=1))

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return ``final + (1 - final) (1 + cos(pi step / steps)) / 2``."""
        steps = (
            self._all(total_steps) if self.steps is None else self._steps(self.steps, total_steps)
        )
        return _half_cosine(1.0, self.final, min(step / steps, 1.0))


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """Up to 1 and down to almost nothing, both along cosines [1]_. As PyTorch's ``OneCycleLR``.

    The optimiser's learning rate is the largest one. Momentum and betas stay as they are, as with
    ``cycle_momentum=False`` there.

    Parameters
    ----------
    pct_start : float, default 0.3
        The part of all steps that go up; from 0 to 1.
    div_factor : float, default 25
        It begins at 1 over this; at least 1.
    final_div_factor : float, default 1e4
        It ends at the beginning over this; at least 1.

    References
    ----------
    .. [1] L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
       Large Learning Rates", 2017, arXiv:1708.07120.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> [round(schedules.OneCycle().factor(step, 10), 3) for step in range(0, 10, 3)]
    [0.04, 0.95, 0.389, 0.0]
    """

    _: KW_ONLY
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    name: ClassVar[str] = "one_cycle"

    def __post_init__(self) -> None:
        self._set(
            pct_start=as_number_within(self.pct_start, "pct_start", least=0, most=1),
            div_factor=as_number_within(self.div_factor, "div_factor", least=1),
            final_div_factor=as_number_within(self.final_div_factor, "final_div_factor", least=1),
        )

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return the factor on the way up, or down."""
        last = self._all(total_steps) - 1
        first = 1 / self.div_factor
        top = self.pct_start * (last + 1) - 1  # PyTorch's: a step's number, and seldom an integer
        if step <= top and top > 0:
            return _half_cosine(first, 1.0, step / top)
        top = max(top, 0.0)
        part = min((step - top) / (last - top), 1.0) if last > top else 1.0
        return _half_cosine(1.0, first / self.final_div_factor, part)


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class WarmUp(Schedule):
    """Up to 1 in a line, then another schedule.

    Step ``t`` of `steps` has ``(t + 1) / (steps + 1)``: none is lost to a factor of 0. As PyTorch's
    ``LinearLR(start_factor=1 / (steps + 1), total_iters=steps)`` before the other one.

    Parameters
    ----------
    steps : int or float, default 0.05
        How long it takes.
    then : Schedule or str, optional
        What follows, over the steps that are left; constant if nothing is said.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> warm = schedules.WarmUp(3, "cosine")
    >>> [round(warm.factor(step, 7), 3) for step in range(7)]
    [0.25, 0.5, 0.75, 1.0, 0.854, 0.5, 0.146]
    """

    steps: int | float = 0.05
    # What __post_init__ makes of it is a Schedule.
    then: Schedule | str | Mapping[str, Any] | None = None
    name: ClassVar[str] = "warm_up"

    def __post_init__(self) -> None:
        self._set(
            steps=_as_duration(self.steps, "steps"),
            then=Constant() if self.then is None else as_schedule(self.then, "then"),
        )

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return the factor on the way up, or that of `then`."""
        assert isinstance(self.then, Schedule)
        steps = self._steps(self.steps, total_steps)
        if step < steps:
            return (step + 1) / (steps + 1)
        left = None if total_steps is None else max(1, total_steps - steps)
        return self.then.factor(step - steps, left, losses)


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class Step(Schedule):
    """Down by `gamma` after every `step_size` steps. As PyTorch's ``StepLR``.

    Parameters
    ----------
    step_size : int or float, default 1/3
        How long each learning rate lasts.
    gamma : float, default 0.1
        Above 0 and at most 1.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> [schedules.Step(2, gamma=0.5).factor(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    step_size: int | float = 1 / 3
    _: KW_ONLY
    gamma: float = 0.1
    name: ClassVar[str] = "step"

    def __post_init__(self) -> None:
        self._set(
            step_size=_as_duration(self.step_size, "step_size"),
            gamma=as_number_within(self.gamma, "gamma", above=0, most=1),
        )

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return ``gamma`` to the power of how often it went down."""
        return float(self.gamma ** (step // self._steps(self.step_size, total_steps)))


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class InverseScaling(Schedule):
    """``(1 + step / steps) ** -power``: scikit-learn's ``invscaling`` with a clock of one's own.

    Parameters
    ----------
    power : float, default 0.5
        Above 0.
    steps : int or float, default 1
        How long until the factor is ``2 ** -power``.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> [schedules.InverseScaling(steps=100).factor(step) for step in (0, 300, 2400)]
    [1.0, 0.5, 0.2]
    """

    power: float = 0.5
    _: KW_ONLY
    steps: int | float = 1
    name: ClassVar[str] = "inverse_scaling"

    def __post_init__(self) -> None:
        self._set(
            power=as_number_within(self.power, "power", above=0),
            steps=_as_duration(self.steps, "steps"),
        )

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return the factor."""
        return float((1 + step / self._steps(self.steps, total_steps)) ** -self.power)


@named_in("laminet.optim.schedules")
@dataclass(frozen=True, repr=False)
class Plateau(Schedule):
    """Down by `gamma` where the loss no longer falls. As PyTorch's ``ReduceLROnPlateau``.

    Parameters
    ----------
    gamma : float, default 0.1
        Above 0 and less than 1.
    patience : int, default 10
        How many epochs in a row may bring nothing better before it goes down.
    threshold : float, default 1e-4
        How much less than the best loss so far is better; at least 0.
    threshold_mode : {"rel", "abs"}, default "rel"
        Whether `threshold` is a part of the best loss, or a loss.
    cooldown : int, default 0
        How many epochs do not count after it went down.
    minimum : float, default 0
        It goes no further down; from 0 to 1.

    Examples
    --------
    >>> from laminet.optim import schedules
    >>> plateau = schedules.Plateau(gamma=0.5, patience=1)
    >>> [plateau.after([3.0, 2.0, 2.0, 2.0][:epochs]) for epochs in range(5)]
    [1.0, 1.0, 1.0, 1.0, 0.5]
    """

    _: KW_ONLY
    gamma: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    minimum: float = 0.0
    name: ClassVar[str] = "plateau"

    def __post_init__(self) -> None:
        if self.threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', got {self.threshold_mode!r}")
        self._set(
            gamma=as_number_within(self.gamma, "gamma", above=0, below=1),
            patience=as_step(self.patience, "patience"),
            threshold=as_number_within(self.threshold, "threshold", least=0),
            cooldown=as_step(self.cooldown, "cooldown"),
            minimum=as_number_within(self.minimum, "minimum", least=0, most=1),
        )

    def _factor(self, step: int, total_steps: int | None, losses: Sequence[float]) -> float:
        """Return `after` the losses of the epochs that are over."""
        return self.after(losses)

    def after(self, losses: Sequence[float]) -> float:
        """Return the factor after epochs with these losses.

        Parameters
        ----------
        losses : sequence of float
            From the first epoch on. A NaN is never better.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If they are not in one row.
        TypeError
            If they are not real numbers.
        """
        array = as_real_array(losses, np.dtype(np.float64), "losses")
        if array.ndim != 1:
            raise ValueError(f"losses must have shape (epochs,), got shape {array.shape}")
        factor, best, bad, cooling = 1.0, math.inf, 0, 0
        for loss in array.tolist():
            if loss < self._to_beat(best):
                best, bad = loss, 0
            else:
                bad += 1
            if cooling > 0:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                factor = max(factor * self.gamma, self.minimum)
                cooling, bad = self.cooldown, 0
        return factor

    def _to_beat(self, best: float) -> float:
        if math.isinf(best):
            return best
        return (
            best * (1 - self.threshold) if self.threshold_mode == "rel" else best - self.threshold
        )


#: The schedules that there are.
SCHEDULES: tuple[type[Schedule], ...] = (
    Constant,
    Cosine,
    OneCycle,
    WarmUp,
    Step,
    InverseScaling,
    Plateau,
)

# What others call them; and None for schedules of similar names that are others.
_MEANINGS: dict[str, str | None] = {
    **dict.fromkeys(["cosineannealing", "cosineannealinglr", "cosinedecay", "cos"], "cosine"),
    **dict.fromkeys(["onecyclelr", "1cycle"], "one_cycle"),
    **dict.fromkeys(["linearwarmup", "warm"], "warm_up"),
    **dict.fromkeys(["steplr", "stepdecay"], "step"),
    **dict.fromkeys(["invscaling", "inversetimedecay"], "inverse_scaling"),
    **dict.fromkeys(["adaptive", "reducelronplateau", "reduceonplateau"], "plateau"),
    **dict.fromkeys(["multisteplr", "cosineannealingwarmrestarts", "cosinewarmrestarts"]),
}


def as_schedule(value: Schedule | str | Mapping[str, Any], argument: str = "schedule") -> Schedule:
    """Return a schedule, the one of this name, or the one that `Schedule.to_dict` has described.

    Parameters
    ----------
    value : Schedule, str or dict
        "constant", "cosine", "one_cycle", "warm_up", "step", "inverse_scaling" or "plateau"; of a
        name with its default parameters.
    argument : str
        What the user gave it for, for messages.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If there is no such name or parameter, or a parameter is out of its bounds.
    TypeError
        If it is neither of them.
    """
    return as_described(value, argument, Schedule, SCHEDULES, _MEANINGS)


def _half_cosine(start: float, end: float, part: float) -> float:
    """Return what lies between two factors along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def _as_duration(value: Any, name: str) -> int | float:
    """Return a duration: an int of steps, or a float, a part of all."""
    if isinstance(value, (float, np.floating)):
        if not 0 < value < 1:
            raise ValueError(
                f"{name} must be an integer, so many steps, or a part of all steps between 0 and "
                f"1, got {value}"
            )
        return float(value)
    return as_step(value, name, least=1)


def as_steps(step: Any, total_steps: Any) -> tuple[int, int | None]:
    """Return how many steps were made, and how many there will be, or None; refuse what is none."""
    total = None if total_steps is None else as_step(total_steps, "total_steps", least=1)
    return as_step(step, "step"), total
