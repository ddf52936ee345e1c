"""The form that every importer brings a model to: affine maps and activations, one after the other.

A `Chain` is a value: what a vector of features is, as a function of the network's input. Each
step gives a new one. Layers that are there are taken over bit by bit; what is folded into a layer
(a scale and a shift for each feature, as of a batch normalisation) is multiplied out in float64 and
rounded once, to the dtype of the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.activation import Activation
from laminet.dense import Dense
from laminet.mlp import MLP

__all__ = ["Chain", "rounded"]

Array = NDArray[Any]

# A function of each feature where no layer is before it takes a layer with a diagonal matrix. This
# limits what is made of a few numbers: 128 MiB in float64.
_WIDEST_DIAGONAL = 4096


@dataclass(frozen=True, eq=False)
class Chain:
    """Features as a function of the network's input.

    ``W (scale * s(before) + shift) + b``, each part where it is not None; `before` None stands for
    the network's input, without an activation. `scale` and `shift` are there only as long as no
    matrix is.

    Attributes
    ----------
    width : int or None
        The number of features; None as long as nothing has said how many inputs there are.
    """

    width: int | None = None
    before: Chain | None = None
    activation: Activation | None = None
    weight: Array | None = None
    bias: Array | None = None
    scale: Array | None = None
    shift: Array | None = None

    def linear(self, weight: Array, bias: Array | None = None) -> Chain:
        """Return ``W v + b`` of this value, W of shape (out, in).

        Raises
        ------
        ValueError
            If the shapes do not fit.
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
            added = weight.astype(np.float64) @ np.broadcast_to(self.shift, inputs)
            bias = added if bias is None else bias.astype(np.float64) + added
        if self.scale is not None:
            weight = weight.astype(np.float64) * self.scale
        return replace(self, width=outputs, weight=weight, bias=bias, scale=None, shift=None)

    def scaled(self, scale: Array | float, shift: Array | float) -> Chain:
        """Return ``scale * v + shift``, both numbers or one number for each feature.

        Raises
        ------
        ValueError
            If the lengths do not fit.
        """
        scale, shift = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        width = self.width
        for array in (scale, shift):
            if array.ndim > 1 or (array.ndim == 1 and array.size != (width or array.size)):
                raise ValueError(f"an array of shape {array.shape} does not fit {width} features")
            width = array.size if array.ndim else width
        # The halves that change nothing must not touch the bits of a layer.
        scales, shifts = bool((scale != 1).any()), bool((shift != 0).any())
        result = replace(self, width=width)
        with np.errstate(all="ignore"):  # a model may hold infinities; they show in its answers
            if scales:
                result = result._multiplied(
                    scale if width is None else np.broadcast_to(scale, width)
                )
            if shifts:
                result = result._shifted(shift if width is None else np.broadcast_to(shift, width))
        return result

    def _multiplied(self, factor: Array) -> Chain:
        if self.weight is None:
            scale = factor if self.scale is None else factor * self.scale
            shift = None if self.shift is None else factor * self.shift
            return replace(self, scale=scale, shift=shift)
        bias = None if self.bias is None else factor * self.bias
        return replace(self, weight=factor[:, None] * self.weight.astype(np.float64), bias=bias)

    def _shifted(self, shift: Array) -> Chain:
        if self.weight is None:
            return replace(self, shift=shift if self.shift is None else self.shift + shift)
        bias = shift if self.bias is None else self.bias.astype(np.float64) + shift
        return replace(self, bias=bias)

    def reordered(self, order: Array) -> Chain:
        """Return the features ``v[order]``, a permutation of them."""
        if (order == np.arange(len(order))).all():
            return self
        if self.weight is not None:
            bias = None if self.bias is None else self.bias[order]
            return replace(self, weight=self.weight[order], bias=bias)
        scale = None if self.scale is None else self.scale[order]
        shift = None if self.shift is None else self.shift[order]
        if self.before is None:
            return (
                replace(self, scale=None, shift=None)
                ._with_matrix()
                .reordered(order)
                .scaled(1.0 if scale is None else scale, 0.0 if shift is None else shift)
            )
        return replace(self, before=self.before.reordered(order), scale=scale, shift=shift)

    def activated(self, activation: Activation) -> Chain:
        """Return ``s(v)``.

        Raises
        ------
        ValueError
            If that takes a layer that is not there, and there are too many features for one.
        """
        return self if activation.name == "identity" else self._layer(activation)

    def _layer(self, activation: Activation) -> Chain:
        return Chain(width=self.width, before=self._with_matrix(), activation=activation)

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
        pending = self.weight is not None or self.scale is not None or self.shift is not None
        if pending or self.before is None:
            chain = self._layer(Activation("identity"))
        while chain is not None and chain.before is not None and chain.activation is not None:
            layer, activation = chain.before, chain.activation
            assert layer.weight is not None  # _layer() has made one
            bias = None if layer.bias is None else rounded(layer.bias, dtype, "bias")
            layers.append(Dense(rounded(layer.weight, dtype, "weight"), bias, activation))
            chain = layer
        return MLP(reversed(layers), head=head)


def rounded(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return an array in `dtype`; refuse a finite number that becomes infinity there.

    Raises
    ------
    ValueError
        If a number is too large.
    """
    with np.errstate(all="ignore"):
        result = array.astype(dtype, copy=False)
    if result is not array and (np.isinf(result) & np.isfinite(array)).any():
        largest = float(np.max(np.abs(array[np.isfinite(array)])))
        raise ValueError(f"a {name} of {largest:.3g} is too large for {dtype}")
    return result
