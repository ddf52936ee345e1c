"""What exporters of classifiers put after the probabilities: an index, a label, a map of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from laminet.activation import Activation
from laminet.interop import scalar_functions as functions
from laminet.interop.onnx.graph import Node, Operator
from laminet.interop.onnx.values import Labels, Tensor
from laminet.interop.symbols import Symbol

__all__ = ["OPERATORS", "probabilities_of_two"]


def probabilities_of_two(node: Node, values: list[Any], axis: int) -> Tensor:
    """Return [1 - p, p] of one probability p = sigmoid(z): the softmax of the logits 0 and z."""
    if len(values) != 2 or not all(isinstance(v, Tensor) for v in values):
        raise ValueError("joins results of the network")
    negative, positive = (v.open() for v in values)
    f = positive.symbol.function
    sigmoid = isinstance(f, functions.Apply) and f.function == Activation("sigmoid")
    same = negative.symbol.chain is positive.symbol.chain
    same = same and negative.symbol.function == functions.scaled(f, -1.0, 1.0)
    alone = positive.dims == negative.dims and positive.rank == 2 and positive.dims[1] == 1
    if not (sigmoid and same and alone and axis in (1, -1) and positive.batch_axis == 0):
        raise ValueError("joins results of the network that are not 1 - p and p = sigmoid(z)")
    assert isinstance(f, functions.Apply)
    chain = Symbol(positive.symbol.chain, f.argument).resolved(node.graph.tolerance)
    if chain.weight is None:
        chain = chain.linear(np.array([[0.0], [1.0]]))
    else:
        bias = None if chain.bias is None else np.concatenate([[0], chain.bias])
        weight = np.concatenate([np.zeros_like(chain.weight), chain.weight])
        chain = replace(chain, width=2, weight=weight, bias=bias)
    result: Tensor = positive.with_features(chain)
    return replace(result, head="softmax")


def _argmax(node: Node) -> Labels:
    value = node.value(0)
    if not isinstance(value, Tensor):
        raise ValueError("is not given a step of the network")
    axis = node.attribute("axis", 0)
    node.attribute("keepdims", 1)
    if node.attribute("select_last_index", 0):
        raise ValueError("takes the last of equal outputs")
    if value.rank != 2 or value.batch_axis != 0 or axis not in (1, -1):
        raise ValueError(f"goes over axis {axis}, not over the features")
    return Labels(value)


def _labels(node: Node) -> Labels:
    """Return the labels that an ArrayFeatureExtractor picks by the index."""
    index = node.value(1)
    classes = node.constant(0, "the list of labels").ravel()
    if not isinstance(index, Labels) or index.classes is not None:
        raise ValueError("is not given the index of the largest output")
    return replace(index, classes=_native(classes))


def _native(classes: Any) -> Any:
    """Return labels as scikit-learn has them: int64, or text of a fixed width."""
    if classes.dtype == object:
        return np.array(classes.tolist(), dtype=str)
    return classes.astype(np.int64) if classes.dtype.kind in "iu" else classes


def _zip_map(node: Node) -> Labels:
    value = node.value(0)
    texts, numbers = node.attribute("classlabels_strings"), node.attribute("classlabels_int64s")
    if not isinstance(value, Tensor):
        raise ValueError("is not given a step of the network")
    if texts:
        return Labels(value, np.array([text.decode("utf-8") for text in texts], dtype=str), True)
    return Labels(value, np.array(numbers, np.int64) if numbers else None, True)


def _binarizer(node: Node) -> Labels:
    value = node.value(0)
    if not isinstance(value, Tensor) or value.head is not None:
        raise ValueError("is not given the probabilities of labels")
    if node.attribute("threshold", 0.0) != 0.5:
        raise ValueError("has a threshold other than 1/2")
    return Labels(value, multilabel=True)


def _scaler(node: Node) -> Tensor:
    from laminet.interop.onnx.operators.layers import scaler

    return scaler(node)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "ArgMax"): _argmax,
    ("ai.onnx.ml", "ArrayFeatureExtractor"): _labels,
    ("ai.onnx.ml", "ZipMap"): _zip_map,
    ("ai.onnx.ml", "Binarizer"): _binarizer,
    ("ai.onnx.ml", "Scaler"): _scaler,
}
