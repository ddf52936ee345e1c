"""Matrices: Gemm, MatMul and BatchNormalization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.elementwise import add, affine
from laminet.interop.onnx.values import Tensor
from laminet.interop.symbolic.exact import batch_norm
from laminet.interop.symbolic.joining import joined

__all__ = ["OPERATORS", "SEVERAL_PARTS", "gemm", "product"]

Array = NDArray[Any]

# Members of an ensemble are read one by one.
_MOST_MATRICES = 256

#: What is said where axes that were taken for features may count samples.
SEVERAL_PARTS = "is applied to each of several parts of a sample"


def gemm(node: Node) -> Any:
    """Return ``alpha A' B' + beta C``."""
    a, b, c = node.value(0), node.value(1), node.value(2)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    for name, value, flag in (("A", a, "transA"), ("B", b, "transB")):
        rank = value.ndim if isinstance(value, np.ndarray) else getattr(value, "rank", None)
        if rank != 2:
            raise ValueError(f"{name} has {rank} axes, not 2")
        turned = node.attribute(flag, 0)
        if turned and isinstance(value, Tensor):
            value = value.transposed([1, 0])
        elif turned:
            value = value.T
        a, b = (value, b) if name == "A" else (a, value)
    if alpha != 1 and isinstance(a, np.ndarray):
        a = a.astype(np.float64) * alpha
    elif alpha != 1 and isinstance(b, np.ndarray):
        b = b.astype(np.float64) * alpha
    result = product(a, b)
    if c is None or beta == 0:
        return result
    if not isinstance(c, np.ndarray):
        raise ValueError("C is not a constant")
    return add(result, c if beta == 1 else np.asarray(c.astype(np.float64) * beta))


def _matmul(node: Node) -> Any:
    return product(node.value(0), node.value(1))


def product(a: Any, b: Any) -> Tensor:
    """Return the product of a step of the network and a constant matrix, in their order."""
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        return _rows(a.open(), b)
    if isinstance(a, np.ndarray) and isinstance(b, Tensor):
        return _columns(a, b.open())
    raise ValueError("is not a product of a step of the network and a constant matrix")


def _rows(x: Tensor, matrix: Array) -> Tensor:
    """Return ``x M``, over the last axis of x."""
    while matrix.ndim > 2 and matrix.shape[0] == 1 and matrix.ndim <= x.rank:
        matrix = matrix[0]
    if matrix.ndim == 3:
        return _stacked(x, matrix)
    if matrix.ndim not in (1, 2):
        raise ValueError(f"the constant has shape {matrix.shape}, and is no matrix")
    if x.rank == 0 or x.axes[-1] is not None:
        raise ValueError("sums over the samples")
    if 0 in matrix.shape:
        raise ValueError(f"the constant has shape {matrix.shape}, and is empty")
    x = x.sized(matrix.shape[0])
    if x.dims[-1] != matrix.shape[0]:
        raise ValueError(f"a matrix of shape {matrix.shape} does not take {x.dims[-1]} features")
    leading = () if x.order is None else x.order.shape[:-1]
    if any(extent != 1 for extent in leading):
        raise ValueError(SEVERAL_PARTS)
    weight = matrix.T if matrix.ndim == 2 else matrix[None, :]
    form = x.value.resolved().linear(_by_feature(x, weight))
    if matrix.ndim == 1:
        return replace(x.with_features(form, np.zeros(leading, int)), axes=x.axes[:-1])
    order = np.arange(weight.shape[0]).reshape(*leading, -1) if leading else None
    return x.with_features(form, order)


def _stacked(x: Tensor, matrices: Array) -> Tensor:
    """Return products with a matrix each, in front of the samples: as ensembles have them."""
    count = len(matrices)
    if count == 0 or count > _MOST_MATRICES:
        raise ValueError(f"multiplies with a stack of {count} matrices")
    plain = x.rank == 2 and x.axes[0] is not None and x.axes[1] is None
    if plain:
        parts = [x] * count
    elif x.rank == 3 and x.axes[0] is None and x.axes[1] is not None and x.axes[2] is None:
        order = x.feature_order()
        if order.shape[0] not in (1, count):
            raise ValueError(f"multiplies {order.shape[0]} parts with {count} matrices")
        rows = [
            replace(x, value=x.value.selected(o), order=None, axes=x.axes[1:], width=o.size)
            for o in order
        ]
        parts = rows * (count // len(rows))
    else:
        raise ValueError(f"multiplies with a stack of matrices of shape {matrices.shape}")
    forms = [_rows(part, m).value.resolved() for part, m in zip(parts, matrices, strict=True)]
    form = joined(forms)
    order = np.arange(form.width or 0).reshape(count, -1)
    return replace(x.with_features(form, order), axes=(None, *x.axes[-2:]))


def _columns(matrix: Array, x: Tensor) -> Tensor:
    """Return ``M x``, where the samples are the columns of x; or x is one sample."""
    single = x.axes == (None,)
    if not single and not (x.rank == 2 and x.axes[0] is None and x.axes[1] is not None):
        raise ValueError("multiplies from the left: that sums over the samples")
    if matrix.ndim not in (1, 2) or 0 in matrix.shape:
        raise ValueError(f"the constant has shape {matrix.shape}, and is no matrix")
    x = x.sized(matrix.shape[-1])
    if x.dims[0] != matrix.shape[-1]:
        raise ValueError(f"a matrix of shape {matrix.shape} does not take {x.dims[0]} features")
    weight = matrix if matrix.ndim == 2 else matrix[None, :]
    form = x.value.resolved().linear(_by_feature(x, weight))
    if matrix.ndim == 1:
        axes = () if single else (x.axes[1],)
        return replace(x.with_features(form, np.zeros((), int)), axes=axes)
    return x.with_features(form)


def _by_feature(x: Tensor, weight: Array) -> Array:
    """Return the columns of a weight in the order of the form's features."""
    if x.order is None:
        return weight
    order = x.order.ravel()
    if (order == np.arange(len(order))).all():
        return weight
    result = np.empty_like(weight)
    result[:, order] = weight
    return result


def _batch_normalization(node: Node) -> Tensor:
    x = node.tensor()
    scale, bias, mean, variance = (
        node.constant(i, name).astype(np.float64)
        for i, name in enumerate(("scale", "B", "input_mean", "input_var"), start=1)
    )
    epsilon = node.attribute("epsilon", 1e-5)
    node.attribute("momentum", 0.9)
    if node.attribute("training_mode", 0) or node.output_count > 1:
        raise ValueError("is in training mode")
    if node.opset < 9 and node.attribute("spatial", 1) != 1:
        raise ValueError("has spatial=0")
    if x.rank < 2 or x.row_axes != [0]:
        raise ValueError("takes a tensor whose first axis is not the samples")
    shapes = {array.shape for array in (scale, bias, mean, variance)}
    if len(shapes) > 1 or scale.ndim != 1:
        raise ValueError(f"its constants have the shapes {sorted(shapes)}")
    if x.width is None and x.order is None:
        x = x.sized(len(scale))
    if x.dims[1] != len(scale):
        raise ValueError(f"has {len(scale)} channels, and is given {x.dims[1]}")
    factor, shift = batch_norm(mean, variance, epsilon, scale, bias)
    shape = (-1,) + (1,) * (x.rank - 2)
    return affine(x, factor.reshape(shape), shift.reshape(shape))


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Gemm"): gemm,
    ("", "MatMul"): _matmul,
    ("", "BatchNormalization"): _batch_normalization,
}
