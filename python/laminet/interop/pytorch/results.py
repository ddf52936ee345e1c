"""Which of the results of a module is the network's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["every"]


def every(result: Any, output: Any) -> dict[str, Any]:
    """Return the tensors that a module returned, or those within what `output` names, by names.

    Parameters
    ----------
    result
        A tensor, or tensors in tuples, lists, dicts, dataclasses and objects with attributes.
    output : int, str, tuple of these, or None
        An index, a key or an attribute; a tuple goes from one to the next within it. None stands
        for all there are.

    Raises
    ------
    ValueError
        If there is no such result, or something else than tensors.
    """
    path = output if isinstance(output, tuple) else () if output is None else (output,)
    for i, key in enumerate(path):
        result = _entry(result, key, path[: i + 1])
    found = dict(_within(result, ""))
    if not found:
        raise ValueError("the module returns no result")
    return found


def _within(result: Any, name: str) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(result, torch.Tensor):
        yield name or "output", result
        return
    entries = _entries(result)
    if entries is None:
        raise ValueError(
            f"the module returns {_shown(result)}, not tensors: name one within it with output=, "
            "as output='mean'"
        )
    for key, value in entries.items():
        if value is not None:
            yield from _within(value, f"{name}.{key}" if name else str(key))


def _entry(result: Any, key: Any, path: tuple[Any, ...]) -> Any:
    import torch

    entries = _entries(result)
    shown = path[0] if len(path) == 1 else path
    if entries is not None and key in entries:
        return entries[key]
    sequence = isinstance(key, int) and entries is not None and -len(entries) <= key < len(entries)
    if sequence and not isinstance(key, bool):
        return list(entries.values())[key]  # type: ignore[union-attr]  # asked above
    plain = isinstance(result, torch.Tensor)
    if isinstance(key, str) and not plain and not key.startswith("_") and hasattr(result, key):
        return getattr(result, key)
    raise ValueError(f"the module has no result output={shown!r}: it returns {_shown(result)}")


def _entries(result: Any) -> dict[Any, Any] | None:
    """Return the parts of a result by what names them; None if it has none."""
    if isinstance(result, Mapping):
        return dict(result.items())
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return dict(zip(result._fields, result, strict=True))
    if isinstance(result, (tuple, list)):
        return dict(enumerate(result))
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return None


def _shown(result: Any) -> str:
    import torch

    if isinstance(result, torch.Tensor):
        return "one tensor"
    entries = _entries(result)
    if entries is None:
        return "no result" if result is None else f"a {type(result).__name__}"
    if not entries:
        return "no result"
    kind = "result" if len(entries) == 1 else "results"
    return f"{len(entries)} {kind} ({', '.join(repr(key) for key in entries)})"
