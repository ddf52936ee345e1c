"""Which version of ONNX's operators a model, or a function in it, is written in."""

from __future__ import annotations

from typing import Any

from laminet.core.errors import FormatError

__all__ = ["default_domain", "opset_of"]


def default_domain(domain: str) -> bool:
    """Whether a domain is that of ONNX itself."""
    return domain in ("", "ai.onnx")


def opset_of(imports: Any) -> int:
    """Return which version of ONNX's own operators is imported.

    Raises
    ------
    FormatError
        If there is none, there are two, or it is not one that is read.
    """
    from onnx import defs

    versions = sorted({o.version for o in imports if default_domain(o.domain)})
    if len(versions) != 1:
        found = " and ".join(map(str, versions)) or "none"
        raise FormatError(
            f"the model imports {found} of the versions of ONNX's operators, not one of them"
        )
    newest = defs.onnx_opset_version()
    if not 7 <= versions[0] <= newest:
        raise FormatError(
            f"opset {versions[0]}: 7 to {newest} are read, the newest that the package onnx "
            "knows: export the model again, or convert it with onnx.version_converter"
        )
    return int(versions[0])
