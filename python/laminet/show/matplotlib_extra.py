"""Matplotlib, which only those who draw need: found late, and missed in clear words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from laminet.files.atomic import replacing, text_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "new_figure", "require_matplotlib", "save_figure", "target_axes"]

#: Endings of the names of pictures.
PICTURES = (".png", ".svg", ".pdf")


def require_matplotlib() -> None:
    """Raise an ImportError that says what to install if matplotlib is not there."""
    try:
        import matplotlib  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib, which is not installed: pip install 'laminet[plot]'"
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of so many inches that belongs to no window and no global state."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def target_axes(
    target: str | os.PathLike[str] | Axes | None, width: float, height: float
) -> tuple[Axes, Path | None]:
    """Return where to draw, and the file to write when that is done.

    Parameters
    ----------
    target : path, matplotlib Axes or None
        As users give it.
    width, height : float
        Inches of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `target` is something else.
    ValueError
        If the file is to be of an unknown kind.
    """
    require_matplotlib()
    from matplotlib.axes import Axes

    if isinstance(target, Axes):
        return target, None
    path = None
    if target is not None:
        if not isinstance(target, (str, os.PathLike)):
            raise TypeError(f"target must be a path or Axes, got {type(target).__name__}")
        path = Path(text_path(target))
        if path.suffix.lower() not in PICTURES:
            raise ValueError(f"target is {str(path)!r}, expected a name in {', '.join(PICTURES)}")
    return new_figure(width, height).add_subplot(), path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file, which is complete or absent."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().lstrip("."), dpi=160)
