"""What every kind of layer has: how it fits its neighbours, and what the core is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import numpy as np

from laminet.core.frozen import Frozen
from laminet.core.hooks import hooks
from laminet.core.identity import made_again, reduced, restore
from laminet.core.layers.arrays import same
from laminet.core.table_data import TableData

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["ImmutableLayer", "Layer", "Leaf", "entry_of", "require_features"]

Entry = TypeVar("Entry")

#: What is done to each layer that is not made of others.
Leaf = Callable[["Layer"], "Layer"]


class Layer:
    """A layer of a network; the kinds have a file each.

    A new kind says at least `_fields`, `_gives`, `_for_core` and `_brief`; `laminet.reference` says
    what it means.
    """

    __slots__ = ()

    #: The constructor's arguments, in order, each an attribute of that name. A class that says them
    #: is a kind; one derived from it, which may be constructed otherwise, is of the same kind.
    _fields: ClassVar[tuple[str, ...]] = ()
    #: Whether it gives as many features as it takes, whatever their number.
    _keeps_width: ClassVar[bool] = True

    @property
    def in_features(self) -> int | None:
        """Length of an input sample; None where the layer takes any."""
        return None

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """float32 or float64; None where the layer has no arrays."""
        for array in self._arrays():
            return array.dtype
        return None

    def _gives(self, features: int, place: str, giver: str) -> int:
        """Return how many features it makes of so many, or refuse them.

        `place` is its own, "layers[2]"; `giver` says who gives them, "layers[1] gives".
        """
        if self.in_features is not None:
            require_features(self.in_features, features, place, giver)
        return features

    def _for_core(self, features: int) -> tuple[Any, ...] | None:
        """Return what the core is told of a layer that takes so many; None where it is nothing."""
        raise NotImplementedError

    def _brief(self) -> str:
        """Return what the repr of a network shows."""
        raise NotImplementedError

    def _ending(self, before: str) -> str:
        """Return what the outputs end in: the name of an activation, of those that come in."""
        return before

    def _without_ending(self) -> Layer | None:
        """Return the layer without the activation that `_ending` names.

        None where nothing of it is left; itself where the activation is that of a layer before.
        """
        return self

    def _parts(self) -> Iterable[tuple[str, Sequence[Layer]]]:
        """Return the layers that it is made of, with the attribute that they stand in."""
        return ()

    def _mapped(self, change: Leaf) -> Layer:
        """Return the layer with what it is made of changed."""
        return change(self)

    @classmethod
    def _kind(cls) -> type[Layer]:
        """Return the class whose constructor takes `_fields`: this, or what it is derived from."""
        return next(kind for kind in cls.__mro__ if "_fields" in kind.__dict__)

    def _arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._fields}

    def _again(self, **changed: Any) -> Self:
        """Return the layer with some of these changed; a subclass stays what it is."""
        return made_again(self, self._kind(), {**self._arguments(), **changed})

    def _rounded(self, dtype: np.dtype[Any]) -> Layer:
        """Return the layer with arrays of its own, of this dtype."""
        return self

    def _arrays(self) -> list[NDArray[Any]]:
        """Return its own arrays."""
        values = (getattr(self, name) for name in self._fields)
        return [value for value in values if isinstance(value, np.ndarray)]

    def _num_parameters(self) -> int:
        """Return the number of its own weights, biases and parameters by unit."""
        return 0

    def _structure(self) -> Any:
        """Return what two equal layers have equal beside the bits of arrays; it has a hash."""
        return (type(self), *(_hashable(getattr(self, name)) for name in self._fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self, self._kind(), self._arguments())

    def __setstate__(self, state: Any) -> None:
        restore(self, state)


class ImmutableLayer(Layer, Frozen):
    """A layer that is what its constructor's arguments say, and never changes."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} never changes")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} never changes")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImmutableLayer):
            return NotImplemented
        return type(self) is type(other) and all(
            same(getattr(self, name), getattr(other, name)) for name in self._fields
        )

    # As of Dense: comparing arrays is all that a hash would be good for.
    __hash__ = None  # type: ignore[assignment]  # mypy knows it as a method

    def __repr__(self) -> str:
        values = [f"{name}={_shown(getattr(self, name))}" for name in self._fields]
        if self.dtype is not None:
            values.append(str(self.dtype))
        return f"{type(self).__name__}({', '.join(values)})"

    def _repr_html_(self) -> str:
        values = [_shown(getattr(self, name)) for name in self._fields]
        return hooks.html([TableData([self._fields, values], len(values), repr(self))], [])


def entry_of(table: Mapping[type, Entry], layer: object) -> Entry:
    """Return what a table has for the class of a layer, or for the nearest that it is derived from.

    Raises
    ------
    KeyError
        If it has nothing: the layer is of a kind that the table lacks.
    """
    for kind in type(layer).__mro__:
        if kind in table:
            return table[kind]
    raise KeyError(type(layer).__name__)


def require_features(takes: int, features: int, place: str, giver: str) -> None:
    """Raise a ValueError unless a layer takes as many features as there are."""
    if takes != features:
        raise ValueError(f"{place} takes {takes} features, {giver} {features}")


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape
    if isinstance(value, Layer):
        return value._structure()
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, slice):  # has no hash before Python 3.12
        return value.start, value.stop, value.step
    return value.hex() if isinstance(value, float) else value


def _shown(value: Any) -> str:
    """Return a value as a repr shows it: of an array its shape."""
    return f"array{value.shape}" if isinstance(value, np.ndarray) else repr(value)
