"""What makes two networks equal, and what a subclass adds to what it is derived from."""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["added_state", "digest", "made_again", "reduced", "restore"]

T = TypeVar("T")

_HASHED_AT_ONCE = 2**22  # elements: some 10 ms


def digest(arrays: Iterable[NDArray[Any] | None]) -> bytes:
    """Return a digest of the bits of contiguous arrays; None counts for nothing."""
    result = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            continue
        flat = array.reshape(-1)
        # By parts, so that Ctrl-C comes through in between.
        for first in range(0, len(flat), _HASHED_AT_ONCE):
            result.update(flat[first : first + _HASHED_AT_ONCE].data)
    return result.digest()


def added_state(instance: object, base: type) -> dict[str, Any]:
    """Return the attributes of an object that subclasses of `base` have added."""
    state = dict(getattr(instance, "__dict__", {}))
    order = type(instance).__mro__
    for kind in order[: order.index(base)]:
        slots = kind.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            hidden = slot.startswith("__") and not slot.endswith("__")
            name = f"_{kind.__name__.lstrip('_')}{slot}" if hidden else slot
            if slot not in ("__dict__", "__weakref__") and hasattr(instance, name):
                state[name] = getattr(instance, name)
    return state


def made_again(instance: T, base: Any, arguments: Mapping[str, Any]) -> T:
    """Return an object of the same class that `base` is constructed for with other arguments.

    What a subclass of `base` has added, the new one has too; its ``__init__``, which may take
    other arguments, is not called.
    """
    if type(instance) is base:
        return type(instance)(**arguments)
    again = type(instance).__new__(type(instance))
    base.__init__(again, **arguments)
    _set(again, _added(instance, base, arguments))
    return again


def reduced(instance: object, base: type, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what ``__reduce__`` does of an object that `base` is constructed for.

    Of a subclass of `base` it is for a ``__setstate__`` that calls `restore`.
    """
    values = tuple(arguments.values())
    if type(instance) is base:
        return base, values
    added = _added(instance, base, arguments)
    new = copyreg.__newobj__  # type: ignore[attr-defined]  # which its stub leaves out
    return new, (type(instance),), (base, values, added)


def restore(instance: object, state: tuple[Any, tuple[Any, ...], dict[str, Any]]) -> None:
    """Make of an object without attributes what `reduced` has described."""
    base, values, added = state
    base.__init__(instance, *values)
    _set(instance, added)


def _added(instance: object, base: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in added_state(instance, base).items() if k not in arguments}


def _set(instance: object, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        object.__setattr__(instance, name, value)  # also of what never changes
