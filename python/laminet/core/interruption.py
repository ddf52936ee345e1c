"""Ctrl-C while the command ``laminet`` loads: its one line, and no traceback of an import.

The package is imported before the command's own code runs, so the package must know whether it is
the command that imports it. For any other program nothing changes.
"""

from __future__ import annotations

import os
import sys

__all__ = ["INTERRUPTED", "begin", "end", "say"]

#: The exit code that shells give a command that Ctrl-C ended.
INTERRUPTED = 130

_MODULES = ("laminet", "laminet.cli", "laminet.__main__", "laminet.cli.__main__")


def begin() -> None:
    """Let an interrupt end the process at once, if it is the command.

    As an exception it could come up in another package's module, which may take it for its own.
    """
    if not _is_command():
        return
    try:
        import signal  # takes its time, too

        # Not where it is ignored, nor in a program that handles it otherwise.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)
    except ValueError:
        return  # not the main thread, to which interrupts come
    except KeyboardInterrupt:
        os._exit(say())


def end() -> None:
    """Let an interrupt be an exception again."""
    import signal

    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def say() -> int:
    """Say that the command was interrupted; return its exit code."""
    if sys.stderr is not None:  # print would take standard output
        print("laminet: error: interrupted", file=sys.stderr)
    return INTERRUPTED


def _leave(number: int, frame: object) -> None:
    os._exit(say())


def _is_command() -> bool:
    """Whether this process is ``laminet``, ``python -m laminet`` or ``python -m laminet.cli``."""
    program = str(getattr(sys, "argv", [""])[0])
    if program == "-m":  # while Python looks for the module
        words = sys.orig_argv
        return any(words[i - 1] == "-m" and words[i] in _MODULES for i in range(1, len(words)))
    name = os.path.basename(program)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inside = os.path.abspath(program).startswith(package)
    return name == "laminet" or (name == "__main__.py" and inside)


begin()
