"""What a dense layer is to those who take one from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.activation import Activation

__all__ = ["DenseLike"]


class DenseLike(Protocol):
    """What a dense layer must have; `laminet.Dense` is one."""

    @property
    def weight(self) -> NDArray[Any]:
        """Shape (out_features, in_features)."""

    @property
    def bias(self) -> NDArray[Any] | None:
        """Shape (out_features,), or None."""

    @property
    def activation(self) -> Activation:
        """The activation function."""
