"""What a cell of .csv is: a number, a truth value, one that stands for a missing value, or text."""

from __future__ import annotations

__all__ = ["is_missing", "is_number", "is_truth_value", "is_value", "truth_value"]

# What programs write where a value is missing, in small letters.
_MISSING = frozenset(
    ["na", "n/a", "#n/a", "#na", "<na>", "null", "none", "nil", "missing", "-", "?"]
)
# Which pandas, R, polars and databases write in letters of either size.
_TRUTH = {"true": 1.0, "false": 0.0}


def is_value(cell: str) -> bool:
    """Whether a cell is data and never a name: a number, a truth value, or a missing one."""
    text = cell.strip().lower()
    if not text or text in _MISSING or text in _TRUTH:
        return True
    try:
        float(text.replace(",", "."))  # also the decimal comma, and 1_000, which no row may have
    except ValueError:
        return False
    return True


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    text = cell.strip().lower()
    return not text or text in _MISSING or text == "nan"


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    # Python reads 1_000 and digits of other scripts as numbers; no other program does.
    return "_" not in cell and cell.strip().isascii()


def is_truth_value(cell: str) -> bool:
    """Whether a cell is true or false, in letters of any size."""
    return cell.strip().lower() in _TRUTH


def truth_value(cell: str) -> float:
    """Return 1 for true and 0 for false, as a column of bool has them.

    Raises
    ------
    ValueError
        If the cell is neither.
    """
    value = _TRUTH.get(cell.strip().lower())
    if value is None:
        raise ValueError(f"{cell[:40]!r} is not true or false")
    return value
