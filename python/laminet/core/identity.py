"""What makes two networks equal, and what a subclass adds to one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["added_state", "digest"]

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
