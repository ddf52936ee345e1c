"""Muon: matrices by orthogonal updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from laminet.core.conversion.counts import as_step
from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_flag, as_number_within
from laminet.core.suggestions import unknown_name
from laminet.optim.first_order import as_betas
from laminet.optim.optimizer import FirstOrder

__all__ = ["NEWTON_SCHULZ", "NEWTON_SCHULZ_EPS", "Muon"]

#: Coefficients of ``X <- a X + (b X X^T + c (X X^T)^2) X``: of K. Jordan's post and
#: ``torch.optim.Muon``. They maximise the slope at 0, and take singular values near 1, not to it.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
#: The least norm that a matrix is divided by before the iteration (``torch.optim.Muon``).
NEWTON_SCHULZ_EPS = 1e-7

_SCALES = ("original", "match_rms_adamw")


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class Muon(FirstOrder):
    """Momentum, made orthogonal, for matrices [1]_; AdamW for biases and norms.

    As ``torch.optim.Muon``: the momentum is an exponential average of gradients; Newton-Schulz
    iterations take its singular values near to 1. They are in the network's dtype, where PyTorch's
    are in bfloat16: there a trained network differs by the rounding of three digits.

    Parameters
    ----------
    learning_rate : float, default 1e-3
        Of the matrices. With `scale` "original" some 0.02 is usual.
    momentum : float, default 0.95
        At least 0 and less than 1.
    nesterov : bool, default True
        Mix the gradient with the momentum once more.
    steps : int, default 5
        Newton-Schulz iterations.
    scale : {"original", "match_rms_adamw"}, default "original"
        What multiplies the update of a matrix of shape (m, n): ``sqrt(max(1, m / n))``, or
        ``0.2 sqrt(max(m, n))``, with which learning rates and decays of AdamW serve here [2]_.
    weight_decay : float, default 0.1
        In each step a parameter loses ``learning_rate * weight_decay`` of itself.
    adamw_learning_rate : float, default 1e-3
        Of all that is no matrix.
    adamw_betas : (float, float), default (0.9, 0.999)
    adamw_eps : float, default 1e-8
    decay_biases, clip_norm, schedule, average, learning_rate_factors
        As of `SGD`; for both learning rates.

    Raises
    ------
    ValueError
        If a number is out of its bounds, or `scale` is unknown.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] K. Jordan and others, "Muon: An Optimizer for Hidden Layers in Neural Networks", 2024,
       https://kellerjordan.github.io/posts/muon/
    .. [2] J. Liu and others, "Muon is Scalable for LLM Training", 2025, arXiv:2502.16982.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.Muon(0.02, adamw_learning_rate=3e-4)
    Muon(learning_rate=0.02, adamw_learning_rate=0.0003)
    """

    _: KW_ONLY
    momentum: float = 0.95
    nesterov: bool = True
    steps: int = 5
    scale: str = "original"
    weight_decay: float = 0.1
    adamw_learning_rate: float = 1e-3
    # What __post_init__ makes of it is a tuple of two.
    adamw_betas: Any = (0.9, 0.999)
    adamw_eps: float = 1e-8
    name: ClassVar[str] = "muon"

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = as_number_within(self.adamw_learning_rate, "adamw_learning_rate", above=0)
        self._set(
            momentum=as_number_within(self.momentum, "momentum", least=0, below=1),
            nesterov=as_flag(self.nesterov, "nesterov"),
            steps=as_step(self.steps, "steps", least=1),
            scale=_as_scale(self.scale),
            adamw_learning_rate=rate,
            adamw_betas=as_betas(self.adamw_betas, "adamw_betas"),
            adamw_eps=as_number_within(self.adamw_eps, "adamw_eps", above=0),
        )

    def scale_of(self, shape: Sequence[int]) -> float:
        """Return what multiplies the update of a matrix of this shape."""
        rows, columns = shape
        if self.scale == "original":
            return float(max(1.0, rows / columns) ** 0.5)
        return float(0.2 * max(rows, columns) ** 0.5)


def _as_scale(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"scale must be a str, got {type(value).__name__}")
    if value in _SCALES:
        return value
    raise ValueError(unknown_name("scale", value, _SCALES))
