"""What a network is to those files that `mlp` imports, and that so cannot import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.name_types import HeadName
    from laminet.core.trace import Trace

__all__ = ["Network"]


class Network(Protocol):
    """An `MLP`."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""

    @property
    def head(self) -> HeadName | None:
        """What follows them."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the inputs."""

    @property
    def in_features(self) -> int:
        """Length of an input sample."""

    @property
    def out_features(self) -> int:
        """Length of an output sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""

    @property
    def _core(self) -> Any: ...

    def _like(self, layers: Iterable[Layer], **changed: Any) -> Any: ...

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """Return the outputs."""

    def trace(self, x: ArrayLike) -> Trace:
        """Return what every layer computes."""
