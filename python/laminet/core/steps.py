"""The steps that a network runs, as the core has them, and the layers that they come from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laminet.core.activation import Activation
from laminet.core.layers.dense import Dense
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.residual import Residual

if TYPE_CHECKING:
    from laminet.core.layers.layer import Layer
    from laminet.core.network import Network

__all__ = ["LayerAt", "Program", "Step", "Work", "program_of"]

_Path = tuple[int, ...]

#: In a path: all branches, which run as one.
_EACH = -1


@dataclass(frozen=True)
class Work:
    """What a step does and moves for a sample or a row of a derivative, in FLOPs and elements.

    Attributes
    ----------
    products, biases, functions, others : int
        FLOPs: of matrix products; of biases added; of activations; all others.
    read, written : int
        Elements.
    weights_read, biases_read, gradients_written : int
        Elements of arrays that do not grow with the samples.
    """

    products: int
    biases: int
    functions: int
    others: int
    read: int
    written: int
    weights_read: int
    biases_read: int
    gradients_written: int


@dataclass(frozen=True)
class LayerAt:
    """A layer in the tree, or equal layers of branches that run as one.

    Attributes
    ----------
    place : str
        ``"3"`` is the third layer, ``"3.2"`` the second layer of the residual block that it is, or
        the second branch of layers side by side, ``"3.2.1"`` the first layer of that, and
        ``"3.*.1"`` the first layers of all branches.
    layers : tuple of layers
        Itself and its equals; none of a branch.
    path : tuple of int, or None
        What the core calls it; None where the core is not told of it, as it does nothing.
    """

    place: str
    layers: tuple[Layer, ...]
    path: _Path | None

    @property
    def is_leaf(self) -> bool:
        """Whether it is a layer that is made of no others."""
        return bool(self.layers) and not isinstance(self.layers[0], (Parallel, Residual))


@dataclass(frozen=True)
class Step:
    """A step of a network.

    Attributes
    ----------
    kind : str
        ``"dense"``, ``"activation"``, ``"rescale"``, ``"layer norm"``, ``"rms norm"``,
        ``"select"``, ``"copy"``, ``"sum"``, ``"mean"`` or ``"softmax"``.
    source : LayerAt or None
        Where it comes from; None of the head, and of a copy to the output.
    function : LayerAt or None
        The `Activation` that is part of it, where that is a layer of its own.
    copies : int
        So many equal layers in branches run as one.
    groups : int
        The products that it is, side by side: as many as copies, or one where all of them read the
        same input.
    in_features, out_features : int
        Of one product; of other steps what they read first and what they give.
    adds : bool
        Whether a product is added to something: the end of a residual block.
    works : mapping of str to Work
        For ``"forward"``, ``"record"`` (what derivatives have of a sample besides),
        ``"pull_back"`` and ``"push_forward"`` of a row, ``"gradients"`` of the parameters, and
        ``"first_factor"``, where a Jacobian begins.
    """

    kind: str
    source: LayerAt | None
    function: LayerAt | None
    copies: int
    groups: int
    in_features: int
    out_features: int
    adds: bool
    works: Mapping[str, Work]

    @property
    def place(self) -> str:
        """Where it comes from, and its function: ``"3"``, ``"3.2, 4"``."""
        places = [at.place for at in (self.source, self.function) if at is not None]
        return ", ".join(places) or ("head" if self.kind == "softmax" else "output")

    @property
    def layer(self) -> Layer | None:
        """The layer that it comes from, the first of its equals."""
        return self.source.layers[0] if self.source is not None and self.source.layers else None

    @property
    def activation(self) -> Activation | None:
        """Its function."""
        own = self.layer if self.function is None else self.function.layers[0]
        if isinstance(own, Dense):
            return own.activation
        return own if isinstance(own, Activation) else None

    @property
    def top(self) -> int | None:
        """Number of the layer of the network that it belongs to, from 0 on."""
        return None if self.source is None else int(self.source.place.partition(".")[0]) - 1


@dataclass(frozen=True)
class Program:
    """What a network runs.

    Attributes
    ----------
    steps : tuple of Step
        In order; the last one may be the head.
    layers : tuple of LayerAt
        All that stands in the tree, as it runs: what is within a layer before that.
    mode : str
        How its Jacobian is multiplied out: ``"reverse"`` or ``"forward"``.
    first : int or None
        The step whose scaled weights that begins with.
    """

    steps: tuple[Step, ...]
    layers: tuple[LayerAt, ...]
    mode: str
    first: int | None

    @property
    def before_head(self) -> tuple[Step, ...]:
        """The steps but for the head."""
        return tuple(step for step in self.steps if step.kind != "softmax")

    @property
    def parts(self) -> list[range]:
        """The layers of the network that have steps, each with those after it that have none."""
        tops = {step.top for step in self.steps if step.top is not None}
        starts = [0, *sorted(tops)[1:]]
        return [range(*ends) for ends in itertools.pairwise([*starts, int(self.layers[-1].place)])]


def program_of(net: Network) -> Program:
    """Return what a network runs."""
    told = net._core.steps()
    batched = {
        path[: i + 1]
        for path in (step["layer"] for step in told["steps"])
        for i, number in enumerate(path)
        if number == _EACH
    }
    layers = tuple(_walk([net.layers], net.in_features, (), "", batched))
    by_path = {at.path: at for at in layers if at.path is not None}
    steps = tuple(_step(step, by_path) for step in told["steps"])
    return Program(steps, layers, told["mode"], told["first"])


def _step(told: Mapping[str, Any], by_path: Mapping[_Path, LayerAt]) -> Step:
    works = {name: Work(*counts) for name, counts in told["costs"].items()}
    return Step(
        told["kind"],
        by_path.get(told["layer"]),
        by_path.get(told["function"]),
        told["copies"],
        told["groups"],
        told["in_features"],
        told["out_features"],
        told["adds"],
        works,
    )


def _walk(
    copies: Sequence[Sequence[Layer]], features: int, path: _Path, place: str, batched: set[_Path]
) -> Iterator[LayerAt]:
    """Yield all that is in a series, of which there may be equal copies."""
    numbered = [list(_numbered(series, features)) for series in copies]
    equals = [[layer for number, layer, _ in one if number is not None] for one in numbered]
    for i, (number, layer, takes) in enumerate(numbered[0], 1):
        here = f"{place}{i}"
        if number is None:
            yield LayerAt(here, (layer,), None)
            continue
        own = (*path, number)
        same = tuple(one[number] for one in equals)
        if isinstance(layer, Residual):
            inside = [one.layers for one in same if isinstance(one, Residual)]
            yield from _walk(inside, takes, own, f"{here}.", batched)
        elif isinstance(layer, Parallel):
            yield from _walk_branches(layer, takes, own, here, batched)
        yield LayerAt(here, same, own)


def _walk_branches(
    layer: Parallel, features: int, path: _Path, place: str, batched: set[_Path]
) -> Iterator[LayerAt]:
    if (*path, _EACH) in batched:
        yield from _walk(layer.branches, features, (*path, _EACH), f"{place}.*.", batched)
        return
    for b, branch in enumerate(layer.branches):
        at = f"{place}.{b + 1}"
        yield from _walk([branch], features, (*path, b), f"{at}.", batched)
        yield LayerAt(at, (), (*path, b))


def _numbered(layers: Sequence[Layer], features: int) -> Iterator[tuple[int | None, Layer, int]]:
    """Yield the core's number of each layer, the layer, and how many features it takes."""
    number = 0
    for layer in layers:
        told = layer._for_core(features) is not None
        yield number if told else None, layer, features
        number += told
        features = layer._gives(features, "", "")
