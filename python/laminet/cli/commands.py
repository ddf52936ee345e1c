"""The subcommands together: which one runs, and what becomes of its errors."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from types import FrameType
from typing import Any, cast

from laminet import __version__
from laminet.cli.common import STANDARD_OUTPUT, CommandError, one_line
from laminet.cli.completion import SHELLS, PrintCompletion
from laminet.cli.parser import Parser
from laminet.core.errors import FormatError
from laminet.core.runtime import check_environment
from laminet.files.atomic import errors_about
from laminet.files.samples import SampleError

__all__ = ["run"]

_COMMANDS = ("demo", "info", "train", "predict", "convert", "bench", "roofline")

_EXAMPLES = """\
examples:
  laminet demo                                       a network on real data: checked and timed
  laminet info net.safetensors                       what a file holds, and what it costs
  laminet predict net.safetensors x.csv -o y.csv     run it over a file of samples
  laminet train x.csv --target y -o net.safetensors  make one from a table
  laminet help predict                               all that a command can do
"""


def run(argv: Sequence[str]) -> int:
    """Run the command that the arguments name; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of a file must not be an error where the terminal has no letters for it.
        sys.stdout.reconfigure(errors="backslashreplace")
    stdout = cast(Any, _NamedOutput(sys.stdout))
    try:
        with redirect_stdout(stdout), _termination_as_exception():
            arguments = _parsed(list(argv))
            if arguments.version:
                print(f"laminet {__version__}")
            else:
                _check_environment()
                arguments.run(arguments)
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_standard_output()  # the reader, `head` for instance, has seen enough
        return 0
    except (CommandError, SampleError, FormatError) as error:
        return _fail(str(error))
    except OSError as error:
        if error.strerror is None:
            return _fail(str(error))
        if error.filename == STANDARD_OUTPUT:
            _drop_standard_output()
        if error.filename is None:
            return _fail(error.strerror)
        return _fail(f"{error.filename or repr('')}: {error.strerror}")
    except MemoryError:
        return _fail("not enough memory")
    return 0


def _needed(argv: list[str]) -> Sequence[str]:
    """Return the commands whose modules must be loaded: the one that is named, or else all."""
    if argv in (["-V"], ["--version"]):
        return ()
    return argv[:1] if argv and argv[0] in _COMMANDS else _COMMANDS


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="laminet",
        description="Multilayer perceptrons on CPUs: NumPy in, NumPy out.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # examples are lines of their own
    )
    parser.add_argument("-V", "--version", action="store_true", help="show the version and exit")
    parser.add_argument(
        "--completion",
        action=PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"show what makes a shell complete words of laminet ({', '.join(SHELLS)}), and exit",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    for name in _needed(argv):
        import_module(f"laminet.cli.{name}").add_parser(commands)
    parser.is_bare = not argv
    for name, subparser in commands.choices.items():
        subparser.is_bare = argv == [name]
    arguments, unknown = parser.parse_known_args(argv)
    used = commands.choices.get(arguments.command, parser)
    if unknown:
        used.unknown(unknown)
    if not arguments.version and arguments.command is None:
        parser.error("which COMMAND?  laminet --help lists them")
    return arguments


class _NamedOutput:
    """Standard output whose errors name it: those of an open file name none.

    Python has None for one that is closed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with errors_about(STANDARD_OUTPUT):
            return int(self._open().write(text))

    def flush(self) -> None:
        if self._stream is not None:
            with errors_about(STANDARD_OUTPUT):
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)

    def _open(self) -> Any:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), STANDARD_OUTPUT)
        return self._stream


@contextmanager
def _termination_as_exception() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions, so that temporary files go, as on Ctrl-C."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            # nohup has it ignored; and a handler that is not of Python could not be put back.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                # Only in the main thread: a program that calls main() elsewhere keeps its own.
                with suppress(ValueError):
                    previous[number] = signal.signal(number, leave)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_environment() -> None:
    try:
        check_environment()
    except (ValueError, RuntimeError) as error:
        raise CommandError(str(error)) from error


def _drop_standard_output() -> None:
    """Let what is still to be printed vanish; Python would try again at exit, and complain."""
    if sys.stdout is None:
        return
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _fail(message: str) -> int:
    if sys.stderr is not None:  # print would take standard output
        print(f"laminet: error: {one_line(message)}", file=sys.stderr)
    return 2
