"""From the graph of forms to the tree of layers: what is in series, side by side, and summed.

Walked from the result back to the input. Where a sum or a join stands, its parts are branches from
the last value that all of them need, their *fork*: the nearest form or step through which every way
from them to the input goes. A part that is the fork itself is the identity, and such a sum is a
residual. What several parts need that is not the fork is computed once and carried along: the
values that are needed become columns of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from laminet.core.activation import Activation
from laminet.core.floating_point import rounded
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.layer import Layer
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.interop.symbolic.exact import Array
from laminet.interop.symbolic.forms import (
    Activated,
    Averaged,
    Clipped,
    Dropped,
    Form,
    Input,
    Joined,
    Node,
    Normalised,
    Summed,
)
from laminet.interop.symbolic.region import Region, Users
from laminet.interop.symbolic.tidying import selection, tidied

__all__ = ["laid_out"]

#: Values that are known, and where they are in what is known; None for all of it.
_Leaves: TypeAlias = dict[Any, "Array | None"]

# Sums within sums within joins: real models nest three.
_DEEPEST = 32
_IDENTITY = Activation("identity")


def laid_out(form: Form, dtype: np.dtype[Any]) -> tuple[tuple[Layer, ...], int | None]:
    """Return the layers, in series, that compute a form of the input, and how many features it has.

    None where nothing says how many.

    Raises
    ------
    ValueError
        If a node has no place in a network, or a number is too large for `dtype`.
    """
    form = _of_parts(form)
    known: _Leaves = {form.source: None}
    region = Region([form], known, Users(form))
    width = form.source.width or region.input_width
    return _Layout(dtype).series(form, known, region, 0), width


class _Layout:
    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def series(self, node: Node, leaves: _Leaves, region: Region, depth: int) -> tuple[Layer, ...]:
        """Return the layers from what is known to a value."""
        if depth > _DEEPEST:
            raise ValueError(f"has branches within branches, more than {_DEEPEST} deep")
        pieces: list[list[Layer]] = []
        while node not in leaves:
            piece, before = self._made(node, leaves, region, depth)
            pieces.append(piece)
            if before is None:
                break
            node = before
        else:
            columns = leaves[node]
            pieces.append([] if columns is None else [selection(columns)])
        return tidied([layer for piece in reversed(pieces) for layer in piece])

    def _made(
        self, node: Node, leaves: _Leaves, region: Region, depth: int
    ) -> tuple[list[Layer], Node | None]:
        """Return the layers that make a value, and of which; None of all that is known."""
        if isinstance(node, Form):
            return self._of_form(node, _IDENTITY, leaves, region)
        if isinstance(node, (Summed, Joined)):
            return self._branches(node, leaves, region, depth)
        if isinstance(node, Input):
            raise ValueError("is a function of several inputs, which are joined nowhere")
        if isinstance(node, Averaged):
            raise ValueError(
                "takes a mean of each sample, and what is made of it is no normalisation that "
                "laminet has"
            )
        of = node.of
        if isinstance(node, Activated):
            if of in leaves or of.weight is None:
                return self._activation(node.activation), of
            return self._of_form(of, node.activation, leaves, region)
        if isinstance(node, Clipped):
            return [self._clip(node)], of
        if isinstance(node, Dropped):
            return [Dropout(node.rate)], of
        if isinstance(node, Normalised):
            weight = self._rounded(node.weight)
            if node.kind == "rms":
                return [RMSNorm(weight, node.eps)], of
            return [LayerNorm(weight, self._rounded(node.bias, "bias"), node.eps)], of
        return self._centred(of, leaves)

    def _of_form(
        self, form: Form, activation: Activation, leaves: _Leaves, region: Region
    ) -> tuple[list[Layer], Node]:
        """Return the layers of an activation of a form, and what they are over."""
        scaled_of = region.users.scaled_of
        base = scaled_of(form)
        if base is not None:
            layers = self._affine(_scaled(base, form), _IDENTITY)
            return [*layers, *self._activation(activation)], base
        step = form.step
        plain = isinstance(step, Activated) and step.activation.name == "identity"
        if plain and form.weight is not None and isinstance(step, Activated):
            inner = step.of
            base = scaled_of(inner)
            if base is not None and step not in leaves and inner not in leaves:
                # What scales a result that others need too is folded into the layer after it.
                folded = _scaled(base, inner).linear(form.weight, form.bias)
                return self._affine(folded, activation), base
        if form.weight is None:
            return [*self._affine(form, _IDENTITY), *self._activation(activation)], step
        return self._affine(form, activation), step

    def _activation(self, activation: Activation) -> list[Layer]:
        return [] if activation.name == "identity" else [activation]

    def _rounded(self, array: Array | None, name: str = "weight") -> Array | None:
        return None if array is None else rounded(array, self._dtype, name)

    def _affine(self, form: Form, activation: Activation) -> list[Layer]:
        if form.weight is not None:
            weight = rounded(form.weight, self._dtype, "weight")
            return [Dense(weight, self._rounded(form.bias, "bias"), activation)]
        layers: list[Layer] = [] if form.columns is None else [selection(form.columns)]
        if not form.bare:
            scale = 1.0 if form.scale is None else self._number(form.scale)
            layers.append(Rescale(scale, 0.0 if form.shift is None else self._number(form.shift)))
        return layers

    def _clip(self, step: Clipped) -> Layer:
        low = None if np.isneginf(step.low).all() else self._number(step.low)
        high = None if np.isposinf(step.high).all() else self._number(step.high)
        return Rescale(low=low, high=high)

    def _number(self, array: Array) -> Any:
        """Return one number where all are equal, else one for each feature."""
        first = float(array.flat[0])
        # Rounded in any case: what is too large for the network's dtype is refused.
        exact = rounded(array, self._dtype, "number")
        return first if (array == first).all() else exact

    def _centred(self, of: Form, leaves: _Leaves) -> tuple[list[Layer], Node]:
        """Return ``x - mean(x)`` as a matrix, of the one before it where there is one."""
        if of not in leaves and of.weight is not None:
            weight = of.weight - np.mean(of.weight, axis=0, dtype=np.float64)
            bias = None if of.bias is None else of.bias - np.mean(of.bias, dtype=np.float64)
            centred = Form(of.step, of.source, of.width, weight, bias)
            return self._affine(centred, _IDENTITY), of.step
        width = of.width or 0
        matrix = np.eye(width) - 1 / width
        return [Dense(rounded(matrix, self._dtype, "weight"))], of

    # --- Sums and joins --------------------------------------------------------------------------

    def _branches(
        self, node: Summed | Joined, leaves: _Leaves, region: Region, depth: int
    ) -> tuple[list[Layer], Node | None]:
        """Return the layer that a sum or join is, and where its branches begin."""
        parts = region.users.parts(node)
        fork = region.fork(parts)
        inner: _Leaves = leaves if fork is None else {fork: None}
        layers, inner, region = self._carried(parts, inner, region, depth)
        branches = [self.series(part, inner, region, depth + 1) for part in parts]
        identities = [_is_all(part, inner) for part in parts]
        return [*layers, _joined_layer(node, branches, identities)], fork

    def _carried(
        self, nodes: Sequence[Node], leaves: _Leaves, region: Region, depth: int
    ) -> tuple[list[Layer], _Leaves, Region]:
        """Return what makes the values that several of these need, and what is known after it."""
        carried = region.carried(nodes, leaves)
        if not carried:
            return [], leaves, region
        layers = self._beside(carried, leaves, region, depth + 1)
        columns = _columns(carried, region)
        return layers, columns, Region(nodes, columns, region.users)

    def _beside(
        self, nodes: Sequence[Node], leaves: _Leaves, region: Region, depth: int
    ) -> list[Layer]:
        """Return the layers that make several values of what is known, side by side."""
        layers, leaves, region = self._carried(nodes, leaves, region, depth)
        branches = [self.series(node, leaves, region, depth + 1) for node in nodes]
        return [*layers, Parallel(tuple(branches))]


def _is_all(form: Form, leaves: _Leaves) -> bool:
    """Whether a form is all that is known."""
    if form in leaves:
        return leaves[form] is None
    return form.plain and form.step in leaves and leaves[form.step] is None


def _scaled(base: Form, form: Form) -> Form:
    """Return a form that scales another as one over it, as if that were a step."""
    assert form.scaled_of is not None  # who calls has looked
    _, scale, shift = form.scaled_of
    return Form(base.step, base.source, form.width).scaled(scale, shift)


def _of_parts(form: Form) -> Form:
    """Return what scales a join of matrices as a join of scaled ones."""
    step, width = form.step, form.width or 0
    if not isinstance(step, Joined) or form.weight is not None or form.columns is not None:
        return form
    if form.bare or any(part.weight is None for part in step.parts):
        return form
    ends = np.cumsum([part.width or 0 for part in step.parts])[:-1]
    scales, shifts = (
        np.split(np.broadcast_to(neutral if array is None else array, width), ends)
        for array, neutral in ((form.scale, 1.0), (form.shift, 0.0))
    )
    parts = zip(step.parts, scales, shifts, strict=True)
    return form.over(Joined(tuple(p.scaled(k, m) for p, k, m in parts)), form.width)


def _columns(nodes: Sequence[Node], region: Region) -> _Leaves:
    """Return where values are that stand side by side."""
    widths = [region.width(node) for node in nodes]
    ends = np.cumsum(widths)
    return {n: np.arange(end - w, end) for n, w, end in zip(nodes, widths, ends, strict=True)}


def _joined_layer(
    node: Summed | Joined, branches: list[tuple[Layer, ...]], identities: list[bool]
) -> Layer:
    if isinstance(node, Joined):
        return Parallel(tuple(branches))
    if sum(identities) != 1:
        return Parallel(tuple(branches), "sum")
    rest = [b for b, same in zip(branches, identities, strict=True) if not same]
    return Residual(rest[0] if len(rest) == 1 else (Parallel(tuple(rest), "sum"),))
