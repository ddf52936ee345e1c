"""How far a run has come, on a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

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
    if not wanted or sys.stderr is None:
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
    console = Console(file=cast("IO[str]", _Unfailing(sys.stderr)))
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task("", total=epochs)

        def show(epoch: Epoch) -> None:
            told = [f"loss {epoch.loss:.4g}"]
            if epoch.validation_loss is not None:
                told.append(f"validation {epoch.validation_loss:.4g}")
            told += [f"{name} {value:.4g}" for name, value in epoch.metrics.items()]
            bar.update(task, completed=epoch.number, description=", ".join(told))

        yield show


class _Unfailing:
    """A stream whose failures, as of a terminal that is closed, end no training."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
