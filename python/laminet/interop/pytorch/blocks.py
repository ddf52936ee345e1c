"""What PyTorch carries out in networks that are no chain: normalisations of each sample, stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from laminet.interop.pytorch.products import PRODUCTS, with_addend
from laminet.interop.pytorch.tensors import Tracked, concatenated
from laminet.interop.pytorch.values import as_array, as_optional

__all__ = ["BLOCKS"]

# Members of an ensemble are read one by one.
_MOST_SLICES = 256


def _normalised(x: Tracked, shape: Any, kind: str, eps: Any, weight: Any, bias: Any) -> Tracked:
    x = _of_last(x, len(shape))
    arrays = [as_optional(t, n) for t, n in ((weight, "weight"), (bias, "bias"))]
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    return x.with_value(x.value.normalised(kind, float(eps), *flat))


def _of_last(x: Tracked, axes: int) -> Tracked:
    """Return x in order; refuse last axes that are not all features of a sample."""
    x = x.ordered()
    features = int(np.prod(x.shape[len(x.shape) - axes :], dtype=np.int64))
    if not x.shape or features != x.value.width:
        raise ValueError("normalises a part of the features of each sample by themselves")
    return x


def _rms_norm(x: Tracked, shape: Any, weight: Any = None, eps: Any = None) -> Tracked:
    import torch

    # PyTorch's default is the unit roundoff of what it computes with: that of the weights here.
    if eps is None and weight is None:
        raise ValueError("has no epsilon, and no weight whose type would tell it: give it one")
    epsilon = torch.finfo(weight.dtype).eps if eps is None else eps
    return _normalised(x, shape, "rms", epsilon, weight, None)


def _variance(x: Tracked, dim: Any = None, *given: Any, **named: Any) -> Tracked:
    """Return the variance of each sample: ``var.dim``, ``var.correction``."""
    correction = named.get("correction", 1)
    keep = named.get("keepdim", False)
    if given:  # var.dim has whether it is unbiased, and whether the axis is kept
        correction, keep = float(bool(given[0])), (*given, keep)[1]
    axes = [] if isinstance(dim, bool) else [dim] if isinstance(dim, int) else list(dim or ())
    x = _of_last(x, 1)
    if [axis % len(x.shape) for axis in axes] != [len(x.shape) - 1]:
        raise ValueError("is not taken over all features of each sample")
    value = x.value.variance(1.0 if correction is None else float(correction))
    result = Tracked.of(value, (*x.shape[:-1], 1), x.samples)
    return result if keep else Tracked(value, result.index.squeeze(-1), x.samples)


def _variance_and_mean(x: Tracked, dim: Any = None, *given: Any, **named: Any) -> Any:
    keep = (*given, named.get("keepdim", False))[1] if given else named.get("keepdim", False)
    return _variance(x, dim, *given, **named), _total(True)(x, dim, keep)


def _root(exponent: float) -> Callable[[Tracked], Tracked]:
    return lambda x: x.with_value(x.value.power(exponent))


def _total(mean: bool) -> Callable[..., Tracked]:
    """Return the sum or mean over all features of a sample, or over an axis of a stack."""

    def operation(x: Tracked, dim: Any = None, keepdim: bool = False, **named: Any) -> Tracked:
        axes = [dim] if isinstance(dim, int) else list(dim or ())
        if len(axes) != 1 or _is_features(x, axes[0]):
            if not mean or not axes:
                return PRODUCTS["mean" if mean else "sum"](x, dim, keepdim, **named)  # type: ignore[no-any-return]  # one of a table
            x = x.ordered()
            result = Tracked.of(x.value.averaged(), (*x.shape[:-1], 1), x.samples)
            return result if keepdim else Tracked(result.value, result.index[..., 0], x.samples)
        (axis,) = axes
        parts = _slices(x, axis)
        value = parts[0].value
        for part in parts[1:]:
            value = value.combined(part.value, "add")
        value = value.scaled(1 / len(parts), 0.0) if mean else value
        index = parts[0].index
        return Tracked(value, index.unsqueeze(axis) if keepdim else index, x.samples)

    return operation


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


def _product(a: Any, b: Any) -> Tracked:
    """Return ``a @ b``, a stack of products with a matrix each where `b` is a stack of them."""
    if not isinstance(a, Tracked) or isinstance(b, Tracked) or b.dim() != 3 or len(a.shape) < 2:
        return PRODUCTS["matmul"](a, b)  # type: ignore[no-any-return]  # one of a table
    matrices = as_array(b, "weight")
    if (matrices == matrices[:1]).all():
        return PRODUCTS["matmul"](a, b)  # type: ignore[no-any-return]  # one of a table
    if len(a.shape) == 2:
        parts = [a] * len(matrices)
    else:
        parts = _slices(a.expanded((len(matrices), *a.shape[1:])), 0)
    return _stacked([p.linear(m.T) for p, m in zip(parts, matrices, strict=True)])


BLOCKS: dict[str, Callable[..., Any]] = {
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=1e-5, *_: _normalised(
        x, shape, "layer", eps, weight, bias
    ),
    "native_layer_norm": lambda x, shape, weight, bias, eps: (
        _normalised(x, shape, "layer", eps, weight, bias),
        None,
        None,
    ),
    "rms_norm": _rms_norm,
    "_fused_rms_norm": lambda x, shape, weight, eps: (_rms_norm(x, shape, weight, eps), None),
    "var": _variance,
    "var_mean": _variance_and_mean,
    "sqrt": _root(0.5),
    "rsqrt": _root(-0.5),
    "mean": _total(True),
    "sum": _total(False),
    "matmul": _product,
    "bmm": _product,
    "baddbmm": with_addend(_product),
}
