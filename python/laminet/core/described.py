"""Choices that go by a name and have parameters: losses, optimisers, schedules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from laminet.core.frozen import Frozen
from laminet.core.suggestions import did_you_mean, unknown_name

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Described", "as_described"]


class Described(Frozen):
    """A frozen dataclass that is told by its name and its fields."""

    __slots__ = ()

    #: What it is called where a name will do; what several have in common has none.
    name: ClassVar[str]
    #: How one of the kinds is written: "ln.losses.Huber(delta=1.0)".
    _example: ClassVar[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse what is no choice itself."""
        if not hasattr(cls, "name"):
            raise TypeError(
                f"{cls.__name__} is what several have in common, and none itself: take one such as "
                f"{cls._example}, or give a class of your own a name"
            )
        return super().__new__(cls)

    def to_dict(self) -> dict[str, Any]:
        """Return the name and all parameters as dicts, lists, numbers and strings, as for JSON.

        Returns
        -------
        dict
            ``{"name": ..., parameter: value, ...}``.
        """
        return {"name": self.name, **{k: _plain(v) for k, v in self._values().items()}}

    def _values(self) -> dict[str, Any]:
        """Return the parameters by name: those given by position first."""
        fields = _fields(self)
        return {field.name: getattr(self, field.name) for field in fields}

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in _fields(self)
            if not field.kw_only or getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


Kind = TypeVar("Kind", bound=Described)


def as_described(
    value: object,
    argument: str,
    base: type[Kind],
    kinds: Sequence[type[Kind]],
    meanings: Mapping[str, str | None],
) -> Kind:
    """Return `value` if it is of `base`, or what its name says; refuse all else.

    Parameters
    ----------
    value : object
        One of `base`, the name of one of `kinds`, or what `to_dict` says of one.
    argument : str
        What the user gave it for.
    base : type
        Of all kinds.
    kinds : sequence of type
        Those that there are.
    meanings : mapping of str to str or None
        As in `did_you_mean`.

    Raises
    ------
    TypeError
        If it is none of them, or a parameter is of a wrong type.
    ValueError
        If there is no such name or parameter, or a parameter is out of its bounds.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, Mapping):
        return _restored(value, argument, kinds, meanings)
    names = {kind.name: kind for kind in kinds}
    if not isinstance(value, str):
        got = f"{value.__name__} itself" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{argument} must be one such as {base._example}, or a name, got {got}")
    if value in names:
        return names[value]()
    raise ValueError(unknown_name(argument, value, names, meanings))


def _restored(
    value: Mapping[str, Any],
    argument: str,
    kinds: Sequence[type[Kind]],
    meanings: Mapping[str, str | None],
) -> Kind:
    given = dict(value)
    name = given.pop("name", None)
    kind = next((kind for kind in kinds if kind.name == name), None)
    if kind is None:
        names = [kind.name for kind in kinds]
        hint = did_you_mean(name, names, meanings) if isinstance(name, str) else ""
        raise ValueError(
            f"{argument} is a dict with the name {name!r}, "
            f"{f'{hint} Expected' if hint else 'expected'} one of {', '.join(names)}"
        )
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # each kind is a dataclass
    if unknown := sorted(map(str, given.keys() - known)):
        raise ValueError(f"{argument} is a dict: {kind.__name__} has no {unknown[0]!r}")
    return kind(**given)


def _fields(value: Described) -> list[dataclasses.Field[Any]]:
    """Return the fields of a choice, its own before those of what it is derived from."""
    found = dataclasses.fields(value)  # type: ignore[arg-type]  # each kind is a dataclass
    bases = filter(dataclasses.is_dataclass, type(value).__mro__[1:])
    inherited = {field.name for base in bases for field in dataclasses.fields(base)}
    return sorted(found, key=lambda field: (field.kw_only, field.name in inherited))


def _plain(value: Any) -> Any:
    if isinstance(value, Described):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
