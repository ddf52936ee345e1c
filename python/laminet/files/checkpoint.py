"""What a checkpoint holds: tensors by name, plain values, and what is surely no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from laminet.core.errors import FormatError

__all__ = [
    "Checkpoint",
    "Opaque",
    "Stored",
    "checkpoint_of",
    "class_of",
    "is_mapping",
    "quoted",
    "tokens",
]

Array = NDArray[Any]

# Real checkpoints nest 5 mappings. References let a small file describe a huge tree.
_DEEPEST = 16
_MOST_ENTRIES = 100_000
# What frameworks wrap a whole model in: as a key of the checkpoint, and within the names.
_WRAPPING_KEYS = {"state_dict", "model_state_dict", "model", "module"}
_WRAPPING_MODULES = {"_orig_mod", "_fsdp_wrapped_module", "_forward_module"}


class Stored(NamedTuple):
    """A tensor in a file: its shape and type, and how to read it as float32 or float64."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


class Opaque:
    """An object of a class whose code is not run: nothing of it is known but the class."""

    laminet_class = "object"


def class_of(value: Any) -> str:
    """Return the name of the class that a stand-in is for; empty for all else."""
    name = getattr(value, "laminet_class", "")
    return name if isinstance(name, str) else ""


def is_mapping(value: Any) -> bool:
    """Whether an object of a checkpoint is a mapping, and no stand-in of which nothing is known."""
    return isinstance(value, Mapping) and (bool(value) or not class_of(value))


@dataclass(frozen=True)
class Checkpoint:
    """All that a file of weights holds.

    Attributes
    ----------
    tensors : dict of str to Stored
        By name, levels of nesting joined by dots.
    beside : set of str
        Names of those tensors that lie beside whole state dicts, as a loss beside a model.
    values : dict of str to str
        Numbers and text beside them, for instance an epoch.
    objects : dict of str to str
        What else is there, by name: the kind of each.
    left_out : tuple of str
        Names of the states of optimisers.
    aliases : dict of str to str
        Full names where the names in `tensors` are shorter.
    """

    tensors: dict[str, Stored]
    beside: frozenset[str] = frozenset()
    values: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)


def quoted(name: str) -> str:
    """Return a name from a file for a message: escaped, and short."""
    text = ascii(name)
    return text if len(text) <= 60 else text[:57] + "..."


def tokens(name: str) -> list[str]:
    """Return the words of a name: ``actor_logits2`` is of actor and logits."""
    words = "".join(c.lower() if c.isalpha() else " " for c in name)
    return words.split()


def checkpoint_of(loaded: Any, stored: Callable[[Any, str], Stored | None]) -> Checkpoint:
    """Return what nested mappings and lists hold.

    Parameters
    ----------
    loaded : mapping
    stored : callable
        Of an object and its name: the tensor, or None if it is no tensor.

    Raises
    ------
    FormatError
        If they are nested too deeply, or refer to one another so that they have no end.
    """
    walk = _Walk(stored)
    walk.mapping(loaded, ())
    return walk.result()


class _Walk:
    def __init__(self, stored: Callable[[Any, str], Stored | None]) -> None:
        self.stored = stored
        self.tensors: dict[tuple[tuple[str, ...], str], Stored] = {}
        self.beside: set[tuple[tuple[str, ...], str]] = set()
        self.values: dict[str, str] = {}
        self.objects: dict[str, str] = {}
        self.left_out: list[str] = []
        self.entries = 0

    def mapping(self, items: Any, path: tuple[str, ...]) -> bool:
        """Take in one mapping; say whether a tensor is in it or below."""
        if len(path) > _DEEPEST:
            raise FormatError(f"holds mappings nested more than {_DEEPEST} deep")
        if {"state", "param_groups"} <= set(items):
            self.left_out.append(".".join(path))
            return False
        direct: list[tuple[tuple[str, ...], str]] = []
        below = False
        for key, value in items.items():
            self.entries += 1
            if self.entries > _MOST_ENTRIES:
                raise FormatError(f"holds more than {_MOST_ENTRIES} entries")
            text = key if isinstance(key, str) else ascii(key)
            name = ".".join((*path, text))
            tensor = self.stored(value, name)
            if tensor is not None:
                self.tensors[path, text] = tensor
                direct.append((path, text))
            elif is_mapping(value):
                below |= self.mapping(value, (*path, text))
            elif isinstance(value, (list, tuple)) and any(map(is_mapping, value)):
                below |= self.mapping(dict(enumerate(value)), (*path, text))
            elif isinstance(value, (int, float, str)):
                if len(path) > 1:
                    continue  # of loops and schedulers: a page of counters
                self.values[name] = quoted(value) if isinstance(value, str) else f"{value}"[:60]
            elif value is not None:
                self.objects[name] = class_of(value) or type(value).__name__
        if below:
            self.beside.update(at for at in direct if "." not in at[1])
        return below or bool(direct)

    def result(self) -> Checkpoint:
        full = {at: ".".join((*at[0], at[1])) for at in self.tensors}
        short = {at: _shortened(*at) for at in self.tensors}
        if len(set(short.values())) < len(short):
            short = full
        if len(set(short.values())) < len(short):
            raise FormatError("two tensors have the same name")
        return Checkpoint(
            {short[at]: tensor for at, tensor in self.tensors.items()},
            frozenset(short[at] for at in self.beside),
            self.values,
            self.objects,
            tuple(self.left_out),
            {short[at]: name for at, name in full.items() if name != short[at]},
        )


def _shortened(path: tuple[str, ...], name: str) -> str:
    """Return a name without what only wraps it: ``model_state_dict.module.fc.weight``."""
    keys = [k.removesuffix("_state_dict") or k for k in path if k not in _WRAPPING_KEYS]
    parts = [p for p in _parts(name) if p not in _WRAPPING_MODULES]
    while len(parts) > 2 and parts[0] == "module":
        parts.pop(0)
    return ".".join((*keys, *parts))


def _parts(name: str) -> Iterator[str]:
    return iter(name.split("."))
