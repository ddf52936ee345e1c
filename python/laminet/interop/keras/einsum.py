"""Einstein sums of a value and a constant that are a dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from laminet.interop.keras.tensors import Array, RowsNeededError, Tensor

__all__ = ["einsum"]


def einsum(equation: str, x: Tensor, kernel: Array) -> Tensor:
    """Return a sum over the last axes of x, such as ``abc,cd->abd``.

    Raises
    ------
    ValueError
        If it is another sum.
    """
    try:
        terms, result = equation.replace(" ", "").split("->")
        own, others = terms.split(",")
    except ValueError:
        raise ValueError(f"has the equation {equation!r}, not one such as 'abc,cd->abd'") from None
    if "..." in own and "..." in result:
        missing = len(x.shape) + 1 - len(own.replace("...", ""))
        letters = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation][:missing]
        own, result = (term.replace("...", "".join(letters)) for term in (own, result))
    summed = [c for c in own if c in others and c not in result]
    kept, new = own[: len(own) - len(summed)], [c for c in others if c not in own]
    fits = (
        own == kept + "".join(summed)
        and result == kept + "".join(c for c in result if c in new)
        and sorted(others) == sorted([*summed, *new])
        and len(set(own)) == len(own) == len(x.shape) + 1
        and len(result) == len(kept) + len(new)
        and bool(summed and new and kept)
    )
    if not fits:
        raise ValueError(f"has the equation {equation!r}, not one such as 'abc,cd->abd'")
    ends = result[len(kept) :]
    arranged = np.transpose(kernel, [others.index(c) for c in (*ends, *summed)])
    sizes = arranged.shape[: len(ends)]
    weight = arranged.reshape(int(np.prod(sizes)), -1)
    leading: tuple[Any, ...] = x.shape[: len(kept) - 1]
    if len(summed) > 1:
        if x.rows:
            raise ValueError("sums over the rows of a sample, which other layers take one by one")
        x = x.reshaped((*leading, weight.shape[1]))
    y = x.linear(weight, None)
    if len(sizes) == 1:
        return y
    if y.rows:
        raise RowsNeededError("gives several axes for each row of a sample")
    return y.reshaped((*leading, *sizes))
