"""What workers compute: gradients of batches of parts, and means of them; of any transport.

A step takes a share of the rows of each part. The gradient of a share depends on the part and the
parameters alone; those of all parts are joined pair by pair, 0 and 1, 2 and 3, then these pairs,
whoever has computed them. So no bit depends on how many workers there are, or on who holds what.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.optim import SGD
from laminet.training import Trainer
from laminet.training.samples import as_sample_weight, refuse_not_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP
    from laminet.losses import Loss

    Array = NDArray[Any]
    #: The sum of the weights of samples, their mean loss, and its gradient.
    Mean = tuple[float, float, Array]

    #: Means by level and number: of 2**level parts from number * 2**level on; None of no rows.
    Means = dict[tuple[int, int], Mean | None]

__all__ = ["Part", "Run", "Share", "flat", "forget", "gradients", "joined", "phases", "prepared"]
__all__ += ["steps_with_rows", "unflat"]


@dataclass(frozen=True)
class Run:
    """What workers are told of a run: its name, the network, the loss, and the seed of orders.

    `parts` is how many there are; `shuffle`, whether rows come in another order in each epoch.
    """

    name: str
    net: MLP
    loss: Loss
    seed: int
    shuffle: bool
    parts: int


@dataclass(frozen=True)
class Share:
    """Which rows of each part a step takes: the share `number` of `count`, in an epoch's order."""

    epoch: int
    number: int
    count: int


class Part:
    """Rows that a worker holds, as the core takes them: those that weigh."""

    def __init__(self, number: int, x: Array, y: Array, weights: Array | None) -> None:
        self.number, self.x, self.y, self.weights = number, x, y, weights
        self._order: tuple[int, Array] | None = None

    def rows(self, share: Share, run: Run, phase: int = 0) -> tuple[Array, Array, Array | None]:
        """Return the rows of a share, which `phases` shifts; there may be none."""
        begin = (share.number * len(self.x) + phase) // share.count
        end = ((share.number + 1) * len(self.x) + phase) // share.count
        chosen: Any = slice(begin, end)
        if run.shuffle:
            if self._order is None or self._order[0] != share.epoch:
                found = _order(len(self.x), run.seed, share.epoch, self.number)
                self._order = share.epoch, found
            chosen = self._order[1][begin:end]
        weights = None if self.weights is None else self.weights[chosen]
        return self.x[chosen], self.y[chosen], weights


