"""Features left out at random, while a network is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from laminet.core.layers.layer import ImmutableLayer, Layer
from laminet.core.layers.tree import walk
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_number

__all__ = ["Dropout", "drops", "in_training"]


@named_in("laminet")
class Dropout(ImmutableLayer):
    """The identity, but while a network is trained: then features are left out at random [1]_.

    Parameters
    ----------
    rate : float
        The probability that a feature becomes 0, at least 0 and less than 1; those that stay are
        divided by ``1 - rate``, as by ``torch.nn.Dropout``.

    Attributes
    ----------
    rate : float

    Raises
    ------
    ValueError
        If `rate` is out of its range.
    TypeError
        If `rate` is not a real number.

    Notes
    -----
    What is dropped depends on the seed of the training, the number of the step, which dropout of
    the network it is, and the row and column in the batch: not on threads or instruction sets.
    Steps of `laminet.Trainer` and `laminet.fit` drop; losses, validation and the network itself do
    not.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: A
       Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.Dense([[2.0]]), ln.Dropout(0.5)])([3.0])
    array([6.])
    """

    __slots__ = ("rate",)
    _fields = ("rate",)

    rate: float

    def __init__(self, rate: float) -> None:
        value = as_number(rate, "rate")
        if not 0 <= value < 1:
            raise ValueError(f"rate must be at least 0 and less than 1, got {value}")
        self._set(rate=value)

    def _for_core(self, features: int) -> tuple[Any, ...] | None:
        return None

    def _brief(self) -> str:
        return f"dropout {self.rate:g}"


class _Dropping(Dropout):
    """Dropout as the core is told of it for training alone."""

    __slots__ = ()

    def _for_core(self, features: int) -> tuple[Any, ...] | None:
        return ("dropout", self.rate)


def drops(layers: Iterable[Layer]) -> bool:
    """Whether layers, or those within them, drop features while they are trained."""
    return any(isinstance(leaf, Dropout) and leaf.rate > 0 for _, leaf in walk(tuple(layers)))


def in_training(layers: Iterable[Layer]) -> list[Layer]:
    """Return layers whose `Dropout` the core is told of."""
    return [
        layer._mapped(lambda leaf: _Dropping(leaf.rate) if isinstance(leaf, Dropout) else leaf)
        for layer in layers
    ]
