"""Start commands as people write them, and the one program that a unit runs for each. PURE.

A unit's shell ends in `exec COMMAND`: the app itself is the main process, which gets SIGTERM. What `exec` does not
take, such as `cd src && bin/app`, is run by a shell of its own, which ends in an `exec` too where that can be told.
"""

from __future__ import annotations

import re
import shlex

# Words that cannot follow `exec`: no program has such a name, or what it does ends with its own process.
_OF_THE_SHELL = (
    ". : [ ! { } ( ) alias break case cd continue do done elif else esac eval export fi for if local readonly return "
    "set shift source test then times trap type ulimit umask unset until wait while"
)
_SHELL_WORDS = frozenset(_OF_THE_SHELL.split())
_VARIABLE = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*=")
_TOKEN = re.compile(
    r"""'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\$\([^()]*\)|\\.|[<>]&|&>|&&|\|\||;;|[;&|()]|[^\\'"`$<>;&|()]+|.""", re.DOTALL
)
_ENDS_A_COMMAND = ("&&", ";")
_JOINS_COMMANDS = ("||", ";;", "&", "|", "(", ")")


def as_one_program(command: str, *, takes_arguments: bool = False) -> str:
    """Return a start command so that the shell's `exec` takes it: variables in front of it are set by `env`.

    With `takes_arguments` the caller appends arguments, which are for the last of several commands.
    """
    command = re.sub(r"^\s*exec\s+", "", command)
    first, last = _split_last(command)
    if not first and _first_word(command) not in _SHELL_WORDS:
        return f"env {command}" if _VARIABLE.match(command) else command
    if _first_word(last) in _SHELL_WORDS or any(token in _JOINS_COMMANDS for token in _TOKEN.findall(last)):
        return f"sh -c {shlex.quote(first + last)}"
    arguments = (' "$@"', " sh") if takes_arguments else ("", "")
    return f"sh -c {shlex.quote(f'{first}exec {as_one_program(last)}{arguments[0]}')}{arguments[1]}"


def _split_last(command: str) -> tuple[str, str]:
    """Return a list of commands up to the last `&&` or `;` in it, and the last command."""
    command = command.strip().removesuffix(";").rstrip()
    at = after = 0
    for token in _TOKEN.findall(command):
        at += len(token)
        if token in _ENDS_A_COMMAND:
            after = at
    rest = command[after:].lstrip()
    return command[: len(command) - len(rest)], rest


def _first_word(command: str) -> str:
    found = re.match(r"\s*([(){}!]|[^\s;&|()]+)", command)
    return found[1] if found else ""


def start_program(command: str) -> str | None:
    """The path in the release of the program that this start command runs; None if that cannot be told.

    `exec`, `env` and variables in front of it are passed over.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    while words and (words[0] in ("exec", "env", "/usr/bin/env") or re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0])):
        words = words[1:]
    path = words[0].removeprefix("./") if words else ""
    if words and (
        "/" not in words[0] or ".." in path.split("/") or not re.fullmatch(r"[A-Za-z0-9_.+@-][/A-Za-z0-9_.+@-]*", path)
    ):
        return None
    return path or None
