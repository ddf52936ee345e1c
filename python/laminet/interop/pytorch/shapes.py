"""The shapes of a module's inputs: found by running it on what its weights suggest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from laminet.interop.pytorch.live import Live

__all__ = ["Shapes", "input_shapes", "other_shapes"]

Shapes = tuple[tuple[int, ...], ...]

# No weight says how wide an input is that is sliced first: then every width is tried.
_WIDEST_TRIED = 1024
_MOST_TRIALS = 4096


def input_shapes(model: Live, in_features: Any) -> tuple[Live, Shapes, int]:
    """Return the model with its inputs' dtype, their shapes, and a number of samples that works.

    Parameters
    ----------
    model : Live
    in_features : int, sequence or mapping of int, or None
        What the user says of the inputs.

    Raises
    ------
    ValueError
        If the module cannot be run, or it cannot be known how wide each of its inputs is.
    """
    count = len(model.names)
    if count == 0:
        raise ValueError("the module takes no input")
    if in_features is not None:
        candidates: Any = [_said(model, in_features)]
    elif model.shapes is not None:
        candidates = [model.shapes]
    else:
        if not any(t.ndim for t in model.tensors):
            # It may run on any width, and a slice of too few columns is another function.
            raise ValueError(
                "no layer says how many features the network takes: say it with in_features="
            )
        candidates = _candidates(model)
    tried = 0
    for shapes in itertools.islice(candidates, _MOST_TRIALS):
        tried += 1
        for samples, dtype in itertools.product(model.samples, model.dtypes):
            typed = replace(model, dtype=dtype)
            if _runs(typed, shapes, samples):
                if in_features is None and model.shapes is None:
                    shapes = _narrowest(typed, shapes, samples)
                return typed, shapes, samples
    if tried == 1:
        (shapes,) = candidates if isinstance(candidates, list) else (shapes,)
        raise ValueError(f"the module cannot be run on samples of shape {_shown(shapes)}")
    if count == 1:
        raise ValueError(
            "the module cannot be run on a tensor (batch, features) of any width that its weights "
            "suggest: say the width with in_features=, or read the part of it that takes one"
        )
    raise ValueError(
        f"the module takes {count} inputs ({', '.join(model.names)}), and cannot be run on tensors "
        "(batch, features) of any widths that its weights suggest: say them with "
        f"in_features=({', '.join('...' for _ in model.names)})"
    )


def _shown(shapes: Shapes) -> str:
    texts = [f"({', '.join(['batch', *map(str, shape)])})" for shape in shapes]
    return ", ".join(texts)


def _said(model: Live, in_features: Any) -> Shapes:
    names = model.names
    if isinstance(in_features, Mapping):
        if set(in_features) != set(names):
            raise ValueError(
                f"in_features names {', '.join(map(repr, in_features))}; the module's inputs are "
                f"{', '.join(map(repr, names))}"
            )
        widths = [in_features[name] for name in names]
    else:
        widths = list(in_features) if isinstance(in_features, (tuple, list)) else [in_features]
    if len(widths) != len(names):
        raise ValueError(
            f"in_features gives {len(widths)} widths; the module takes {len(names)} inputs "
            f"({', '.join(names)})"
        )
    for width in widths:
        if not isinstance(width, (int, np.integer)) or isinstance(width, bool) or width < 1:
            raise ValueError(f"in_features must be positive integers, got {width!r}")
    return tuple((int(width),) for width in widths)


def _candidates(model: Live) -> Iterator[Shapes]:
    """Yield shapes of the inputs: those that the weights suggest first."""
    widths = _widths(model)
    if len(model.names) == 1:
        # One feature last: it may run by being broadcast to as many as are wanted.
        yield from (((n,),) for n in sorted(widths, key=lambda n: n == 1))
        yield from (((n,),) for n in range(1, min(2 * max(widths), _WIDEST_TRIED) + 1))
        for n in widths:
            yield from ((shape,) for shape in _images(n))
        return
    rest = len(model.names) - 1
    for total in widths:  # joined first: their sum is what the first layer takes
        for first in (n for n in widths if total > n + rest - 1):
            yield ((first,), *[(1,)] * (rest - 1), (total - first - rest + 1,))
            yield ((total - first - rest + 1,), *[(1,)] * (rest - 1), (first,))
    for widths_ in itertools.product(widths, repeat=len(model.names)):
        yield tuple((n,) for n in widths_)
    for total in widths:
        if total > rest:
            yield (*[(1,)] * rest, (total - rest,))


def _widths(model: Live) -> list[int]:
    """Return the numbers of features that weights, in their order, suggest."""
    tensors = [t for t in model.tensors if t.ndim]
    matrices = [t for t in tensors if t.ndim > 1]
    found = [t.shape[-1] for t in matrices] + [t.shape[0] for t in matrices]
    found += [t.shape[-2] for t in matrices] + [t.shape[-1] for t in tensors]
    return list(dict.fromkeys(n for n in found if n > 0)) or [1]  # of empty ones


def _images(n: int) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(1, n)]
    for channels in (1, 3):
        side = round((n / channels) ** 0.5)
        if side > 1 and channels * side**2 == n:
            shapes += [(channels, side, side)] + ([(side, side)] if channels == 1 else [])
    return shapes


def _narrowest(model: Live, shapes: Shapes, samples: int) -> Shapes:
    """Return the smallest width of a module that leaves columns of its input alone."""
    if len(shapes) != 1 or len(shapes[0]) != 1:
        return shapes
    (n,) = shapes[0]
    if not _runs(model, ((n + 1,),), samples):
        return shapes
    while n > 1 and _runs(model, ((n - 1,),), samples):
        n -= 1
    return ((n,),)


def other_shapes(model: Live, shapes: Shapes, samples: int) -> Shapes | None:
    """Return other widths of several inputs with which a module runs too; None if it has none."""
    if model.shapes is not None or any(len(shape) != 1 for shape in shapes):
        return None
    for i, j in itertools.permutations(range(len(shapes)), 2):
        if shapes[i][0] > 1:
            changed = [shape[0] for shape in shapes]
            changed[i], changed[j] = changed[i] - 1, changed[j] + 1
            other = tuple((n,) for n in changed)
            if _runs(model, other, samples):
                return other
    return None


def _runs(model: Live, shapes: Shapes, samples: int) -> bool:
    try:
        model.call(model.inputs(shapes, samples))
    except Exception:  # whatever a forward says of a shape that is not its own
        return False
    return True
