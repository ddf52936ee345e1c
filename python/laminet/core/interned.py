"""One network of each content in a process, among those that go through pickles.

Engines of clusters send a network with every task. What comes out of a pickle is the network that
the process has already, if it has one of the same content: with its weights packed, and in memory
once. Nothing is kept for it: a network that nobody refers to is gone.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["interned", "known", "may_be_shared"]

# By content. Without a lock, which a fork could leave taken: each operation on it is atomic, and
# what two threads may undo for each other costs a network of its own, and no more.
_networks: dict[Any, weakref.ref[MLP]] = {}


def known(key: tuple[Any, ...]) -> MLP | None:
    """Return the network of such a content that there is, or None."""
    found = _networks.get(key)
    return None if found is None else found()


def interned(key: tuple[Any, ...], net: MLP) -> MLP:
    """Return the network of such a content that there is: `net` where it is the first."""
    own = weakref.ref(net, lambda gone: _forget(key, gone))
    while True:
        kept = _networks.setdefault(key, own)
        if (found := kept()) is not None:
            return found
        _forget(key, kept)


def may_be_shared(key: Any) -> bool:
    """Whether all that a content names is laminet's own, and so never changes.

    An instance of a class that is derived from it may have attributes of its own.
    """
    if isinstance(key, tuple):
        return all(map(may_be_shared, key))
    kind = key if isinstance(key, type) else type(key)
    return kind.__module__ in ("laminet", "builtins")


def _forget(key: tuple[Any, ...], gone: weakref.ref[MLP]) -> None:
    if _networks.get(key) is gone:
        _networks.pop(key, None)
