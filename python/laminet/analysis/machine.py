"""What the machine can do at best, measured once and kept: the roofs of the roofline."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from laminet.analysis.machine_bounds import doubts
from laminet.analysis.machine_figures import Cache, Machine, Rate, from_record
from laminet.analysis.machine_file import (
    file_of,
    forget,
    keep,
    kept,
    measuring_alone,
    this_machine,
)
from laminet.analysis.machine_measuring import measure

__all__ = ["Cache", "Machine", "Rate", "let_stand", "machine", "measured_again"]

_lock = threading.Lock()
_known: dict[str, dict[str, Any]] = {}


def _after_fork() -> None:
    """Free the child of a lock that a thread of its parent held, and that nobody would release."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def machine(refresh: bool = False) -> Machine:
    """Return what this machine can do: peak arithmetic and the bandwidth of each memory level.

    The first call on a machine measures for some seconds, with all threads; the figures are
    kept in the user's cache directory, for each CPU, number of CPUs allowed, instruction set and
    version of laminet. A file there that cannot be read, or whose figures cannot be right, is
    measured anew; where none can be written, the figures are kept for the process alone. Figures
    that other programs were seen to disturb to the end of the measuring, then some five seconds,
    say so (`Machine.disturbed`) and are not kept: the next call measures again.

    Parameters
    ----------
    refresh : bool
        Measure again, whatever is known.

    Returns
    -------
    Machine
        The figures; see `Machine`.

    Raises
    ------
    RuntimeError
        If other calls of laminet keep the threads busy, so that nothing can be measured.
    TypeError
        If `refresh` is not a bool.

    Notes
    -----
    Each figure is the best of many runs of a millisecond. Peaks are those of independent fused
    multiply-adds in registers. Bandwidths are those of reading again and again, in order and by
    the widest loads, from half of L1 and of L2, from the geometric mean of L2 and a thread's share
    of L3, and from four times L3 at least for DRAM. A figure of several threads has them all at
    work at once, each on memory of its own. Close to STREAM's method (J. D. McCalpin, "Memory
    Bandwidth and Machine Balance in Current High Performance Computers", IEEE TCCA Newsletter,
    1995), but for reading alone, as weights are only read.

    A neighbour, another program at work on the same CPUs, shows in the CPU time of the probing
    threads, in repetitions that do not agree, in the time that a hypervisor counts as stolen, and
    in figures that no hardware has beside each other: two threads that compute no more than one,
    a cache slower than the memory behind it. Figures in doubt are measured again a few times.
    """
    if not isinstance(refresh, bool):
        raise TypeError(f"refresh must be a bool, got {type(refresh).__name__}")
    with _lock:
        return _machine(refresh, ())


def measured_again(reasons: Sequence[str]) -> Machine | None:
    """Forget the figures, as something shows them to be wrong, and return those of a new measuring.

    Parameters
    ----------
    reasons : sequence of str
        What shows it.

    Returns
    -------
    Machine or None
        The new figures, with the reasons; None where `let_stand` has said that another measuring
        would bring nothing new.

    Raises
    ------
    RuntimeError
        If other calls of laminet keep the threads busy, so that nothing can be measured.
    """
    with _lock:
        key = this_machine()
        if _known.get(repr(key), {}).get("stands"):
            return None
        return _machine(True, reasons)


def let_stand() -> None:
    """Keep in mind that the figures were doubted, measured again, and came out alike.

    Else they would be measured again for every report of a network that the model has wrong.
    """
    with _lock:
        key = this_machine()
        record = _known.get(repr(key))
        if record is not None:
            record["stands"] = True
            keep(file_of(key), record)


def _machine(refresh: bool, reasons: Sequence[str]) -> Machine:
    """Return the figures that are known, kept or measured; `reasons` say why these are new."""
    key = this_machine()
    name = repr(key)
    file = file_of(key)
    replaced = list(reasons)
    if not refresh:
        if name not in _known:
            replaced += _look(file, key)
        if name in _known:
            return from_record(_known[name])
    with measuring_alone(file):
        if not refresh:
            _look(file, key)  # what another process may have measured meanwhile
            if name in _known:
                return from_record(_known[name])
        record, disturbed = measure(key)
        if disturbed:
            _known.pop(name, None)
            forget(file)
        else:
            _known[name] = record
            keep(file, record)
    return from_record(record, tuple(disturbed), tuple(replaced))


def _look(file: Path | None, key: Mapping[str, Any]) -> list[str]:
    """Take the figures that a file keeps; return why not, of figures that cannot be right."""
    record = kept(file, key)
    if record is None:
        return []
    try:
        wrong = [doubt.words for doubt in doubts(from_record(record))]
    except (ValueError, TypeError, KeyError, OverflowError):
        return []
    if not wrong:
        _known[repr(key)] = record
    return wrong
