"""Numbers as results write them: three digits that count, and the unit that suits."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["figure", "short_name", "size", "times", "us"]


def figure(value: float) -> str:
    """Return a number with three digits that count, never as a power of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 1
        else f"{value:.3g}"
    )


def size(nbytes: float) -> str:
    """Return a number of bytes in the unit that suits it: 1024 B are 1 KiB."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def us(microseconds: float) -> str:
    """Return a time in the unit that suits it: ns, us, ms or s."""
    if microseconds < 0.9995:
        return f"{figure(microseconds * 1e3)} ns"
    if microseconds < 999.5:
        return f"{figure(microseconds)} us"
    if microseconds < 999.5e3:
        return f"{figure(microseconds / 1e3)} ms"
    return f"{figure(microseconds / 1e6)} s"


def times(ratio: float) -> str:
    """Return a ratio in words: "6.1 times", "24 times"."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def short_name(sizes: Sequence[int]) -> str:
    """Return "784-256-10"; of many layers, the first and the last ones and how many there are."""
    if len(sizes) <= 8:
        return "-".join(map(str, sizes))
    ends = [*map(str, sizes[:3]), "...", *map(str, sizes[-2:])]
    return f"{'-'.join(ends)} ({len(sizes) - 1} layers)"
