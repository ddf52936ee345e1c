"""What the outputs of a network stand for: quantities, one of several classes, any of many labels.

It decides what `predict` and `predict_proba` answer. Without it they answer only where the network
itself says enough: several logits, or a softmax head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from laminet.core.identity import reduced, restore
from laminet.core.inputs import as_names
from laminet.core.labels import as_labels
from laminet.core.public_module import named_in
from laminet.core.scores import (
    index_of_largest,
    last_activation,
    logits,
    of_each,
    refuse_nan,
    require_scores,
    softmax,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from laminet.core.network import Network

    Array = NDArray[Any]

__all__ = ["UNSTATED", "Classes", "Labels", "Outputs", "Quantities", "as_outputs"]

# How many labels a repr shows.
_SHOWN = 4


class Outputs(ABC):
    """What the outputs of a network stand for: `Quantities`, `Classes` or `Labels`."""

    __slots__ = ()

    @abstractmethod
    def check(self, net: Network) -> None:
        """Raise ValueError unless the outputs of a network can stand for this."""

    @abstractmethod
    def predict(self, net: Network, x: ArrayLike) -> Any:
        """Return what `MLP.predict` does."""

    @abstractmethod
    def predict_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return what `MLP.predict_proba` does."""

    @abstractmethod
    def predict_log_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return what `MLP.predict_log_proba` does."""

    @abstractmethod
    def described(self) -> str:
        """Return what the repr of a network shows."""

    @abstractmethod
    def _key(self) -> tuple[Any, ...]:
        """Return what two equal ones have equal."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outputs):
            return NotImplemented
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} never changes")

    def __setstate__(self, state: Any) -> None:
        restore(self, state)

    def __copy__(self) -> Outputs:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Outputs:
        return self


@named_in("laminet")
class Quantities(Outputs):
    """The outputs are numbers: `predict` gives them, and they have no probabilities.

    Parameters
    ----------
    names : sequence of str, optional
        One for each output, all different.

    Attributes
    ----------
    names : tuple of str, or None

    Raises
    ------
    ValueError
        If there is no name, or one is empty or comes twice.
    TypeError
        If a name is not a str.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP([ln.Dense([[2.0]], [1.0])], outputs=ln.Quantities(["price"]))
    >>> net.predict([[1.0], [3.0]])
    array([3., 7.])
    """

    __slots__ = ("names",)

    names: tuple[str, ...] | None

    def __init__(self, names: Iterable[str] | None = None) -> None:
        known = None if names is None else as_names(names, "names")
        if known == ():
            raise ValueError("names is empty; leave it out where the quantities have none")
        object.__setattr__(self, "names", known)

    def check(self, net: Network) -> None:
        """Raise ValueError unless there is a name for each output."""
        if self.names is not None and len(self.names) != net.out_features:
            raise ValueError(
                f"outputs: Quantities has {len(self.names)} names, the network has "
                f"{_count(net.out_features, 'output')}"
            )

    def predict(self, net: Network, x: ArrayLike) -> Any:
        """Return the outputs, without their axis where there is one."""
        y = net(x)
        return y[..., 0] if net.out_features == 1 else y

    def predict_proba(self, net: Network, x: ArrayLike) -> Array:
        """Refuse: quantities have no probabilities."""
        raise ValueError("the network's outputs are Quantities: they have no probabilities")

    predict_log_proba = predict_proba

    def described(self) -> str:
        """Return the names."""
        return "quantities" + (f": {_listed(self.names)}" if self.names else "")

    def _key(self) -> tuple[Any, ...]:
        return (self.names,)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self, Quantities, {"names": self.names})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.names is None else list(self.names)})"


class _Labelled(Outputs):
    """A label for each output, but where one output stands for two classes."""

    __slots__ = ("labels",)

    labels: Array

    def __init__(self, labels: ArrayLike) -> None:
        object.__setattr__(self, "labels", as_labels(labels, type(self).__name__))

    def _key(self) -> tuple[Any, ...]:
        # Not of the values alone: 0, 0.0 and False are equal, and different labels.
        values = self.labels.tolist()
        return self.labels.dtype.str, tuple(type(v) for v in values), tuple(values)

    def __reduce__(self) -> tuple[Any, ...]:
        kind = Classes if isinstance(self, Classes) else Labels
        return reduced(self, kind, {"labels": self.labels})

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{_listed(self.labels.tolist())}])"