def prepared(run: Run, number: int, given: Any) -> Part:
    """Return what a worker holds of a part that somebody has loaded: (X, y) or (X, y, weights).

    Raises
    ------
    ValueError, TypeError
        If these are no samples of the network; it names the part.
    """
    name = f"parts[{number}]"
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        kind = type(given).__name__
        raise TypeError(f"{name} must be a tuple (X, y) or (X, y, sample_weight), got {kind}")
    if _is_empty(given[0]):
        return Part(number, *_nothing(run.net))
    trainer = _trainer(run)
    try:
        x, y, _ = trainer._taken(given[0], given[1], None)
        refuse_not_finite(x, given[0], "X")
        # Another part may have samples that weigh.
        weights = as_sample_weight(given[2] if len(given) == 3 else None, len(x), some=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if weights is None or weights.all():
        return Part(number, x, y, weights)
    there = weights > 0
    return Part(number, x[there], y[there], weights[there])


def _is_empty(samples: Any) -> bool:
    try:
        return len(samples) == 0
    except TypeError:  # of what are no samples
        return False


def phases(lengths: Sequence[int], count: int) -> list[int]:
    """Return for each part by how much its shares of an epoch's `count` steps are shifted.

    A part of ``n`` rows gives ``n / count`` of them to a step in the mean. Were all rounded alike,
    parts with few rows would all give them to the same steps, and others would have none.
    """
    before = itertools.accumulate(lengths[:-1], initial=0)
    return [rows % count for rows in before]


def steps_with_rows(lengths: Sequence[int], count: int) -> Array:
    """Return which of an epoch's `count` steps some part gives a row to."""
    if not lengths or max(lengths) >= count:
        return np.arange(count)
    found = np.zeros(count, bool)
    for length, phase in zip(lengths, phases(lengths, count), strict=True):
        # Row j is in the first step k with (k + 1) length + phase >= (j + 1) count.
        rows = np.arange(1, length + 1)
        found[-(-(rows * count - phase) // length) - 1] = True
    return np.flatnonzero(found)


def gradients(
    run: Run, parts: Iterable[Part], parameters: Array, share: Share, shifts: Sequence[int]
) -> Means:
    """Return means of losses and gradients of a share of some parts, as far as they can be joined.

    `shifts` are their `phases`. Not more means are in memory than the tree of pairs is deep, beside
    what cannot be joined.
    """
    trainer = _trainer(run)
    trainer._core.assign("parameters", unflat(parameters, trainer._core.arrays()))
    found: Means = {}
    for part, shift in zip(parts, shifts, strict=True):
        mean = _gradient(trainer, *part.rows(share, run, shift))
        _put(found, (0, part.number), mean, run.parts)
    return found


def _gradient(trainer: Trainer, x: Array, y: Array, weights: Array | None) -> Mean | None:
    total = float(len(x)) if weights is None else float(weights.sum())
    if total == 0:
        return None
    loss, arrays = trainer._core.value_and_gradients(x, y, weights)
    return total, float(loss), flat(arrays)


def joined(run: Run, means: Iterable[Means]) -> Means:
    """Return what several workers have found, joined as far as it can be."""
    found: Means = {}
    for some in means:
        for place, mean in some.items():
            _put(found, place, mean, run.parts)
    return found


def _put(found: Means, place: tuple[int, int], mean: Mean | None, parts: int) -> None:
    """Add a mean, joined with the one beside it where that is there, and so on upwards."""
    level, i = place
    while (count := -(-parts // 2**level)) > 1:
        beside = i ^ 1
        if beside < count:  # else it is the last one of an odd number, and goes up by itself
            if (level, beside) not in found:
                break
            mean = _joined(mean, found.pop((level, beside)))  # of two, in any order
        level, i = level + 1, i // 2
    found[level, i] = mean


def _joined(a: Mean | None, b: Mean | None) -> Mean | None:
    if a is None or b is None:
        return b if a is None else a
    total = a[0] + b[0]
    first, second = a[0] / total, b[0] / total
    kind = a[2].dtype.type
    return total, first * a[1] + second * b[1], kind(first) * a[2] + kind(second) * b[2]


def flat(arrays: Any) -> Array:
    """Return arrays as the core gives them, in one row."""
    return np.concatenate([array.reshape(-1) for array in _leaves(arrays)])


def unflat(row: Array, like: Any) -> Any:
    """Return views of a row as arrays that are nested, and of the shapes, as those of `like`."""
    sizes = [array.size for array in _leaves(like)]
    pieces = iter(np.split(row, np.cumsum(sizes)[:-1]))

    def nested(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(map(nested, value))
        return None if value is None else next(pieces).reshape(value.shape)

    return nested(like)


def _leaves(arrays: Any) -> Iterable[Array]:
    if isinstance(arrays, (tuple, list)):
        for value in arrays:
            yield from _leaves(value)
    elif arrays is not None:
        yield arrays


# --- What a worker keeps for a run ----------------------------------------------------------------

# One for each run and thread: a trainer has one caller at a time.
_trainers: dict[tuple[str, int], Trainer] = {}


def _trainer(run: Run) -> Trainer:
    key = run.name, threading.get_ident()
    if (found := _trainers.get(key)) is None:
        found = _trainers[key] = Trainer(run.net, run.loss, SGD(1.0))
    return found


def forget(name: str) -> None:
    """Give back what a worker keeps for a run."""
    for key in [key for key in _trainers if key[0] == name]:
        _trainers.pop(key, None)


def _nothing(net: MLP) -> tuple[Array, Array, None]:
    return np.empty((0, net.in_features), net.dtype), np.empty((0, 1), net.dtype), None


def _order(rows: int, *key: int) -> Array:
    """Return an order of rows that depends on the key alone, and on no version of NumPy.

    That of hashes of counters (SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable
    Pseudorandom Number Generators", OOPSLA 2014).
    """
    step = 0x9E3779B97F4A7C15
    start = np.zeros(1, np.uint64)
    for number in key:
        start = _mixed(start ^ _mixed(np.array([(number + step) % 2**64], np.uint64)))
    counters = np.arange(1, rows + 1, dtype=np.uint64) * np.uint64(step)
    found: Array = np.argsort(_mixed(start + counters), kind="stable")
    return found


def _mixed(z: Array) -> Array:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Array = z ^ (z >> np.uint64(31))
    return found
