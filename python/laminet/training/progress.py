"""How far a run has come, on a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from laminet.training.history import Epoch

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(wanted: bool | None, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Give what shows an epoch that is over: a bar on stderr, or nothing.

    Parameters
    ----------
    wanted : bool or None
        None for a bar on a terminal alone: a log stays without.
    epochs : int
    """
    if wanted is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    if not wanted:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("", total=epochs)

        def show(epoch: Epoch) -> None:
            told = [f"loss {epoch.loss:.4g}"]
            if epoch.validation_loss is not None:
                told.append(f"validation {epoch.validation_loss:.4g}")
            told += [f"{name} {value:.4g}" for name, value in epoch.metrics.items()]
            bar.update(task, completed=epoch.number, description=", ".join(told))

        yield show
