"""Normalisations of each sample, and sums and means over its features or over branches."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from laminet.interop.onnx.aligned import in_order, of_order
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.activations import OPERATORS as ACTIVATIONS
from laminet.interop.onnx.operators.constants import folded, reduced
from laminet.interop.onnx.operators.elementwise import OPERATORS as ELEMENTWISE
from laminet.interop.onnx.operators.elementwise import add
from laminet.interop.onnx.values import Array, Tensor
from laminet.interop.symbolic.functions import applies
from laminet.interop.symbolic.value import Value

__all__ = ["OPERATORS"]

_MOST_PARTS = 256


def _normalised(node: Node, x: Tensor, kind: str, arrays: list[Array | None], axis: int) -> Tensor:
    sizes = [a.size for a in arrays if a is not None and a.size > 1]
    x = x.sized(sizes[0]) if sizes else x
    features = x.feature_order()
    rank = x.rank
    over = range(axis % rank, rank) if -rank <= axis < rank else range(0)
    size = int(np.prod([d for i, d in enumerate(x.dims) if i in over and x.axes[i] is None]))
    if any(x.axes[i] is not None for i in over) or size != features.size:
        raise ValueError("normalises a part of the features of each sample by themselves")
    eps = node.attribute("epsilon", 1e-5)
    node.attribute("stash_type", 1)
    if any(a is not None and a.size not in (1, size) for a in arrays):
        raise ValueError(f"has a scale or bias of another length than the {size} features")
    flat = [None if a is None else np.broadcast_to(a.reshape(-1), size) for a in arrays]
    return of_order(x, in_order(x).normalised(kind, eps, *flat), features.shape)


def _layer_normalization(kind: str) -> Operator:
    def operator(node: Node) -> Tensor:
        x = node.tensor()
        arrays = [node.constant(1, "the scale")]
        if node.value(2) is not None:
            arrays.append(node.constant(2, "the bias"))
        if node.output_count > 1:
            raise ValueError("gives the statistics of each sample")
        return _normalised(node, x, kind, [*arrays], node.attribute("axis", -1))

    return operator


def _skipped(kind: str) -> Operator:
    """Return a normalisation of the sum of two values, as ONNX Runtime's optimiser writes it."""

    def operator(node: Node) -> list[Any]:
        total = add(node.value(0), node.value(1))
        arrays = [node.constant(2, "the scale")]
        places = (3, 4) if kind == "layer" else (None, 3)
        if places[0] is not None and node.value(places[0]) is not None:
            arrays.append(node.constant(places[0], "the bias"))
        if node.value(places[1]) is not None:
            total = add(total, node.constant(places[1], "the bias of the sum"))
        if not isinstance(total, Tensor):
            raise ValueError("is not given a step of the network")
        return [_normalised(node, total.open(), kind, [*arrays], -1), None, None, total]

    return operator


def _reduced(mean: bool) -> Operator:
    """Return the mean or sum over all features of a sample, or over one axis of several."""
    newest = 18 if mean else 13

    def operator(node: Node) -> Any:
        function = getattr(getattr(node.value(0), "value", None), "function", None)
        if not mean and (function is None or applies(function, "exp")):
            return ACTIVATIONS["", "ReduceSum"](node)
        if isinstance(node.value(0), np.ndarray):
            return reduced(node, "Mean")
        x = node.tensor()
        given = node.optional(1, "axes") if node.opset >= newest else node.attribute("axes")
        keep = node.attribute("keepdims", 1)
        node.attribute("noop_with_empty_axes", 0)
        axes = [] if given is None else [int(axis) for axis in np.asarray(given).ravel()]
        if len(axes) != 1 or not -x.rank <= axes[0] < x.rank:
            raise ValueError("is not taken over one axis")
        axis = axes[0] % x.rank
        if x.axes[axis] is not None:
            raise ValueError("is taken over the samples")
        order = x.feature_order()
        place = axis - sum(rows is not None for rows in x.axes[:axis])
        if order.shape[place] == order.size:
            value = in_order(x)
            value = value.averaged() if mean else value.linear(np.ones((1, order.size)))
        else:
            value = _over(x.value, np.moveaxis(order, place, 0), mean)
        shape = list(order.shape)
        shape[place : place + 1] = [1] if keep else []
        result = of_order(x, value, tuple(shape))
        return result if keep else replace(result, axes=(*x.axes[:axis], *x.axes[axis + 1 :]))

    return operator


def _over(value: Value, orders: Array, mean: bool) -> Value:
    """Return the sum or mean of the features that stand at each place of the first axis."""
    if len(orders) > _MOST_PARTS:
        raise ValueError(f"is taken of {len(orders)} parts")
    parts = [value.selected(order.ravel()) for order in orders]
    total = reduce(lambda a, b: a.combined(b, "add"), parts)
    return total.scaled(1 / len(parts), 0.0) if mean else total


def _mean(node: Node) -> Any:
    total = reduce(add, node.inputs)
    if isinstance(total, np.ndarray):
        return folded(np.divide, total, np.asarray(float(len(node.inputs))))
    share = 1 / len(node.inputs)
    return total.applied(lambda value: value.scaled(share, 0.0))


def _root(node: Node) -> Any:
    if isinstance(node.value(0), Tensor):
        return node.tensor().applied(lambda value: value.power(0.5))
    return ELEMENTWISE["", "Sqrt"](node)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "LayerNormalization"): _layer_normalization("layer"),
    ("", "RMSNormalization"): _layer_normalization("rms"),
    ("", "SimplifiedLayerNormalization"): _layer_normalization("rms"),
    ("com.microsoft", "SimplifiedLayerNormalization"): _layer_normalization("rms"),
    ("com.microsoft", "SkipLayerNormalization"): _skipped("layer"),
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): _skipped("rms"),
    ("", "ReduceMean"): _reduced(mean=True),
    ("", "ReduceSum"): _reduced(mean=False),
    ("", "Mean"): _mean,
    ("", "Sqrt"): _root,
}
