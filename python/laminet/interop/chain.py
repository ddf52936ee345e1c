"""The form that every importer brings a model to: affine maps and activations, one after the other.

A `Chain` is a value: what a vector of features is, as a function of the network's input. Each
step gives a new one. Layers that are there are taken over bit by bit; what is folded into a layer
(a scale and a shift for each feature, as of a batch normalisation) is multiplied out in float64 and
rounded once, to the dtype of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.core.floating_point import rounded
from laminet.core.heads import as_head
from laminet.core.layers.dense import Dense
from laminet.core.mlp import MLP

__all__ = ["Chain", "joined"]

Array = NDArray[Any]

# A function of each feature where no layer is before it takes a layer with a diagonal matrix. This
# limits what is made of a few numbers: 128 MiB in float64.
_WIDEST_DIAGONAL = 4096


@dataclass(frozen=True, eq=False)
class Chain:
    """Features as a function of the network's input.

    ``W (scale * s(before) + shift) + b``, each part where it is not None; `before` None stands for
    the network's input, without an activation, or for `columns` of it. `scale` and `shift` are
    there only as long as no matrix is, and so are `columns`.

    Attributes
    ----------
    width : int or None
        The number of features; None as long as nothing has said how many inputs there are.
    columns : ndarray of int or None
        Which inputs the features are, of how many: `in_features`. None for all in order.
    origin : tuple of Chain and ndarray of int, or None
        For features that were selected: of which value, and which.
    source : object
        Which input of the model it is a function of, where a model has several.
    """

    width: int | None = None
    before: Chain | None = None
    activation: Activation | None = None
    weight: Array | None = None
    bias: Array | None = None
    scale: Array | None = None
    shift: Array | None = None
    columns: Array | None = None
    in_features: int | None = None
    origin: tuple[Chain, Array] | None = None
    source: Any = None

    def linear(self, weight: Array, bias: Array | None = None) -> Chain:
        """Return ``W v + b`` of this value, W of shape (out, in).

        Raises
        ------
        ValueError
            If the shapes do not fit, or a number that is multiplied out is too large for float64.
        """
        if weight.ndim != 2 or 0 in weight.shape:
            raise ValueError(f"a weight of shape {weight.shape} is not (outputs, inputs)")
        if self.weight is not None:
            return self._layer(Activation("identity")).linear(weight, bias)
        outputs, inputs = weight.shape
        if self.width not in (None, inputs):
            raise ValueError(
                f"a weight of shape {weight.shape} does not take {self.width} features"
            )
        if bias is not None and bias.shape != (outputs,):
            raise ValueError(f"a bias of shape {bias.shape} does not fit {outputs} outputs")
        if self.shift is not None:
            added = _applied(weight, np.broadcast_to(self.shift, inputs))
            bias = added if bias is None else _sum(bias, added)
        if self.scale is not None:
            weight = _product(weight, self.scale)
        if self.columns is not None:
            weight = _scattered(weight, self.columns, self.in_features)
        return self._followed(outputs, weight=weight, bias=bias)

    def _followed(self, width: int, weight: Array, bias: Array | None) -> Chain:
        """Return another matrix over what comes before this one's."""
        return Chain(width, self.before, self.activation, weight, bias, source=self.source)

    def scaled(self, scale: Array | float, shift: Array | float) -> Chain:
        """Return ``scale * v + shift``, both numbers or one number for each feature.

        Raises
        ------
        ValueError
            If the lengths do not fit, or a number that is multiplied out is too large for float64.
        """
        scale, shift = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        width = self.width
        for array in (scale, shift):
            if array.ndim > 1 or (array.ndim == 1 and array.size != (width or array.size)):
                raise ValueError(f"an array of shape {array.shape} does not fit {width} features")
            width = array.size if array.ndim else width
        # The halves that change nothing must not touch the bits of a layer.
        scales, shifts = bool((scale != 1).any()), bool((shift != 0).any())
        result = replace(self, width=width, origin=None) if scales or shifts else self
        if result.width is None:
            result = replace(result, width=width)
        if scales:
            result = result._multiplied(scale if width is None else np.broadcast_to(scale, width))
        if shifts:
            result = result._shifted(shift if width is None else np.broadcast_to(shift, width))
        return result

    def _multiplied(self, factor: Array) -> Chain:
        if self.weight is None:
            scale = factor if self.scale is None else _product(factor, self.scale)
            shift = None if self.shift is None else _product(factor, self.shift)
            return replace(self, scale=scale, shift=shift)
        bias = None if self.bias is None else _product(factor, self.bias)
        return replace(self, weight=_product(factor[:, None], self.weight), bias=bias)

    def _shifted(self, shift: Array) -> Chain:
        if self.weight is None:
            return replace(self, shift=shift if self.shift is None else _sum(self.shift, shift))
        bias = shift if self.bias is None else _sum(self.bias, shift)
        return replace(self, bias=bias)

    def selected(self, indices: Array) -> Chain:
        """Return the features ``v[indices]``: some of them, in any order, repeated ones too.

        Raises
        ------
        ValueError
            If the number of features is not known, or an index is none of theirs.
        """
        if self.width is None:
            raise ValueError("selects some of an unknown number of features")
        if indices.ndim != 1 or indices.size == 0:
            raise ValueError(f"selects {indices.size} features")
        if indices.min() < 0 or indices.max() >= self.width:
            raise ValueError(f"selects feature {int(indices.max())} of {self.width}")
        if len(indices) == self.width and (indices == np.arange(self.width)).all():
            return self
        whole, places = self.origin or (self, np.arange(self.width))
        result = replace(
            self,
            width=len(indices),
            bias=None if self.bias is None else self.bias[indices],
            scale=None if self.scale is None else np.broadcast_to(self.scale, self.width)[indices],
            shift=None if self.shift is None else np.broadcast_to(self.shift, self.width)[indices],
            origin=(whole, places[indices]),
        )
        if self.weight is not None:
            return replace(result, weight=self.weight[indices])
        if self.before is not None:
            return replace(result, before=self.before._with_matrix().selected(indices))
        inputs = np.arange(self.width) if self.columns is None else self.columns
        return replace(result, columns=inputs[indices], in_features=self.in_features or self.width)

    def activated(self, activation: Activation) -> Chain:
        """Return ``s(v)``.

        Raises
        ------
        ValueError
            If that takes a layer that is not there, and there are too many features for one.
        """
        return self if activation.name == "identity" else self._layer(activation)

    def _layer(self, activation: Activation) -> Chain:
        before = self._with_matrix()
        return Chain(self.width, before, activation, source=self.source)

    def _with_matrix(self) -> Chain:
        """Return this value with a matrix: a diagonal one if there is none."""
        if self.weight is not None:
            return self
        if self.width is None:
            raise ValueError("no layer says how many features the network takes")
        if self.width > _WIDEST_DIAGONAL:
            raise ValueError(
                f"a function of each of {self.width} features without a layer before it would take "
                f"a matrix of {self.width} x {self.width}; up to {_WIDEST_DIAGONAL} are accepted"
            )
        return self.linear(np.eye(self.width, dtype=np.float32))

    def network(self, dtype: np.dtype[Any], head: str | None = None) -> MLP:
        """Return the network whose outputs are this value, or the head of it.

        Raises
        ------
        ValueError
            If no layer says how many inputs there are, or a folded weight is too large for `dtype`.
        """
        layers: list[Dense] = []
        chain: Chain | None = self
        parts = (self.weight, self.scale, self.shift, self.columns)
        if self.before is None or any(part is not None for part in parts):
            chain = self._layer(Activation("identity"))
        while chain is not None and chain.before is not None and chain.activation is not None:
            layer, activation = chain.before, chain.activation
            assert layer.weight is not None  # _layer() has made one
            bias = None if layer.bias is None else rounded(layer.bias, dtype, "bias")
            layers.append(Dense(rounded(layer.weight, dtype, "weight"), bias, activation))
            chain = layer
        return MLP(reversed(layers), head=as_head(head))


