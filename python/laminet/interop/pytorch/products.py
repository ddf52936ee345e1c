"""The operations of PyTorch that are matrix products, sums and means over the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from laminet.interop.pytorch.tensors import Tracked
from laminet.interop.pytorch.values import as_array

__all__ = ["PRODUCTS", "with_addend"]


def _transposed(x: Tracked) -> Tracked:
    return Tracked(x.value, x.index.transpose(-1, -2), x.samples)


def _linear(x: Any, weight: Any, bias: Any = None) -> Tracked:
    if not isinstance(x, Tracked) or isinstance(weight, Tracked) or isinstance(bias, Tracked):
        raise ValueError("takes weights that depend on the input")
    return x.linear(as_array(weight, "weight"), None if bias is None else as_array(bias, "bias"))


def _product(a: Any, b: Any) -> Tracked:
    """Return ``a @ b``, matrices or stacks of one and the same constant matrix."""
    if isinstance(a, Tracked) and isinstance(b, Tracked):
        raise ValueError("multiplies two results that both depend on the input")
    if not isinstance(a, Tracked):  # (a b) = (b^T a^T)^T
        return _transposed(_product(_transposed(b), a.transpose(-1, -2)))
    weight = as_array(b, "weight")
    matrices = weight.reshape(-1, *weight.shape[-2:])
    if not (matrices == matrices[:1]).all():
        raise ValueError("multiplies each part of a stack with another matrix")
    stacks = weight.shape[:-2]
    if len(stacks) > len(a.shape) - 2 or any(
        n not in (1, m) for n, m in zip(stacks[::-1], a.shape[-3::-1], strict=False)
    ):
        raise ValueError("makes a stack of several products")
    return a.linear(matrices[0].T)


def _vector_product(matrix: Any, vector: Any) -> Tracked:
    if isinstance(matrix, Tracked) and isinstance(vector, Tracked):
        raise ValueError("multiplies two results that both depend on the input")
    if not isinstance(matrix, Tracked):
        return vector.linear(as_array(matrix, "weight"))  # type: ignore[no-any-return]  # untyped
    result = matrix.linear(as_array(vector, "weight")[None, :])
    return Tracked(result.value, result.index.squeeze(-1), result.samples)


def with_addend(product: Callable[[Any, Any], Tracked]) -> Callable[..., Tracked]:
    """Return ``beta c + alpha (a b)``, as PyTorch's functions whose names begin with add."""

    def operation(c: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1, **_: Any) -> Tracked:
        x = product(a, b)
        if isinstance(c, Tracked):
            raise ValueError("adds a product to a result of another layer")
        if alpha != 1:
            x = x.with_value(x.value.scaled(float(alpha), 0.0))
        x, constant = x.beside(c)
        return x.with_value(x.value.scaled(1.0, beta * constant if beta != 0 else 0.0))

    return operation


def _matrix_product_plus(c: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Tracked:
    layer = isinstance(a, Tracked) and not isinstance(b, Tracked) and not isinstance(c, Tracked)
    if layer and beta == 1 and alpha == 1 and tuple(c.shape) == (b.shape[-1],):
        return _linear(a, b.t(), c)
    return with_addend(_product)(c, a, b, beta, alpha)


def _total(mean: bool) -> Callable[..., Tracked]:
    """Return the sum or mean over all features of a sample."""

    def operation(x: Tracked, dim: Any = None, keepdim: bool = False, **_: Any) -> Tracked:
        x = x.ordered()
        width = x.shape[-1] if x.shape else 0
        axes = [dim] if isinstance(dim, int) else list(dim or ())
        if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1] or width != x.value.width:
            raise ValueError(
                "is not taken over all features of each sample (statistics of a batch: call "
                "eval() on the module first)"
            )
        result = x.linear(np.full((1, width), 1 / width if mean else 1.0))
        index = result.index if keepdim else result.index.squeeze(-1)
        return Tracked(result.value, index, x.samples)

    return operation


PRODUCTS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "mm": _product,
    "bmm": _product,
    "matmul": _product,
    "addmm": _matrix_product_plus,
    "baddbmm": with_addend(_product),
    "mv": _vector_product,
    "addmv": with_addend(_vector_product),
    "sum": _total(False),
    "mean": _total(True),
}
