"""What rooms above the core do for its objects, who cannot import them.

A result prints itself, and a network saves and sums itself up, with what `laminet.show`,
`laminet.files` and `laminet.analysis` know. `laminet._wiring` hands it down as the package is
imported: the core is never without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from laminet.core.table_data import TableData

__all__ = ["Hooks", "hooks"]

View = Callable[[Sequence[TableData], Sequence[str]], str]


class Hooks:
    """Functions of other rooms, one for each thing that the core has done for it.

    Attributes
    ----------
    text, html : callable
        Return tables and notes as text, and as HTML for notebooks.
    rich : callable
        Returns them as the package rich prints them.
    save : callable
        Writes a network to a safetensors file.
    summary : callable
        Returns the `Summary` of a network.
    """

    text: View
    html: View
    rich: Callable[[Sequence[TableData], Sequence[str]], Any]
    # Of networks as Any: to name their class, `mlp` would have to be imported, which imports this.
    save: Callable[[Any, str | os.PathLike[str]], None]
    summary: Callable[[Any], Any]


hooks = Hooks()