def joined(values: Sequence[Chain]) -> Chain:
    """Return the features of some values side by side, in that order.

    They are parts of one value (as of the input, or of a layer's outputs), scaled or not, or
    results of matrices over the same value.

    Raises
    ------
    ValueError
        If they are results of different layers: then they are no chain.
    """
    if len(values) == 1:
        return values[0]
    parts = [v.origin or (v, np.arange(v.width or 0)) for v in values]
    whole = parts[0][0]
    if all(v.width is not None for v in values) and all(p[0] is whole for p in parts):
        return whole.selected(np.concatenate([places for _, places in parts]))
    inputs = _inputs_beside(values)
    if inputs is not None:
        return inputs
    values = [v if v.width is None else v._with_matrix() for v in values]
    first = values[0]
    same = all(v.before is first.before and v.activation == first.activation for v in values)
    same = same and all(v.source is first.source for v in values)
    matrices = [v.weight for v in values]
    if not same or any(w is None for w in matrices):
        raise ValueError("joins results of different layers: the model is not a chain")
    if len({w.shape[1] for w in matrices if w is not None}) > 1:
        raise ValueError("joins results of layers that take different numbers of features")
    biases = [v.bias for v in values]
    bias = None
    if any(b is not None for b in biases):
        bias = np.concatenate(
            [np.zeros(v.width or 0, np.float32) if v.bias is None else v.bias for v in values]
        )
    weight = np.concatenate([w for w in matrices if w is not None])
    return first._followed(len(weight), weight, bias)


