"""Names of features: whether those of a table are those of a network."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["check_names", "check_names_of_samples", "check_pandas_names", "listed", "names_in"]

# So many names stand in a message.
_SHOWN = 8


def names_in(labels: Iterable[Any]) -> tuple[Any, ...] | None:
    """Return the labels of columns; None where none is text, as by default in pandas: 0, 1, ..."""
    found = tuple(labels)
    # A label of several levels is a tuple.
    return found if any(isinstance(label, (str, tuple)) for label in found) else None


def check_names(
    names: tuple[Any, ...],
    expected: tuple[str, ...],
    name: str,
    *,
    select: str,
    values: str,
    of: str = "columns",
) -> None:
    """Raise a ValueError that says how names differ from those of a network's features.

    Parameters
    ----------
    names : tuple
        What came.
    expected : tuple of str
        The names of the network's features.
    name : str
        The argument's name.
    select : str
        An expression that picks the network's features, in their order.
    values : str
        An expression of the numbers without names.
    of : str
        What has the names.
    """
    if names == expected:
        return
    counts, known = Counter(names), Counter(expected)
    missing = list((known - counts).elements())
    unexpected = list(dict.fromkeys(label for label in names if label not in known))
    repeated = [label for label in known if counts[label] > known[label]]
    by_position = f"to go by position alone, give {values}"
    if not (missing or unexpected or repeated):
        raise ValueError(
            f"{name} has the {of} in another order: {_difference(names, expected)}; "
            f"{select} puts them right"
        )
    parts = []
    if missing:
        parts.append(f"missing: {listed(missing)}")
    if unexpected:
        parts.append(f"unexpected: {listed(unexpected)}")
    if repeated:
        parts.append(f"more than once: {listed(repeated)}")
    remedy = by_position
    if not missing and not repeated:
        remedy = f"{select} takes those that the network knows"
    raise ValueError(
        f"{name} has other {of} than the network's features ({'; '.join(parts)}); {remedy}"
    )


def check_names_of_samples(samples: Sequence[Any], name: str, expected: tuple[str, ...]) -> None:
    """Check the names of each pandas Series in a list: rows of a table, one by one."""
    pandas = sys.modules.get("pandas")
    series = getattr(pandas, "Series", ())
    for index, sample in enumerate(samples):
        if isinstance(sample, series):
            check_series_names(sample, f"{name}[{index}]", expected)


def check_series_names(series: Any, name: str, expected: tuple[str, ...]) -> None:
    """Check the names of one sample: the labels of the index, where these are text."""
    check_pandas_names(series.index, name, expected, of="labels")


def check_pandas_names(
    labels: Iterable[Any], name: str, expected: tuple[str, ...], of: str = "columns"
) -> None:
    """Check labels, where these are text, of what is indexed and converted as in pandas."""
    if (names := names_in(labels)) is not None:
        check_names(
            names,
            expected,
            name,
            select=f"{name}[list(net.feature_names)]",
            values=f"{name}.to_numpy()",
            of=of,
        )


def listed(names: Sequence[Any]) -> str:
    """Return names as Python writes them, the first ones of many."""
    shown = [_shown(name) for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(f"... ({len(names)} in all)")
    return ", ".join(shown)


def _difference(names: tuple[Any, ...], expected: tuple[str, ...]) -> str:
    if len(expected) <= _SHOWN:
        return f"expected {_plain(expected)}, got {_plain(names)}"
    index = next(i for i, pair in enumerate(zip(names, expected, strict=True)) if len({*pair}) > 1)
    return f"expected {_shown(expected[index])} at position {index}, got {_shown(names[index])}"


def _plain(names: tuple[Any, ...]) -> str:
    """Return names without quotes, where they read well so."""
    words = all(isinstance(name, str) and name.isidentifier() for name in names)
    return ", ".join(names) if words else listed(names)


def _shown(name: Any) -> str:
    text = repr(name) if not isinstance(name, str) else repr(str(name))
    return text if len(text) <= 60 else f"{text[:57]}..."