@named_in("laminet")
class Classes(_Labelled):
    """Each sample has one of several classes: `predict` gives its label.

    Parameters
    ----------
    labels : array_like of shape (n,)
        Two or more, all different: numbers or text. One for each output; or two for a network of
        one output, which is then the probability of the second (after a sigmoid), or its logit.

    Attributes
    ----------
    labels : ndarray of shape (n,), read-only

    Raises
    ------
    ValueError
        If there are less than two labels, they are not in one row, or two are equal.
    TypeError
        If they are neither numbers nor text.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP([ln.Dense([[1.0]])], outputs=ln.Classes(["down", "up"]))
    >>> print(net.predict([[3.0], [-2.0]]), net.predict_proba([0.0]))
    ['up' 'down'] [0.5 0.5]
    """

    __slots__ = ()

    def __init__(self, labels: ArrayLike) -> None:
        super().__init__(labels)
        if len(self.labels) < 2:
            raise ValueError(f"Classes takes two labels or more, got {len(self.labels)}")

    def check(self, net: Network) -> None:
        """Raise ValueError unless there is a label for each output, or two for one."""
        count, outputs = len(self.labels), net.out_features
        if outputs > 1:
            if count != outputs:
                raise ValueError(
                    f"outputs: Classes has {count} labels, the network has {outputs} outputs"
                )
        elif count != 2:
            raise ValueError(
                f"outputs: Classes has {count} labels, and one output can stand for two classes"
            )
        elif net.head is not None or last_activation(net) not in ("sigmoid", "identity"):
            raise ValueError(
                f"outputs: one output that ends in {net.head or last_activation(net)} is neither "
                "the probability of a class (after a sigmoid) nor its logit (identity)"
            )

    def predict(self, net: Network, x: ArrayLike) -> Any:
        """Return the label of the largest output of each sample, the first of equal ones."""
        y = net(x)
        if net.out_features == 1:
            refuse_nan(y)
            half = 0.5 if last_activation(net) == "sigmoid" else 0.0
            return self.labels[(y[..., 0] > half).astype(np.intp)]
        return self.labels[index_of_largest(y)]

    def predict_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return the probability of each class: ``[1 - p, p]`` of one output."""
        if net.out_features > 1:
            return softmax(net, x, "softmax")
        y = net(x)
        if last_activation(net) == "identity":
            return of_each(y, [[-1.0], [1.0]], "sigmoid")  # sigmoid(-z) keeps what 1 - p would lose
        return np.concatenate([1 - y, y], axis=-1)

    def predict_log_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`, also where that underflows."""
        if net.out_features > 1:
            return softmax(net, x, "log_softmax")
        return -of_each(logits(net, x), [[1.0], [-1.0]], "softplus")

    def described(self) -> str:
        """Return the labels."""
        return f"classes: {_listed(self.labels.tolist())}"


@named_in("laminet")
class Labels(_Labelled):
    """Each sample has any number of labels: `predict` says for each whether it has it.

    Parameters
    ----------
    labels : array_like of shape (out_features,)
        One for each output, all different: numbers or text. An output is the probability of its
        label (after a sigmoid), or its logit.

    Attributes
    ----------
    labels : ndarray of shape (n,), read-only

    Raises
    ------
    ValueError
        If there is no label, they are not in one row, or two are equal.
    TypeError
        If they are neither numbers nor text.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.MLP([ln.Dense([[1.0], [-1.0]])], outputs=ln.Labels(["warm", "wet"]))
    >>> net.predict([[3.0], [-2.0]])
    array([[1, 0],
           [0, 1]])
    """

    __slots__ = ()

    def check(self, net: Network) -> None:
        """Raise ValueError unless there is a label for each output, and each has a probability."""
        if len(self.labels) != net.out_features:
            raise ValueError(
                f"outputs: Labels has {_count(len(self.labels), 'label')}, the network has "
                f"{_count(net.out_features, 'output')}"
            )
        if net.head is not None or last_activation(net) not in ("sigmoid", "identity"):
            raise ValueError(
                f"outputs: Labels takes sigmoid (probabilities) or identity (logits) as the last "
                f"activation, got {net.head or last_activation(net)}"
            )

    def predict(self, net: Network, x: ArrayLike) -> Any:
        """Return 1 for each label whose probability is above 1/2, else 0."""
        y = net(x)
        refuse_nan(y)
        return (y > (0.5 if last_activation(net) == "sigmoid" else 0.0)).astype(np.int64)

    def predict_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return the probability of each label."""
        y = net(x)
        return y if last_activation(net) == "sigmoid" else of_each(y, [[1.0]], "sigmoid")

    def predict_log_proba(self, net: Network, x: ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`, also where that underflows."""
        return -of_each(logits(net, x), [[-1.0]], "softplus")

    def described(self) -> str:
        """Return the labels."""
        return f"labels: {_listed(self.labels.tolist())}"


class _Unstated:
    """Nothing was said: several logits, or a head, are taken as scores of classes 0, 1, ..."""

    def predict(self, net: Network, x: ArrayLike) -> Any:
        require_scores(net)
        return index_of_largest(net(x))

    def predict_proba(self, net: Network, x: ArrayLike) -> Array:
        require_scores(net)
        return softmax(net, x, "softmax")

    def predict_log_proba(self, net: Network, x: ArrayLike) -> Array:
        require_scores(net)
        return softmax(net, x, "log_softmax")


UNSTATED = _Unstated()


def as_outputs(value: object) -> Outputs | None:
    """Return `value` if it says what outputs stand for, or is None; refuse all else."""
    if value is not None and not isinstance(value, Outputs):
        raise TypeError(
            "outputs must be ln.Quantities(), ln.Classes(labels), ln.Labels(labels) or None, got "
            f"{value.__name__ + ' itself' if isinstance(value, type) else type(value).__name__}"
        )
    return value


def _listed(values: Any) -> str:
    """Return the first values and the last one."""
    shown = [repr(value) for value in values]
    if len(shown) > _SHOWN:
        shown = [*shown[: _SHOWN - 1], "... " + shown[-1]]
    return ", ".join(shown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
