"""The command ``laminet``: one module for each subcommand, and what they share in `common`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from laminet.cli import demo, info, predict
from laminet.cli.common import CommandError
from laminet.errors import FormatError

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
        The exit code: 0, or 2 after a mistake in the arguments or the files, which is one line on
        standard error. argparse leaves by `SystemExit`, with the same codes.
    """
    parser = argparse.ArgumentParser(
        prog="laminet", description="Multilayer perceptrons on CPUs: NumPy in, NumPy out."
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (demo, info, predict):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        if arguments.version:
            from laminet.runtime import build_info

            print(f"laminet {build_info()['version']}")
        elif not hasattr(arguments, "run"):
            parser.error("which COMMAND?  laminet --help lists them")
        else:
            arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except (CommandError, FormatError) as error:
        return _fail(str(error))
    except OSError as error:
        known = error.filename is not None and error.strerror is not None
        return _fail(f"{error.filename}: {error.strerror}" if known else str(error))
    except MemoryError:
        return _fail("not enough memory")
    return 0


def _fail(message: str, code: int = 2) -> int:
    print(f"laminet: error: {' '.join(message.split())}", file=sys.stderr)
    return code
