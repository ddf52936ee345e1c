"""What a run was like, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from laminet.core.public_module import named_in
from laminet.core.report import Report, TableData

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laminet.core.mlp import MLP

__all__ = ["Epoch", "Fit", "History", "as_callbacks"]

# More lines than this of a long run are left out in the middle of its table.
_LINES = 12


@named_in("laminet.training")
@dataclass(frozen=True, repr=False)
class History(Report):
    """Losses, metrics and times of a run, a number for each epoch.

    Attributes
    ----------
    loss : tuple of float
        The mean loss of the samples, each before the step that it was part of.
    validation_loss : tuple of float
        That of the validation data after the epoch; empty where there is none.
    metrics : mapping of str to tuple of float
        Of the validation data after the epoch.
    learning_rate : tuple of float
        That of the epoch's last step.
    seconds : tuple of float
        How long the epoch took, its validation included.
    """

    loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    learning_rate: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.loss)

    def tables(self) -> list[TableData]:
        """Return a table with a line for each epoch, without the middle of many."""
        columns: list[tuple[str, tuple[float, ...]]] = [("loss", self.loss)]
        if self.validation_loss:
            columns.append(("validation loss", self.validation_loss))
        columns += [*self.metrics.items(), ("learning rate", self.learning_rate)]
        columns.append(("seconds", self.seconds))
        rows = [("epoch", *(name for name, _ in columns))]
        count = len(self)
        for i in range(count):
            if count > _LINES and _LINES // 2 <= i < count - _LINES // 2:
                if i == _LINES // 2:
                    rows.append(("...",) * (1 + len(columns)))
                continue
            rows.append((str(i + 1), *(f"{values[i]:.4g}" for _, values in columns)))
        return [TableData(rows, text_columns=0)]


@named_in("laminet.training")
class Epoch:
    """An epoch that is over, as callbacks get it.

    Attributes
    ----------
    number : int
        From 1.
    epochs : int
        How many there will be at most.
    loss : float
    validation_loss : float or None
    metrics : dict of str to float
    learning_rate, seconds : float
        As in `History`; nothing that is written here changes it.
    """

    def __init__(
        self,
        number: int,
        epochs: int,
        loss: float,
        validation_loss: float | None,
        metrics: dict[str, float],
        learning_rate: float,
        seconds: float,
        network: Callable[[], MLP],
    ) -> None:
        self.number, self.epochs = number, epochs
        self.loss, self.validation_loss, self.metrics = loss, validation_loss, dict(metrics)
        self.learning_rate, self.seconds = learning_rate, seconds
        self._network: Callable[[], MLP] | None = network
        self._stopped = False

    @property
    def network(self) -> MLP:
        """The network as it is now, made when it is asked for.

        Raises
        ------
        RuntimeError
            Outside the callback, when it would be another one.
        """
        if self._network is None:
            raise RuntimeError(
                f"epoch {self.number} is over, and its network with it: take it in the callback, "
                "as in networks.append(epoch.network)"
            )
        return self._network()

    def stop(self) -> None:
        """End the run after this epoch.

        Raises
        ------
        RuntimeError
            Outside the callback, when nothing asks any more.
        """
        if self._network is None:
            raise RuntimeError(f"epoch {self.number} is over: a callback ends a run with its own")
        self._stopped = True

    def _tell(self, calls: Sequence[Callable[[Epoch], Any]]) -> bool:
        """Let callbacks have it while it is the last one; return whether one ends the run."""
        try:
            for call in calls:
                call(self)
        finally:
            self._network = None
        return self._stopped

    def __repr__(self) -> str:
        validation = (
            "" if self.validation_loss is None else f", {self.validation_loss:.4g} held out"
        )
        return f"<epoch {self.number} of {self.epochs}: loss {self.loss:.4g}{validation}>"


@named_in("laminet.training")
@dataclass(frozen=True, repr=False)
class Fit(Report):
    """What `laminet.fit` returns.

    Attributes
    ----------
    network : MLP
        The one of the best epoch, where there is validation data or patience, else the last one.
    history : History
    best_epoch : int
        From 1: that of the smallest validation loss, or loss where nothing is held out.
    stopped : str
        Why it ended: "epochs", "patience", "callback" or "interrupted" (Ctrl-C); of full-batch
        optimisers "converged", "iterations" or "stalled" (no step made the loss smaller), too;
        "error" of what an error carries.
    """

    network: MLP
    history: History
    best_epoch: int
    stopped: str

    def tables(self) -> list[TableData]:
        """Return the table of the history."""
        return self.history.tables()

    def notes(self) -> list[str]:
        """Return how it ended."""
        ends = {
            "epochs": "all epochs were made",
            "patience": "nothing better came for as long as patience says",
            "callback": "a callback ended it",
            "interrupted": "it was interrupted",
            "error": "a callback or metric raised an error",
            "converged": "nothing more was to be gained",
            "iterations": "all iterations were made",
            "stalled": "no further step made the loss smaller",
        }
        count = len(self.history)
        return [
            f"{count} epoch{'' if count == 1 else 's'}, best {self.best_epoch}; "
            f"{ends.get(self.stopped, self.stopped)}"
        ]

    def to_dict(self) -> dict[str, object]:
        """Return history, best epoch and end; networks have `MLP.save`."""
        return {
            "history": self.history.to_dict(),
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
        }

    def plot(self, target: str | os.PathLike[str] | Axes | None = None) -> Figure:
        """Draw the losses over the epochs.

        Parameters
        ----------
        target : path, matplotlib Axes or None
            A file (.png, .svg or .pdf), or where to draw. None for a figure alone.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from laminet.training.learning_curve import draw

        return draw(self.history, self.best_epoch, target)


def as_callbacks(value: Any) -> list[Callable[[Epoch], Any]]:
    """Return what is called after each epoch as a list; refuse what cannot be called.

    Raises
    ------
    TypeError
        If it is neither callable nor a sequence of callables.
    """
    if callable(value):
        return [value]
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(
            f"callbacks must be a callable or a sequence of them, got {type(value).__name__}"
        )
    calls = list(value)
    for i, call in enumerate(calls):
        if not callable(call):
            raise TypeError(f"callbacks[{i}] must be callable, got {type(call).__name__}")
    return calls
