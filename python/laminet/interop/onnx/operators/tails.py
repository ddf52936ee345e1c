"""What exporters of classifiers put after the probabilities: an index, a label, a map of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.values import Decision, Tensor
from laminet.interop.symbolic import functions
from laminet.interop.symbolic.forms import Form
from laminet.interop.symbolic.joining import beside_zero
from laminet.interop.symbolic.value import Value

__all__ = [
    "OPERATORS",
    "above_half",
    "extracted_labels",
    "labels_of",
    "picked_labels",
    "probabilities_of_two",
]


def probabilities_of_two(node: Node, values: list[Any], axis: int) -> Tensor | None:
    """Return [1 - p, p] of one probability p = sigmoid(z): the softmax of the logits 0 and z.

    None if the values are something else.
    """
    if len(values) != 2:
        return None
    negative, positive = values
    f = positive.value.function
    sigmoid = isinstance(f, functions.Apply) and f.function == Activation("sigmoid")
    same = negative.value.form is positive.value.form
    same = same and negative.value.function == functions.scaled(f, -1.0, 1.0)
    alone = positive.dims == negative.dims and positive.rank == 2 and positive.dims[1] == 1
    if not (sigmoid and same and alone and axis in (1, -1) and positive.row_axes == [0]):
        return None
    assert isinstance(f, functions.Apply)
    return softmax_of_two(positive, Value(positive.open().value.form, f.argument).resolved())


def softmax_of_two(x: Tensor, logit: Form) -> Tensor:
    """Return the softmax of 0 and one logit."""
    return x.with_features(beside_zero(logit)).ended("softmax")


def _argmax(node: Node) -> Decision:
    value = node.step()
    axis = node.attribute("axis", 0)
    node.attribute("keepdims", 1)
    if node.attribute("select_last_index", 0):
        raise ValueError("takes the last of equal outputs")
    if value.rank != 2 or value.row_axes != [0] or axis not in (1, -1):
        raise ValueError(f"goes over axis {axis}, not over the features")
    return Decision(value)


def extracted_labels(node: Node) -> Decision:
    """Return the labels that an ArrayFeatureExtractor picks by the index."""
    index = node.value(1)
    classes = node.constant(0, "the list of labels").ravel()
    if not isinstance(index, Decision) or index.classes is not None:
        raise ValueError("is not given the index of the largest output")
    return replace(index, classes=labels_of(classes))


def above_half(x: Tensor, bound: float) -> Decision:
    """Return for each output whether its probability is above 1/2: a label, or two classes."""
    f = x.value.function
    sigmoid = isinstance(f, functions.Apply) and f.function == Activation("sigmoid")
    logit = x.value.is_plain and x.value.form.weight is not None
    if x.head is not None or not ((sigmoid and bound == 0.5) or (logit and bound == 0)):
        raise ValueError(
            f"compares results with {bound:g} and gives truth values, which are no outputs of a "
            "network"
        )
    return Decision(x, multilabel=True)


def picked_labels(classes: NDArray[Any], decision: Decision) -> Decision:
    """Return the labels that a Gather picks by a decision: an index, or one of two."""
    if decision.classes is not None or classes.ndim != 1:
        raise ValueError("is not given the index of the largest output, and a list of labels")
    if decision.multilabel and (classes.size != 2 or decision.tensor.dims[-1:] != [1]):
        raise ValueError("picks labels by several decisions")
    return replace(decision, classes=labels_of(classes), multilabel=False)


def labels_of(classes: NDArray[Any]) -> NDArray[Any]:
    """Return labels as scikit-learn has them: int64, numbers, or text of a fixed width."""
    if classes.dtype == object:
        if not all(isinstance(label, str) for label in classes.tolist()):
            raise ValueError("its labels are neither numbers nor text")
        return np.array(classes.tolist(), dtype=str)
    return classes.astype(np.int64) if classes.dtype.kind in "iu" else classes


def _zip_map(node: Node) -> Decision:
    value = node.step()
    texts, numbers = node.attribute("classlabels_strings"), node.attribute("classlabels_int64s")
    if texts:
        return Decision(value, np.array([text.decode("utf-8") for text in texts], dtype=str), True)
    return Decision(value, np.array(numbers, np.int64) if numbers else None, True)


def _binarizer(node: Node) -> Decision:
    value = node.step()
    if value.head is not None:
        raise ValueError("is not given the probabilities of labels")
    if node.attribute("threshold", 0.0) != 0.5:
        raise ValueError("has a threshold other than 1/2")
    return Decision(value, multilabel=True)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "ArgMax"): _argmax,
    ("ai.onnx.ml", "ZipMap"): _zip_map,
    ("ai.onnx.ml", "Binarizer"): _binarizer,
}
