"""The operations of PyTorch that are matrix products, sums and means: over features or a stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.pytorch.tensors import Tracked, concatenated
from laminet.interop.pytorch.values import as_array

__all__ = ["PRODUCTS", "total", "with_addend"]

Array = NDArray[Any]

_OF_BATCH = (
    "is not taken over all features of each sample (statistics of a batch: call eval() on the "
    "module first)"
)
# Members of an ensemble are read one by one.
_MOST_SLICES = 256


def _transposed(x: Tracked) -> Tracked:
    return Tracked(x.value, x.index.transpose(-1, -2), x.samples)


def _linear(x: Any, weight: Any, bias: Any = None) -> Tracked:
    if not isinstance(x, Tracked) or isinstance(weight, Tracked) or isinstance(bias, Tracked):
        raise ValueError("takes weights that depend on the input")
    return x.linear(as_array(weight, "weight"), None if bias is None else as_array(bias, "bias"))


def _product(a: Any, b: Any) -> Tracked:
    """Return ``a @ b``, matrices or stacks of constant ones."""
    if isinstance(a, Tracked) and isinstance(b, Tracked):
        raise ValueError("multiplies two results that both depend on the input")
    if not isinstance(a, Tracked):  # (a b) = (b^T a^T)^T
        return _transposed(_product(_transposed(b), a.transpose(-1, -2)))
    weight = as_array(b, "weight")
    matrices = weight.reshape(-1, *weight.shape[-2:])
    if not (matrices == matrices[:1]).all():
        return _product_of_each(a, weight)
    stacks = weight.shape[:-2]
    if len(stacks) > len(a.shape) - 2 or any(
        n not in (1, m) for n, m in zip(stacks[::-1], a.shape[-3::-1], strict=False)
    ):
        raise ValueError("makes a stack of several products")
    return a.linear(matrices[0].T)


def _product_of_each(a: Tracked, matrices: Array) -> Tracked:
    """Return a stack of products with a matrix each, as ensembles have them."""
    if matrices.ndim != 3 or len(a.shape) < 2:
        raise ValueError("multiplies each part of a stack with another matrix")
    if len(a.shape) == 2:
        parts = [a] * len(matrices)
    elif a.samples > 1 and a.sample_axis() == 0 and a.shape[0] == a.samples:
        raise ValueError("multiplies each sample with another matrix")
    else:
        parts = _slices(a.expanded((len(matrices), *a.shape[1:])), 0)
    return _stacked([p.linear(m.T) for p, m in zip(parts, matrices, strict=True)])


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


def total(*, mean: bool) -> Callable[..., Tracked]:
    """Return the sum or mean over all features of a sample, or over an axis of a stack."""

    def operation(x: Tracked, dim: Any = None, keepdim: bool = False, **_: Any) -> Tracked:
        axes = [dim] if isinstance(dim, int) else list(dim or ())
        if len(axes) != 1 or _is_features(x, axes[0]):
            return _over_features(x, axes, keepdim, mean)
        (axis,) = axes
        if x.samples > 1 and axis % len(x.shape) == x.sample_axis():
            raise ValueError(_OF_BATCH)
        parts = _slices(x, axis)
        value = parts[0].value
        for part in parts[1:]:
            value = value.combined(part.value, "add")
        value = value.scaled(1 / len(parts), 0.0) if mean else value
        index = parts[0].index
        return Tracked(value, index.unsqueeze(axis) if keepdim else index, x.samples)

    return operation


def _over_features(x: Tracked, axes: list[int], keepdim: bool, mean: bool) -> Tracked:
    x = x.ordered()
    width = x.shape[-1] if x.shape else 0
    if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1] or width != x.value.width:
        raise ValueError(_OF_BATCH)
    if mean:
        result = Tracked.of(x.value.averaged(), (*x.shape[:-1], 1), x.samples)
    else:
        result = x.linear(np.ones((1, width)))
    return result if keepdim else Tracked(result.value, result.index.squeeze(-1), x.samples)


def _is_features(x: Tracked, axis: int) -> bool:
    """Whether an axis holds all features of each sample."""
    try:
        x = x.ordered()
    except ValueError:
        return False
    last = bool(x.shape) and axis % len(x.shape) == len(x.shape) - 1
    return last and x.shape[-1] == x.value.width


def _slices(x: Tracked, axis: int) -> list[Tracked]:
    """Return what stands at each place of an axis."""
    if not x.shape or x.shape[axis] > _MOST_SLICES:
        raise ValueError(f"goes over an axis of {x.shape[axis] if x.shape else 0} parts")
    parts = [Tracked(x.value, x.index.select(axis, i), x.samples) for i in range(x.shape[axis])]
    return [part.ordered() for part in parts]


def _stacked(parts: Sequence[Tracked]) -> Tracked:
    import torch

    beside = concatenated(parts)
    return Tracked(beside[0].value, torch.stack([p.index for p in beside]), parts[0].samples)


PRODUCTS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "mm": _product,
    "bmm": _product,
    "matmul": _product,
    "addmm": _matrix_product_plus,
    "baddbmm": with_addend(_product),
    "mv": _vector_product,
    "addmv": with_addend(_vector_product),
    "sum": total(mean=False),
    "mean": total(mean=True),
}
