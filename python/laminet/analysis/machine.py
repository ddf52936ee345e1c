"""What the machine can do at best, measured once and kept: the roofs of the roofline."""

from __future__ import annotations

import os
import threading
import time
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
# When figures were measured again and came out alike, and of which the bounds alone were broken.
_stood: dict[str, float] = {}
_unusual: set[str] = set()

# Seconds in which what stands is not measured again: a neighbour may have been there both times.
_DAY = 86400.0


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
    say so (`Machine.disturbed`) and are not kept: the next call has those of before, or where there
    are none it measures again.

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
    Where the last is all that shows, a second measuring that finds it too is kept for a day and
    says so (`Machine.unusual`): two CPUs of a virtual machine may be hardware threads of one core.

    Examples
    --------
    >>> import laminet as ln
    >>> found = ln.machine()
    >>> found.peak_gflops["float32"].all_threads > 0
    True
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
        The new figures, with the reasons; None where `let_stand` has said within the last day that
        another measuring would bring nothing new.

    Raises
    ------
    RuntimeError
        If other calls of laminet keep the threads busy, so that nothing can be measured.
    """
    with _lock:
        name = repr(this_machine())
        if _lately(_stood.get(name)) or _lately(_known.get(name, {}).get("stands")):
            return None
        return _machine(True, reasons)


def let_stand() -> None:
    """Keep in mind that the figures were doubted, measured again, and came out alike.

    Else they would be measured again for every report of a network that the model has wrong. It
    counts for a day, as figures may also become wrong later.
    """
    with _lock:
        key = this_machine()
        name = repr(key)
        # Figures of a disturbed measuring are not known, and none that are kept can say it.
        _stood[name] = time.time()
        record = _known.get(name)
        if record is not None:
            record["stands"] = _stood[name]
            keep(file_of(key), record)


def _lately(when: Any) -> bool:
    """Whether a time, of a file perhaps, is within a day of now; a clock may have been set back."""
    return isinstance(when, float) and abs(time.time() - when) < _DAY


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
        if refresh and not reasons:
            _stood.pop(name, None)
        record, disturbed, unusual = measure(key)
        before = _known.get(name) or kept(file, key)
        if replaced:
            _known.pop(name, None)
        if disturbed:
            if replaced:
                forget(file)
        elif not unusual:
            _keep(file, name, record)
        elif replaced or _doubts(before) != []:
            # Beside a neighbour whom nothing else shows, or on hardware that the bounds do not
            # know, as hardware threads that a virtual machine shows as cores: a second measuring
            # decides, as that neighbour has probably gone by then.
            record["unusual"] = unusual
            if name in _unusual or "unusual" in (before or {}):
                record["confirmed"] = time.time()
                _keep(file, name, record)
                unusual = []
            else:
                _unusual.add(name)
                keep(file, record)
    return from_record(record, (*disturbed, *unusual), tuple(replaced))


def _keep(file: Path | None, name: str, record: dict[str, Any]) -> None:
    """Take figures for this process and others."""
    _unusual.discard(name)
    _known[name] = record
    keep(file, record)


def _look(file: Path | None, key: Mapping[str, Any]) -> list[str]:
    """Take the figures that a file keeps; return why not, of figures that cannot be right."""
    record = kept(file, key)
    words = _doubts(record)
    if record is None or words is None:
        return []
    if "unusual" in record and not _lately(record.get("confirmed")):
        return []
    if words and "unusual" not in record:
        return words
    _known[repr(key)] = record
    return []


def _doubts(record: Mapping[str, Any] | None) -> list[str] | None:
    """Return which bounds a record breaks; None of one that is broken itself, or is none."""
    if record is None:
        return None
    try:
        return [doubt.words for doubt in doubts(from_record(record))]
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