def _inputs_beside(values: Sequence[Chain]) -> Chain | None:
    """Return columns of the input side by side, each with its scale and shift; None for others."""
    first = values[0]
    for v in values:
        if v.before is not None or v.weight is not None or v.source is not first.source:
            return None
        if v.width is None or (v.in_features or v.width) != (first.in_features or first.width):
            return None
    columns = [np.arange(v.width or 0) if v.columns is None else v.columns for v in values]
    parts = {}
    for name, neutral in (("scale", 1.0), ("shift", 0.0)):
        if any(getattr(v, name) is not None for v in values):
            given = [neutral if getattr(v, name) is None else getattr(v, name) for v in values]
            parts[name] = np.concatenate(
                [np.broadcast_to(g, v.width or 0) for g, v in zip(given, values, strict=True)]
            )
    return replace(
        first,
        width=sum(v.width or 0 for v in values),
        columns=np.concatenate(columns),
        in_features=first.in_features or first.width,
        scale=parts.get("scale"),
        shift=parts.get("shift"),
        origin=None,
    )


def _scattered(weight: Array, columns: Array, in_features: int | None) -> Array:
    """Return a matrix over all inputs that does what `weight` does over some of them."""
    result = np.zeros((len(weight), in_features or 0), weight.dtype)
    if len(np.unique(columns)) == len(columns):
        result[:, columns] = weight
        return result
    # An input that comes twice: its weights are summed, exactly in float64 where they are float32.
    wide = result.astype(np.float64)
    for column, weights in zip(columns, weight.T, strict=True):
        wide[:, column] = _sum(wide[:, column], weights)
    return wide


# What is folded is multiplied out in float64. A model may hold infinities, which show in its
# answers; one that comes out of finite numbers would show in ours alone.


def _product(a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = a.astype(np.float64) * b
    return _not_lost(result, np.isfinite(a) & np.isfinite(b))


def _sum(a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = a.astype(np.float64) + b
    return _not_lost(result, np.isfinite(a) & np.isfinite(b))


def _applied(weight: Array, vector: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = weight.astype(np.float64) @ vector
    return _not_lost(result, np.isfinite(weight).all(axis=1) & np.isfinite(vector).all())


def _not_lost(result: Array, finite: Any) -> Array:
    """Return `result`; refuse what is not finite where its operands are."""
    if (finite & ~np.isfinite(result)).any():
        raise ValueError("a weight or bias with what is folded into it is too large for float64")
    return result
