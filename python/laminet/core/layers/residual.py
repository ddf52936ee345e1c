"""What layers make of the input, added to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.layers.layer import ImmutableLayer, Layer, Leaf
from laminet.core.layers.tree import as_series, brief, for_core, given, taken
from laminet.core.public_module import named_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Residual"]


@named_in("laminet")
class Residual(ImmutableLayer):
    """A residual block: ``x + f(x)`` [1]_.

    Parameters
    ----------
    layers : iterable of layers
        ``f``, one layer or more; it gives as many features as it takes.

    Attributes
    ----------
    layers : tuple of layers
    in_features, out_features : int or None
        None where no layer says it.
    dtype : numpy.dtype or None
        The widest of the layers'; None where there are no arrays.

    Raises
    ------
    ValueError
        If there is no layer.
    TypeError
        If something else than a layer is among them.

    Notes
    -----
    Its Jacobian is ``I + J`` of that of ``f``.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016, equation 1.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.MLP([ln.Residual([ln.Dense([[2.0]], [1.0], "relu")])])([3.0])
    array([10.])
    """

    __slots__ = ("layers",)
    _fields = ("layers",)

    layers: tuple[Layer, ...]

    def __init__(self, layers: Iterable[Layer]) -> None:
        series = as_series(layers, "layers")
        if not series:
            raise ValueError("layers is empty; a residual block needs at least one layer")
        self._set(layers=series)

    @property
    def in_features(self) -> int | None:
        """Length of an input sample; None where no layer says it."""
        return taken(self.layers)

    @property
    def out_features(self) -> int | None:
        """Length of an output sample: that of an input sample."""
        return self.in_features

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """float32 or float64, the widest of the layers'; None where there are no arrays."""
        found = [layer.dtype for layer in self.layers]
        return max((d for d in found if d is not None), key=lambda d: d.itemsize, default=None)

    def _gives(self, features: int, place: str, giver: str) -> int:
        out = given(self.layers, features, f"{place}.layers", giver)[-1]
        if out != features:
            raise ValueError(
                f"{place} makes {out} features of {features}, and cannot add them to its input"
            )
        return features

    def _for_core(self, features: int) -> tuple[Any, ...]:
        return "residual", for_core(self.layers, features)

    def _brief(self) -> str:
        return f"residual({brief(self.layers)})"

    def _ending(self, before: str) -> str:
        return "identity"

    def _parts(self) -> list[tuple[str, Sequence[Layer]]]:
        return [("layers", self.layers)]

    def _mapped(self, change: Leaf) -> Residual:
        return self._again(layers=[layer._mapped(change) for layer in self.layers])

    def _arrays(self) -> list[NDArray[Any]]:
        return []  # those of its layers are theirs

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{', '.join(map(repr, self.layers))}])"
