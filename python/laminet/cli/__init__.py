"""The command ``laminet``: one module for each subcommand, and what they share in `common`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from laminet import __version__
from laminet.cli import bench, convert, demo, info, predict, roofline
from laminet.cli.common import CommandError
from laminet.errors import FormatError
from laminet.runtime import check_environment

__all__ = ["main"]


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
        LAMINET_*, which is one line on standard error. argparse leaves by `SystemExit`, with the
        same codes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of a file must not be an error where the terminal has no letters for it.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(
        prog="laminet", description="Multilayer perceptrons on CPUs: NumPy in, NumPy out."
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (demo, info, predict, convert, bench, roofline):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        if arguments.version:
            print(f"laminet {__version__}")
        elif not hasattr(arguments, "run"):
            parser.error("which COMMAND?  laminet --help lists them")
        else:
            _check_environment()
            arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_standard_output()  # the reader, `head` for instance, has seen enough
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except (CommandError, FormatError) as error:
        return _fail(str(error))
    except OSError as error:
        if error.strerror is None:
            return _fail(str(error))
        if error.filename is None:
            # Whatever reads or writes a file names it, so it was print() that failed.
            _drop_standard_output()
            return _fail(f"standard output: {error.strerror}")
        return _fail(f"{error.filename or repr('')}: {error.strerror}")
    except MemoryError:
        return _fail("not enough memory")
    return 0


def _check_environment() -> None:
    try:
        check_environment()
    except (ValueError, RuntimeError) as error:
        raise CommandError(str(error)) from error


def _drop_standard_output() -> None:
    """Let what is still to be printed vanish; Python would try again at exit, and complain."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _fail(message: str, code: int = 2) -> int:
    print(f"laminet: error: {' '.join(message.split())}", file=sys.stderr)
    return code
