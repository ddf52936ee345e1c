"""What somebody may have meant by a name that is none: a suggestion in a message, never a guess."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

__all__ = ["did_you_mean", "plain_key", "unknown_name"]


def did_you_mean(
    name: str, names: Iterable[str], meanings: Mapping[str, str | None] | None = None
) -> str:
    """Return "did you mean 'relu'?", or nothing where no name is near.

    Parameters
    ----------
    name : str
        What was given.
    names : iterable of str
        The names that there are.
    meanings : mapping of str to str or None, optional
        Other words, in small letters and digits alone, with the name that means the same; None for
        something else that only looks like one of the names.
    """
    key = plain_key(name)
    if meanings and key in meanings:
        meant = meanings[key]
    else:
        known = {plain_key(n): n for n in names}
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        meant = known[near[0]] if near else None
    return "" if meant is None else f"did you mean {meant!r}?"


def unknown_name(
    argument: str,
    name: str,
    names: Iterable[str],
    meanings: Mapping[str, str | None] | None = None,
    expected: str | None = None,
) -> str:
    """Return the message of an error for a name that is none of `names`.

    `expected` says what there is, by default one of the names; the rest is as in `did_you_mean`.
    """
    known = list(names)
    hint = did_you_mean(name, known, meanings)
    what = expected or f"one of {', '.join(known)}"
    return f"unknown {argument} {name!r}, {f'{hint} Expected' if hint else 'expected'} {what}"


def plain_key(name: str) -> str:
    """Return the letters and digits of a name, small: what two spellings of it have in common."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
