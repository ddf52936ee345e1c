"""What moves features around and computes nothing: Reshape, Transpose, Flatten and so on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.interop.onnx.node import Node, Operator
from laminet.interop.onnx.operators.constants import enlarged, listed, of_constants
from laminet.interop.onnx.values import Column, Decision, Repeated, Rows, Tensor

__all__ = ["OPERATORS"]

Array = NDArray[Any]


def _transpose(node: Node) -> Any:
    value = node.value(0)
    rank = value.ndim if isinstance(value, np.ndarray) else node.step().rank
    perm = node.attribute("perm", list(range(rank))[::-1])
    if isinstance(value, np.ndarray):
        if sorted(perm) != list(range(rank)):
            raise ValueError(f"perm {perm} is not an order of {rank} axes")
        return np.transpose(value, perm)
    return node.step().transposed(perm)


def _flatten(node: Node) -> Any:
    value = node.value(0)
    axis = node.attribute("axis", 1)
    rank = value.ndim if isinstance(value, np.ndarray) else node.step().rank
    if not -rank <= axis <= rank:
        raise ValueError(f"axis {axis} of {rank} axes")
    axis = axis + rank if axis < 0 else axis
    if isinstance(value, np.ndarray):
        return value.reshape(math.prod(value.shape[:axis]), -1) if value.size else value
    return _with_dims(node.step(), _flattened(node.step(), axis))


def _flattened(x: Tensor, axis: int) -> list[Any]:
    """Return the sizes of both sides of an axis, of which one has the samples alone."""
    sides: list[Any] = []
    for dims in (x.dims[:axis], x.dims[axis:]):
        rows = [d for d in dims if isinstance(d, Rows)]
        rest = [d for d in dims if not isinstance(d, Rows) and d != 1]
        if rows and rest:
            raise ValueError(f"flattens the samples and {rest} together")
        if rows:
            sides.append(_one(rows))
        else:
            sides.append(None if None in rest else math.prod(rest))
    return sides


def _one(rows: list[Rows]) -> Rows:
    """Return several axes of samples as one."""
    result = rows[0]
    for other in rows[1:]:
        if other.parts[0] != result.parts[-1] + 1:
            raise ValueError("takes axes of samples as one in another order than the input's")
        result = result * other
    return result


def _with_dims(x: Tensor, dims: list[Any]) -> Tensor:
    """Return a tensor in another shape, whose samples stay whole: C order on both sides."""
    axes = tuple(d if isinstance(d, Rows) else None for d in dims)
    features = [d for d in dims if not isinstance(d, Rows)]
    dropped = x.row_axes and not any(axes)
    if dropped and any(rows is not None and rows.size != 1 for rows in x.axes):
        raise ValueError("loses the samples' axis")
    if x.width is None and x.order is None:
        known = [d for d in features if d != 1]
        if len(known) == 1 and known[0] is not None:
            x = x.sized(known[0])
    if not dropped and _gaps(x.dims) != _gaps(dims):
        raise ValueError(f"moves features past the samples: {x.dims} to {dims}")
    if x.order is None and len(features) == 1 and features[0] == x.width:
        return replace(x, axes=axes)
    order = x.feature_order()
    if None in features or math.prod(features) != order.size:
        raise ValueError(f"gives {features} of {order.size} features")
    shaped = order.reshape(features)
    in_order = shaped.ndim == 1 and x.order is None
    return replace(x, order=None if in_order else shaped, axes=axes)


def _gaps(dims: list[Any]) -> tuple[list[int], list[Any]]:
    """Return the axes of samples, in their order, and the features before, between and after.

    An unknown number of features is None.
    """
    parts: list[int] = []
    gaps: list[Any] = [1]
    for d in dims:
        if isinstance(d, Rows):
            parts += d.parts
            gaps += [1] * len(d.parts)
        else:
            gaps[-1] = None if d is None or gaps[-1] is None else gaps[-1] * d
    return parts, gaps


def _reshape(node: Node) -> Any:
    value = node.value(0)
    if isinstance(value, (Column, Decision)):
        return value
    allow_zero = node.attribute("allowzero", 0)
    shape = node.constant(1, "the shape")
    if shape.ndim != 1 or shape.size > 32:
        raise ValueError(f"the shape has the shape {shape.shape}")
    wanted: list[Any] = [d if isinstance(d, Rows) else int(d) for d in shape.tolist()]
    if isinstance(value, np.ndarray):
        if any(isinstance(d, Rows) for d in wanted):
            raise ValueError("gives a constant the samples' axis")
        sizes = [value.shape[i] if d == 0 and not allow_zero else d for i, d in enumerate(wanted)]
        return of_constants(lambda v: v.reshape(sizes), value)
    x = node.step()
    if allow_zero and 0 in wanted:
        raise ValueError("gives a tensor without elements")
    return _with_dims(x, _resolved_shape(x, wanted))


def _resolved_shape(x: Tensor, wanted: list[Any]) -> list[Any]:
    """Return the shape with `Rows` where the samples are, and the size that -1 stands for."""
    if any(d == 0 and i >= x.rank for i, d in enumerate(wanted)):
        raise ValueError(f"gives the shape {wanted} of {x.rank} axes")
    dims = [x.dims[i] if d == 0 else d for i, d in enumerate(wanted)]
    size = x.width if x.order is None else x.order.size
    own = [p for rows in x.axes if rows is not None for p in rows.parts]
    given = [p for d in dims if isinstance(d, Rows) for p in d.parts]
    if own != given:
        placed = _one_row_placed(x, dims, size) if len(own) == 1 else _rows_placed(x, dims, size)
        alone = all(rows is None or rows.size == 1 for rows in x.axes)
        if placed is None and not (alone and not given):
            raise ValueError(f"gives the shape {wanted}, which mixes the samples")
        dims = dims if placed is None else placed
    features = [d for d in dims if not isinstance(d, Rows)]
    if -1 in features:
        rest = math.prod(d for d in features if d != -1 and d is not None)
        if size is not None and (rest == 0 or size % rest):
            raise ValueError(f"gives the shape {wanted} of {size} features")
        found = None if size is None else size // rest
        if found is None and rest != 1:
            raise ValueError(f"gives the shape {wanted} of an unknown number of features")
        dims = [found if not isinstance(d, Rows) and d == -1 else d for d in dims]
    if any(not isinstance(d, Rows) and d is not None and d < 1 for d in dims):
        raise ValueError(f"gives the shape {wanted}")
    return dims


def _one_row_placed(x: Tensor, dims: list[Any], size: int | None) -> list[Any] | None:
    """Return a shape with the samples' axis: a fixed batch, or -1 for any; None if there is none.

    It is the first axis, but for some of length 1, and leaves whole samples behind it.
    """
    (rows,) = (rows for rows in x.axes if rows is not None)
    place = next((i for i, d in enumerate(dims) if d != 1), len(dims) - 1)
    if rows.size == 1 and dims and dims[0] == 1:
        place = 0
    if place < 0 or dims[place] not in (-1, rows.size):
        return None
    rest = dims[:place] + dims[place + 1 :]
    if dims[place] == -1 and -1 in rest:
        return None
    if size is not None and -1 not in rest and None not in rest and math.prod(rest) != size:
        return None
    return [*dims[:place], rows, *dims[place + 1 :]]


def _rows_placed(x: Tensor, dims: list[Any], size: int | None) -> list[Any] | None:
    """Return a shape with several axes of samples, in front of all features."""
    if not x.in_rows or size is None:
        return None
    pieces = [
        Rows((p,), (s,))
        for rows in x.axes
        if rows is not None
        for p, s in zip(rows.parts, rows.sizes, strict=True)
    ]
    for split in range(1, len(dims) + 1):
        features = dims[split:]
        if any(isinstance(d, Rows) or d is None for d in features):
            continue
        product = math.prod(d for d in features if d != -1)
        whole = product == size if -1 not in features else product and size % product == 0
        placed = _matched(dims[:split], pieces) if whole else None
        if placed is not None:
            return [*placed, *features]
    return None


def _matched(dims: list[Any], pieces: list[Rows]) -> list[Rows] | None:
    """Return which axes of samples a shape means: by itself, by their lengths, -1 for the rest."""
    sides: tuple[list[Rows], list[Rows]] = ([], [])
    left, right = list(dims), list(pieces)
    for side, end in ((sides[0], 0), (sides[1], -1)):
        while left and left[end] != -1:
            wanted = left.pop(end)
            parts = wanted.parts if isinstance(wanted, Rows) else None
            count = 1 if parts is None else len(parts)
            taken = [right.pop(end) for _ in range(min(count, len(right)))][
                :: 1 if end == 0 else -1
            ]
            if len(taken) < count:
                return None
            found = _one(taken)
            if (parts is not None and found.parts != parts) or (
                parts is None and found.size != wanted
            ):
                return None
            side.append(found)
    if len(left) != (1 if right else 0):
        return None
    return [*sides[0], *([_one(right)] if right else []), *sides[1][::-1]]


def _axes(node: Node, rank: int) -> list[int] | None:
    given = node.optional(1, "axes") if node.opset >= 13 else node.attribute("axes")
    if given is None:
        return None
    axes = [int(axis) for axis in np.asarray(given).ravel()]
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {axes} of {rank}")
    return sorted({axis % rank for axis in axes})


def _squeeze(node: Node) -> Any:
    value = node.value(0)
    if isinstance(value, np.ndarray):
        axes = _axes(node, value.ndim)
        return of_constants(lambda v: np.squeeze(v, None if axes is None else tuple(axes)), value)
    if isinstance(value, (Column, Decision)):
        _axes(node, 32)
        return value
    x = node.step()
    axes = _axes(node, x.rank)
    lengths = [d.size if isinstance(d, Rows) else d for d in x.dims]
    if axes is None:
        # An axis of any number of samples stays: a batch of one has the same numbers.
        axes = [i for i, length in enumerate(lengths) if length == 1]
    if any(lengths[axis] != 1 for axis in axes):
        raise ValueError(f"drops the axes {axes} of {x.dims}")
    return _with_dims(x, [d for i, d in enumerate(x.dims) if i not in axes])


def _unsqueeze(node: Node) -> Any:
    value = node.value(0)
    axes = node.optional(1, "axes") if node.opset >= 13 else node.attribute("axes")
    given = [] if axes is None else [int(axis) for axis in np.asarray(axes).ravel()]
    rank = (value.ndim if isinstance(value, np.ndarray) else node.step().rank) + len(given)
    if rank > 16 or any(not -rank <= axis < rank for axis in given):
        raise ValueError(f"adds the axes {given[:8]}")
    places = sorted({axis % rank for axis in given})
    if isinstance(value, np.ndarray):
        return of_constants(lambda v: np.expand_dims(v, tuple(places)), value)
    dims = list(node.step().dims)
    for axis in places:
        dims.insert(axis, 1)
    return _with_dims(node.step(), dims)


def _expand(node: Node) -> Any:
    """Repeat a constant to a shape; of a step of the network nothing may be repeated."""
    value, shape = node.value(0), node.constant(1, "the shape")
    wanted = listed(shape)
    if isinstance(value, (np.ndarray, Repeated)):
        return enlarged(value, wanted)
    x = node.step()
    if len(wanted) > x.rank and any(d != 1 for d in wanted[: -x.rank]):
        raise ValueError(f"repeats {x.dims} to {wanted}")
    dims = [1] * (len(wanted) - x.rank) + x.dims
    for own, to in zip(dims[::-1], wanted[::-1], strict=False):
        same = own == to or (isinstance(own, Rows) and own.size == to)
        if to != 1 and not same:
            raise ValueError(f"repeats {x.dims} to {wanted}")
    return x if len(dims) == x.rank else _with_dims(x, dims)


def _tile(node: Node) -> Any:
    value, repeats = node.value(0), node.constant(1, "the number of repeats")
    if (repeats != 1).any():
        raise ValueError(f"repeats its input {repeats.tolist()[:8]} times")
    return value


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Transpose"): _transpose,
    ("", "Flatten"): _flatten,
    ("", "Reshape"): _reshape,
    ("", "Squeeze"): _squeeze,
    ("", "Unsqueeze"): _unsqueeze,
    ("", "Expand"): _expand,
    ("", "Tile"): _tile,
}
