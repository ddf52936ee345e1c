"""The package onnx, which is an extra: imported where it is needed, or asked for in words."""

from __future__ import annotations

__all__ = ["require_onnx"]


def require_onnx() -> None:
    """Refuse to go on without the package onnx.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import onnx  # noqa: F401 - to see whether it is there
    except ImportError as error:
        message = f"ONNX files take the package onnx: pip install 'laminet[onnx]' ({error})"
        raise ImportError(message, name="onnx") from error
