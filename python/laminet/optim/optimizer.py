"""What optimisers have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from laminet.core.conversion.counts import as_step
from laminet.core.described import Described
from laminet.core.scalar_arguments import as_flag, as_number_within
from laminet.optim.schedules import Schedule, as_schedule, as_steps

__all__ = ["FirstOrder", "FullBatch", "Optimizer"]

_PLACE = re.compile(r"layers\[(\d+)\]")


@dataclass(frozen=True, repr=False)
class Optimizer(Described):
    """An optimiser; the kinds are `AdamW`, `LBFGS` and others of `laminet.optim`.

    Attributes
    ----------
    name : str
        What it is called where a name will do: "adamw".
    weight_decay : float
    decay_biases : bool
    """

    _example = "ln.optim.AdamW(1e-3)"

    _: KW_ONLY
    weight_decay: float = 0.0
    decay_biases: bool = False

    def __post_init__(self) -> None:
        self._set(
            weight_decay=as_number_within(self.weight_decay, "weight_decay", least=0),
            decay_biases=as_flag(self.decay_biases, "decay_biases"),
        )

    def decays(self, axes: int) -> bool:
        """Return whether an array of so many axes is made smaller by `weight_decay`.

        Matrices are; vectors, which are biases and what norms have, only where `decay_biases`.
        """
        return self.weight_decay > 0 and (axes > 1 or self.decay_biases)


@dataclass(frozen=True, repr=False)
class FirstOrder(Optimizer):
    """An optimiser that makes a step for each batch, along its gradient.

    Attributes
    ----------
    learning_rate : float
    clip_norm : float or None
    schedule : Schedule or None
    average : float or None
    learning_rate_factors : tuple or None
    """

    learning_rate: float = 1e-3
    _: KW_ONLY
    clip_norm: float | None = None
    # What __post_init__ makes of it is a Schedule or None.
    schedule: Schedule | str | Mapping[str, Any] | None = None
    average: float | None = None
    # What __post_init__ makes of it is a tuple of float, or of pairs of str and float, or None.
    learning_rate_factors: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            learning_rate=as_number_within(self.learning_rate, "learning_rate", above=0),
            clip_norm=_or_none(self.clip_norm, "clip_norm", above=0),
            schedule=None if self.schedule is None else as_schedule(self.schedule),
            average=_or_none(self.average, "average", above=0, below=1),
            learning_rate_factors=_as_factors(self.learning_rate_factors),
        )

    def rate_factor(
        self, step: int, total_steps: int | None = None, losses: Sequence[float] = ()
    ) -> float:
        """Return what the schedule multiplies the learning rate by: see `Schedule.factor`."""
        done, total = as_steps(step, total_steps)
        if self.schedule is None:
            return 1.0
        assert isinstance(self.schedule, Schedule)
        return self.schedule.factor(done, total, losses)

    def layer_factors(self, places: Sequence[str], num_layers: int) -> tuple[float, ...]:
        """Return the factor of the learning rate of each parameter.

        Parameters
        ----------
        places : sequence of str
            Where the layers stand that the parameters are of: "layers[0]",
            "layers[2].branches[1][0]".
        num_layers : int
            How many layers the network is made of: `len(net.layers)`.

        Returns
        -------
        tuple of float
            One for each of `places`; 1 where nothing was said.

        Raises
        ------
        ValueError
            If there are not as many factors as layers, one is for a place that has none of the
            parameters, or a place is in none of the layers.
        """
        factors = self.learning_rate_factors
        if factors is None:
            return (1.0,) * len(places)
        if isinstance(factors[0], float):
            if len(factors) != num_layers:
                raise ValueError(
                    f"learning_rate_factors has {len(factors)} numbers, the network has "
                    f"{num_layers} layers"
                )
            return tuple(factors[_number(place, num_layers)] for place in places)
        for within, _ in factors:
            if not any(_is_within(place, within) for place in places):
                known = ", ".join(dict.fromkeys(places))
                expected = f"expected {known} or what they are part of" if known else "nor anywhere"
                raise ValueError(
                    f"learning_rate_factors: there are no parameters in {within!r}, {expected}"
                )
        # The longest place that a parameter is within is the nearest one.
        ordered = sorted(factors, key=lambda factor: len(factor[0]), reverse=True)
        return tuple(
            next((number for within, number in ordered if _is_within(place, within)), 1.0)
            for place in places
        )


@dataclass(frozen=True, repr=False)
class FullBatch(Optimizer):
    """An optimiser that looks at all samples in every iteration.

    Attributes
    ----------
    max_iterations : int
    tolerance_gradient, tolerance_change : float
    """

    max_iterations: int = 200
    _: KW_ONLY
    tolerance_gradient: float = 1e-5
    tolerance_change: float = 1e-9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(max_iterations=as_step(self.max_iterations, "max_iterations", least=1))
        for name in ("tolerance_gradient", "tolerance_change"):
            self._set(**{name: as_number_within(getattr(self, name), name, least=0)})


def _or_none(value: Any, name: str, **bounds: float) -> float | None:
    return None if value is None else as_number_within(value, name, **bounds)


def _number(place: str, num_layers: int) -> int:
    """Return which layer of a network a place is in."""
    match = _PLACE.match(place)
    if match is None or int(match[1]) >= num_layers:
        raise ValueError(f"{place!r} is no place in a network of {num_layers} layers")
    return int(match[1])


def _is_within(place: str, within: str) -> bool:
    rest = place.removeprefix(within)
    return place.startswith(within) and (not rest or rest[0] in ".[")


def _as_factors(value: Any) -> tuple[Any, ...] | None:
    """Return factors as a tuple: a number for each layer, or pairs of a place and a number."""
    name = "learning_rate_factors"
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise ValueError(f"{name} must have shape (layers,), got shape {value.shape}")
        value = value.tolist()
    items: Any = value.items() if isinstance(value, Mapping) else value
    if isinstance(value, str) or not isinstance(value, (Sequence, Mapping)):
        raise TypeError(
            f"{name} must be a sequence of numbers, one for each layer, or a dict of places such "
            f"as 'layers[0]', got {type(value).__name__}"
        )
    if not items:
        raise ValueError(f"{name} is empty: leave it out where all layers learn alike")
    pairs = all(isinstance(item, (tuple, list)) and len(item) == 2 for item in items)
    if not pairs:
        return tuple(
            as_number_within(number, f"{name}[{i}]", least=0) for i, number in enumerate(items)
        )
    places = [place for place, _ in items]
    for i, place in enumerate(places):
        if not isinstance(place, str):
            raise TypeError(
                f"{name} must have places such as 'layers[0]' as keys, got {type(place).__name__}"
            )
        if place in places[:i]:
            raise ValueError(f"{name} has two numbers for {place!r}")
    return tuple(
        (place, as_number_within(number, f"{name}[{place!r}]", least=0)) for place, number in items
    )
