"""Linear models and scalers of the domain ai.onnx.ml: dense layers by another name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.elementwise import affine
from laminet.interop.onnx.operators.layers import product
from laminet.interop.onnx.operators.tails import labels_of, softmax_of_two
from laminet.interop.onnx.refused import reason_of
from laminet.interop.onnx.values import Decision, Tensor

__all__ = ["OPERATORS"]

Array = NDArray[Any]


def _numbers(node: Node, name: str) -> Array:
    values = np.asarray(node.attribute(name, []))
    if values.ndim != 1 or (values.size and values.dtype.kind not in "fi"):
        raise ValueError(f"the attribute {name} is no list of numbers")
    return values.astype(np.float32)


def _real(node: Node) -> Tensor:
    """Return the input, whose elements become real numbers, whatever they are."""
    return replace(node.step(), integer=False).open()


def _scaler(node: Node) -> Tensor:
    """Return ``(x - offset) * scale``."""
    x = _real(node)
    offset, scale = (_numbers(node, n).astype(np.float64) for n in ("offset", "scale"))
    offset = offset if offset.size else np.zeros(1)
    scale = scale if scale.size else np.ones(1)
    return affine(x, scale, -offset * scale)


def _scores(node: Node, outputs: int) -> Tensor:
    """Return ``x W + b`` of the attributes coefficients and intercepts."""
    weight, bias = _numbers(node, "coefficients"), _numbers(node, "intercepts")
    if outputs < 1 or weight.size == 0 or weight.size % outputs:
        raise ValueError(f"has {weight.size} coefficients for {outputs} outputs")
    if bias.size not in (0, outputs):
        raise ValueError(f"has {bias.size} intercepts for {outputs} outputs")
    scores = product(_real(node), weight.reshape(outputs, -1).T)
    return scores if bias.size == 0 else affine(scores, np.ones(()), bias)


def _regressor(node: Node) -> Tensor:
    scores = _scores(node, node.attribute("targets", 1))
    return _transformed(scores, node.attribute("post_transform", "NONE"))


def _transformed(scores: Tensor, transform: str) -> Tensor:
    if transform == "NONE":
        return scores
    if transform == "SOFTMAX":
        return scores.ended("softmax")
    if transform == "LOGISTIC":
        return scores.applied(lambda v: v.activated(Activation("sigmoid")))
    raise ValueError(f"has the post_transform {transform!r}, which no activation is")


def _classifier(node: Node) -> Any:
    numbers, texts = node.attribute("classlabels_ints"), node.attribute("classlabels_strings")
    node.attribute("multi_class", 0)
    transform = node.attribute("post_transform", "NONE")
    if texts:
        classes: Array = np.array([text.decode("utf-8") for text in texts], dtype=object)
    else:
        classes = np.array(numbers or [], np.int64)
    weight = _numbers_of(node, "coefficients")
    intercepts = _numbers_of(node, "intercepts")
    if len(classes) == 2 and len(intercepts) == 1:
        raise ValueError("has one score for two classes, which runtimes turn into two differently")
    x = _scores(node, len(classes))
    opposite = len(classes) == 2 and (weight[: weight.size // 2] == -weight[weight.size // 2 :])
    if transform == "LOGISTIC" and np.all(opposite) and np.all(intercepts[:1] == -intercepts[1:]):
        # The sigmoids of -z and z: the softmax of 0 and z.
        scores = softmax_of_two(x, x.value.resolved().selected(np.array([1])))
    else:
        scores = _transformed(x, transform)
    return [Decision(scores, labels_of(classes)), scores]


def _numbers_of(node: Node, name: str) -> Array:
    """Return an attribute that is asked for again later."""
    found = [a.floats for a in node.proto.attribute if a.name == name]
    return np.asarray(found[0] if found else [], np.float32)


def _normalizer(node: Node) -> Tensor:
    """Return probabilities divided by their sum, which is 1; of others that is no network."""
    x = node.step()
    if node.attribute("norm", "MAX") != "L1" or x.head != "softmax":
        raise ValueError(reason_of("ai.onnx.ml", "Normalizer"))
    return x


OPERATORS: dict[tuple[str, str], Operator] = {
    ("ai.onnx.ml", "Scaler"): _scaler,
    ("ai.onnx.ml", "LinearRegressor"): _regressor,
    ("ai.onnx.ml", "LinearClassifier"): _classifier,
    ("ai.onnx.ml", "Normalizer"): _normalizer,
}
