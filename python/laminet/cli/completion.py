"""``laminet --completion SHELL``: what completes commands, options and their choices in a shell.

The script is made of the parsers, so that it knows what they do, and needs nothing of laminet when
it runs. Words that it does not know are left to the shell, which completes names of files.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["SHELLS", "PrintCompletion", "script"]

#: Those that a script is for.
SHELLS = ("bash", "zsh")

_FUNCTION = """\
_laminet() {{
  local command=${{COMP_WORDS[1]}} current=${{COMP_WORDS[COMP_CWORD]}} words=
  local before=${{COMP_WORDS[COMP_CWORD-1]}}
  # --option=value is three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $before == = ]]; then
    before=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  case "$command $before" in
{choices}
    *) case "$current" in
      -*) case "$command" in
{options}
        esac ;;
      *) if [[ $COMP_CWORD == 1 || ( $command == help && $COMP_CWORD == 2 ) ]]; then
          words={commands}
        fi ;;
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _laminet laminet
"""


class PrintCompletion(argparse.Action):
    """Print the script of the shell that is named, and leave, as ``--help`` does."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None
    ) -> None:
        """Do so."""
        print(script(parser, values), end="")
        parser.exit()


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return what a shell runs once, and then completes the words of ``laminet``.

    Parameters
    ----------
    parser : ArgumentParser
        With all of the subcommands.
    shell : {"bash", "zsh"}
    """
    commands: Mapping[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = action.choices
    choices, options = [], []
    for name, subparser in commands.items():
        choices += [
            f"    {shlex.quote(f'{name} {option}')}) words={_quoted(values)} ;;"
            for option, values in _choices(subparser)
        ]
        options.append(f"        {name}) words={_quoted(_options(subparser))} ;;")
    choices += [
        f"    {shlex.quote(f'{option} {option}')}) words={_quoted(values)} ;;"
        for option, values in _choices(parser)
    ]
    options.append(f"        *) words={_quoted(_options(parser))} ;;")
    function = _FUNCTION.format(
        choices="\n".join(choices),
        options="\n".join(options),
        commands=_quoted([*commands, "help"]),
    )
    # zsh has these functions of bash for such scripts.
    begin = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
    return begin + function if shell == "zsh" else function


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        option
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        for option in action.option_strings
    ]


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """Yield each option that takes one of some words, with these."""
    for action in parser._actions:
        if action.choices is not None and action.help is not argparse.SUPPRESS:
            for option in action.option_strings:
                yield option, list(map(str, action.choices))


def _quoted(words: list[str]) -> str:
    return shlex.quote(" ".join(words))
