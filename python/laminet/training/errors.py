"""A run that came to nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from laminet.core.public_module import named_in

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["TrainingError", "diverged"]

_WHAT_TO_TRY = (
    "try a smaller learning rate, optimizer=ln.optim.AdamW(..., clip_norm=1.0), or inputs and "
    "targets of a scale near 1"
)


@named_in("laminet")
class TrainingError(RuntimeError):
    """A loss, or a derivative, that is not finite: the run ended, and what it made before is kept.

    Attributes
    ----------
    network : MLP or None
        Of `laminet.fit`, the best network so far, which is the one given where no epoch ended; of a
        `Trainer`, its network before the step that was not made.
    history : History or None
        Of `laminet.fit`, the epochs that ended.
    epoch, step : int
        When: both count from 1. Of a `Trainer`, ``epoch`` counts the calls of `Trainer.epoch`.

    Examples
    --------
    >>> import laminet as ln
    >>> net, far = ln.MLP.init([1, 1], seed=0), ln.optim.SGD(1e30)
    >>> try:
    ...     ln.fit(net, [[1.0], [2.0]], [[1e9], [3.0]], optimizer=far, seed=0)
    ... except ln.TrainingError as error:
    ...     print(error.epoch, error.network.sizes)
    2 (1, 1)
    """

    def __init__(
        self,
        message: str = "",
        *,
        network: MLP | None = None,
        history: Any = None,
        epoch: int = 0,
        step: int = 0,
    ) -> None:
        super().__init__(message)
        self.network, self.history, self.epoch, self.step = network, history, epoch, step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__


def diverged(loss: float, epoch: int, step: int, network: MLP) -> TrainingError:
    """Return the error of a loss that is not finite; `epoch` is 0 outside epochs."""
    what = "NaN" if math.isnan(loss) else "infinite"
    when = f"step {step}" if epoch == 0 else f"epoch {epoch}, step {step}"
    return TrainingError(
        f"the loss is {what} in {when}: {_WHAT_TO_TRY}", network=network, epoch=epoch, step=step
    )
