"""The operations of PyTorch that move numbers and change none: views, slices, joins, copies."""

from __future__ import annotations

from typing import Any

from laminet.interop.pytorch.tensors import Tracked, concatenated

__all__ = ["BLIND", "is_move", "moved"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVES = _names(
    """
    alias chunk clone contiguous detach diagonal expand expand_as expand_copy flatten flip
    fliplr gather index index_select lift lift_fresh movedim narrow permute permute_copy ravel
    repeat repeat_interleave reshape roll select select_copy slice slice_copy split split_copy
    split_with_sizes split_with_sizes_copy squeeze squeeze_copy swapaxes t t_copy take_along_dim
    tensor_split tile transpose transpose_copy unbind unflatten unfold unsafe_chunk unsafe_split
    unsafe_split_with_sizes unsqueeze unsqueeze_copy
    """
)
# Done as a reshape: the tensor of places may lie otherwise in memory.
_RESHAPES = frozenset(("view", "_unsafe_view", "_reshape_alias", "view_copy", "view_as"))
_JOINS = frozenset(("cat", "concat", "stack", "hstack", "vstack", "dstack", "column_stack"))
_CONVERSIONS = frozenset(("_to_copy", "to"))

#: They ask for a tensor's shape and type alone.
BLIND = _names(
    """
    _assert_tensor_metadata dim empty_like full_like is_same_size new_empty new_empty_strided
    new_full new_ones new_zeros numel ones_like size stride sym_numel sym_size
    sym_storage_offset sym_stride zeros_like
    """
)


def is_move(name: str) -> bool:
    """Whether an operation of that name moves numbers only."""
    return name == "copy" or any(
        name in names for names in (_MOVES, _RESHAPES, _JOINS, _CONVERSIONS)
    )


def moved(func: Any, name: str, args: Any, kwargs: Any, result: Any, narrow: Any) -> Any:
    """Return what an operation that moves numbers makes of its arguments, as it makes its results.

    Parameters
    ----------
    func : OpOverload
        The operation itself, to be carried out on the places.
    name : str
    args, kwargs
        Of the operation, with what is known of tensors in their places.
    result
        The operation's own result.
    narrow : torch.dtype or None
        The dtype that a conversion may round to: that of the parameters, where it is a narrow one.

    Raises
    ------
    ValueError
        If the operation does more than move numbers, or cannot be followed.
    """
    import torch
    from torch.utils._pytree import tree_leaves, tree_map

    if func._overloadname == "dtype":
        raise ValueError("reads the bits of numbers as others")
    first = next((a for a in tree_leaves((args, kwargs)) if isinstance(a, Tracked)), None)
    if first is None:
        raise ValueError("moves what is no result of a layer")
    if name in _CONVERSIONS:
        if args[0] is not first:
            raise ValueError("converts to the type of a result")
        _check_conversion(result.dtype, narrow)
        return first
    if name == "copy":
        if not isinstance(args[1], Tracked):
            raise ValueError("overwrites a result by a constant")
        copied: Tracked = args[1].expanded(result.shape)
        return copied
    if name in _JOINS:
        tensors = list(args[0])
        if not all(isinstance(t, Tracked) for t in tensors):
            raise ValueError("joins results with a constant")
        parts = concatenated(tensors)
        args, first = ([part.index for part in parts], *args[1:]), parts[0]
    if name in _RESHAPES:
        return Tracked(first.value, first.index.reshape(tuple(result.shape)), first.samples)

    def place(leaf: Any) -> Any:
        if isinstance(leaf, Tracked):
            return leaf.index
        return leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf

    args, kwargs = tree_map(place, (tuple(args), dict(kwargs)))
    places = func(*args, **kwargs)
    return tree_map(lambda t: Tracked(first.value, t, first.samples), places)


def _check_conversion(dtype: Any, narrow: Any) -> None:
    """Refuse a conversion to a type that does not hold the same numbers but for rounding."""
    name = str(dtype).removeprefix("torch.")
    if not dtype.is_floating_point:
        raise ValueError(f"rounds to {name}")
    if dtype.itemsize < 4 and dtype != narrow:
        raise ValueError(
            f"rounds to {name} in between, which laminet does not: convert the whole module instead"
        )
