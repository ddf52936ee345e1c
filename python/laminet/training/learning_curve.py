"""The picture of a run: losses by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laminet.show.matplotlib_extra import save_figure, target_axes

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laminet.training.history import History

__all__ = ["draw"]

_TRAINING, _VALIDATION = "#9aa5b1", "#1f5fa8"


def draw(history: History, best: int, target: str | os.PathLike[str] | Axes | None) -> Figure:
    """Draw losses over epochs; see `Fit.plot`."""
    axes, path = target_axes(target, 6.0, 4.0)
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, history.loss, color=_TRAINING, label="training")
    if history.validation_loss:
        axes.plot(epochs, history.validation_loss, color=_VALIDATION, label="validation")
        axes.axvline(best, color="black", linewidth=0.6, zorder=0)
    losses = [*history.loss, *history.validation_loss]
    # Losses below 0, as Poisson's, have no logarithm.
    if losses and min(losses) > 0 and max(losses) > 10 * min(losses):
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss")
    axes.legend(frameon=False)
    figure = axes.figure.figure  # the root, where the axes are in a subfigure
    if path is not None:
        save_figure(figure, path)
    return figure
