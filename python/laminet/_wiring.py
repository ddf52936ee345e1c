"""What the rooms above hand down to the core; each is imported when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from laminet.core.hooks import hooks

if TYPE_CHECKING:
    from rich.console import Group

    from laminet.core.mlp import MLP
    from laminet.core.summary import Summary
    from laminet.core.table_data import TableData

__all__ = ["connect"]


def connect() -> None:
    """Hand everything down."""
    hooks.text, hooks.html, hooks.rich = _text, _html, _rich
    hooks.save, hooks.summary = _save, _summary


def _text(tables: Sequence[TableData], notes: Sequence[str]) -> str:
    from laminet.show.text import text

    return text(tables, notes)


def _html(tables: Sequence[TableData], notes: Sequence[str]) -> str:
    from laminet.show.html import html

    return html(tables, notes)


def _rich(tables: Sequence[TableData], notes: Sequence[str]) -> Group:
    from laminet.show.terminal import group

    return group(tables, notes)


def _save(net: MLP, path: str | os.PathLike[str]) -> None:
    from laminet.files.safetensors_files import save

    save(net, path)


def _summary(net: MLP) -> Summary:
    from laminet.analysis.summary import summary

    return summary(net)
