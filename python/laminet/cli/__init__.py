"""The command ``laminet``: one module for each subcommand; `commands` knows them all.

They are imported when the command runs, so that an interrupt can end it while they load.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from laminet.core import interruption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["command", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``laminet``.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, or 2 after a mistake in the arguments, the files or the variables
        LAMINET_*, which is one line on standard error, or 130 after an interrupt. argparse leaves
        by `SystemExit`, with the same codes.
    """
    try:
        interruption.begin()
        try:
            from laminet.cli.commands import run
        finally:
            interruption.end()
        return run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return interruption.say()


def command() -> NoReturn:
    """Run the command ``laminet`` and end the process."""
    code: int | str | None
    try:
        code = main()
    except SystemExit as leave:
        code = leave.code
    except KeyboardInterrupt:
        code = interruption.say()
    # All is done; what Python itself still does would show an interrupt as a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
