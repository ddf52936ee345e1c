"""Keras: `from_keras`. Keras is imported when it is called, with the backend that is set."""

from __future__ import annotations

from laminet.interop.keras.reader import from_keras

__all__ = ["from_keras"]
