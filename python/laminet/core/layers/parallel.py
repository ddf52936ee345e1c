"""Layers side by side over the same input, joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from laminet.core.layers.layer import ImmutableLayer, Layer, Leaf
from laminet.core.layers.tree import (
    as_series,
    brief,
    ending,
    for_core,
    given,
    taken,
    without_ending,
)
from laminet.core.name_types import JoinName
from laminet.core.public_module import named_in
from laminet.core.suggestions import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Parallel"]

_JOINS: tuple[JoinName, ...] = get_args(JoinName)
_MEANINGS = {"concatenate": "concat", "cat": "concat", "stack": "concat", "hstack": "concat"}
_MEANINGS |= {"add": "sum", "plus": "sum", "average": "mean", "avg": "mean"}


@named_in("laminet")
class Parallel(ImmutableLayer):
    """Branches side by side over the same input: joined, added or averaged.

    Parameters
    ----------
    branches : iterable of iterables of layers
        One or more; a branch of no layers gives the input itself.
    join : {"concat", "sum", "mean"}, default "concat"
        Whether the outputs stand side by side, ``[f(x), g(x)]``, or are added, ``f(x) + g(x)``, or
        averaged. To be added they must be equally many.

    Attributes
    ----------
    branches : tuple of tuples of layers
    join : str
    in_features : int or None
        None where no branch says it.
    dtype : numpy.dtype or None
        The widest of the layers'; None where there are no arrays.

    Raises
    ------
    ValueError
        If there is no branch, or `join` is unknown.
    TypeError
        If a branch is no list of layers.

    Notes
    -----
    The Jacobians of branches are stacked, added or averaged as the outputs are. Branches of equal
    shapes, as of an ensemble, run as one product of all of them.

    Examples
    --------
    A skip connection: what follows sees the input beside what was made of it.

    >>> import laminet as ln
    >>> ln.MLP([ln.Parallel([[], [ln.Dense([[1.0, 1.0]])]])])([3.0, 4.0])
    array([3., 4., 7.])
    """

    __slots__ = ("branches", "join")
    _fields = ("branches", "join")
    _keeps_width = False

    branches: tuple[tuple[Layer, ...], ...]
    join: JoinName

    def __init__(self, branches: Iterable[Iterable[Layer]], join: JoinName = "concat") -> None:
        unordered = (Layer, str, bytes, Mapping, Set)
        if isinstance(branches, unordered) or not isinstance(branches, Iterable):
            raise TypeError(
                f"branches must be a list of lists of layers, got {type(branches).__name__}"
            )
        series = tuple(as_series(branch, f"branches[{b}]") for b, branch in enumerate(branches))
        if not series:
            raise ValueError("branches is empty; at least one must stand side by side")
        self._set(branches=series, join=_as_join(join))

    @property
    def in_features(self) -> int | None:
        """Length of an input sample; None where no branch says it."""
        return next((n for n in map(taken, self.branches) if n is not None), None)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """float32 or float64, the widest of the layers'; None where there are no arrays."""
        found = [layer.dtype for branch in self.branches for layer in branch]
        return max((d for d in found if d is not None), key=lambda d: d.itemsize, default=None)

    def _gives(self, features: int, place: str, giver: str) -> int:
        widths = []
        for b, branch in enumerate(self.branches):
            name = f"{place}.branches[{b}]"
            widths.append(([features, *given(branch, features, name, giver)])[-1])
            if self.join != "concat" and widths[b] != widths[0]:
                raise ValueError(
                    f"{name} gives {widths[b]} features, {place}.branches[0] gives {widths[0]}: "
                    f"join={self.join!r} takes equally many"
                )
        return sum(widths) if self.join == "concat" else widths[0]

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "parallel", [for_core(branch, features) for branch in self.branches], self.join

    def _brief(self) -> str:
        branches = [brief(branch) for branch in self.branches]
        if len(branches) > 1 and len(set(branches)) == 1:
            return f"{self.join}({len(branches)} x ({branches[0]}))"
        return f"{self.join}({' | '.join(branches)})"

    def _ending(self, before: str) -> str:
        # What a branch only passes on cannot be taken off it alone.
        passed = "identity" if before == "identity" else f"{before} before"
        ends = list(dict.fromkeys(ending(branch, passed) for branch in self.branches))
        if len(ends) == 1 and (self.join == "concat" or ends[0] == "identity"):
            return ends[0]
        return f"a {self.join} of {' and '.join(ends)}"

    def _without_ending(self) -> Parallel:
        return self._again(branches=[without_ending(branch) for branch in self.branches])

    def _parts(self) -> list[tuple[str, Sequence[Layer]]]:
        return [(f"branches[{b}]", branch) for b, branch in enumerate(self.branches)]

    def _mapped(self, change: Leaf) -> Parallel:
        mapped = [[layer._mapped(change) for layer in branch] for branch in self.branches]
        return self._again(branches=mapped)

    def _arrays(self) -> list[NDArray[Any]]:
        return []  # those of its layers are theirs

    def __repr__(self) -> str:
        branches = ", ".join(f"[{', '.join(map(repr, branch))}]" for branch in self.branches)
        return f"{type(self).__name__}([{branches}], join={self.join!r})"


def _as_join(value: object) -> JoinName:
    for join in _JOINS:
        if isinstance(value, str) and value == join:
            return join
    expected = f"expected one of {', '.join(_JOINS)}"
    if not isinstance(value, str):
        raise TypeError(f"join must be a str, {expected}, got {type(value).__name__}")
    hint = did_you_mean(value, _JOINS, _MEANINGS)
    raise ValueError(
        f"unknown join {value!r}, {f'{hint} {expected.capitalize()}' if hint else expected}"
    )
