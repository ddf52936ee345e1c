"""Networks from state dicts and checkpoints: tensors by name, and what the names say."""

from __future__ import annotations

from laminet.files.checkpoint import Checkpoint, Stored, checkpoint_of
from laminet.interop.state_dicts.contents import contents
from laminet.interop.state_dicts.reading import network_of_checkpoint

__all__ = [
    "Checkpoint",
    "Stored",
    "checkpoint_of",
    "contents",
    "network_of_checkpoint",
]
