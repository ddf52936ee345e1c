"""What a checkpoint holds, in words: for ``laminet info``."""

from __future__ import annotations

from collections.abc import Sequence

from laminet.core.errors import FormatError
from laminet.files.checkpoint import Checkpoint, quoted
from laminet.interop.state_dicts.modules import Module, modules_of
from laminet.interop.state_dicts.networks import groups_of, network_of
from laminet.interop.state_dicts.normalizers import normalizers_of
from laminet.interop.state_dicts.parts import series_in

__all__ = ["contents"]

_MOST_LINES = 30


def contents(checkpoint: Checkpoint) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return the networks of a checkpoint, and lines about what else it holds.

    Returns
    -------
    list of tuple of str
        Of each network the name, the sizes, and where its layers lie.
    list of str
    """
    within, beside = (
        {n: t for n, t in checkpoint.tensors.items() if (n in checkpoint.beside) is is_beside}
        for is_beside in (False, True)
    )
    modules = modules_of(within)
    rows: list[tuple[str, str, str]] = []
    covered: set[Module] = set()
    for name, series in series_in(modules).items():
        places = [prefix for prefix, _ in series.parts]
        sizes = _sizes([inside for _, inside in series.parts])
        rows.append((quoted(name), sizes, _names(places)))
        covered.update(m for _, inside in series.parts for m in inside)
    for group in groups_of(modules):
        if not covered.issuperset(group.layers):
            own = _names([n for n in group.names if n]) or "(all)"
            rows.append((own, _sizes([group.modules]), _names([m.prefix for m in group.layers])))
    normalizers = normalizers_of([*modules, *modules_of(beside)], checkpoint)
    aside = [(m.prefix, m) for m in modules if m.kind == "aside"]
    lines = [
        *(f"normaliser {n}" for n in normalizers),
        *(m.reason for m in modules if m.kind == "other"),
        *(f"no part of a network: {_tensors(prefix, m)}" for prefix, m in aside),
        *(f"no part of a network: {quoted(n)} {t.shape}" for n, t in beside.items()),
        *(f"state of an optimiser: {quoted(name)}" for name in checkpoint.left_out),
        *(f"{quoted(name)}: {value}" for name, value in checkpoint.values.items()),
        *(f"{quoted(name)}: {kind}, not read" for name, kind in checkpoint.objects.items()),
    ]
    more = len(lines) - _MOST_LINES
    return rows, lines[:_MOST_LINES] + ([f"and {more} lines more"] if more > 0 else [])


def _sizes(parts: Sequence[Sequence[Module]]) -> str:
    """Return the sizes of networks in series."""
    sizes: list[int] = []
    try:
        for inside in parts:
            network = network_of(inside)
            if sizes and sizes[-1] != network.sizes[0]:
                return "parts that do not chain"
            sizes += network.sizes[1:] if sizes else network.sizes
    except FormatError:
        return "no chain of dense layers"
    return "-".join(map(str, sizes))


def _names(names: Sequence[str]) -> str:
    return ", ".join(quoted(n) for n in names[:4]) + (", ..." if len(names) > 4 else "")


def _tensors(prefix: str, module: Module) -> str:
    named = {f"{prefix}.{k}" if prefix else k: t.shape for k, t in module.tensors.items()}
    return ", ".join(f"{quoted(name)} {shape}" for name, shape in named.items())
