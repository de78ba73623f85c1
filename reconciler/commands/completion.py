"""`reconcile completion SHELL`: print the script that completes commands, options, apps, hosts and jobs.

The script knows nothing by itself: for each Tab it hands the line to `reconcile completion --line`, which prints a word
per line, with a description after a tab, or `:files`. No shell evaluates what it prints: a name that does not have the
form of a name is left out.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.commands.completion_scripts import SCRIPTS
from reconciler.desired_state import names
from reconciler.model.options import Options

FILES: Final = ":files"

Words = Iterator[tuple[str, str]]  # each with its description
ParserOf = Callable[[str | None], argparse.ArgumentParser]


def run(options: Options) -> int:
    """Print the script of this shell."""
    print(SCRIPTS[options.shell], end="")
    return 0


def print_candidates(line: str, commands: Mapping[str, str], parser_of: ParserOf) -> int:
    """Print how the last word of the line can go on. Never fails: a broken desired state has no names."""
    try:
        found = [*_candidates(line, commands, parser_of)]
    except Exception:  # the shell would print it into the line that is being typed
        return 0
    sys.stdout.write("".join(f"{word}\t{text}\n" if text else f"{word}\n" for word, text in found))
    return 0


def _candidates(line: str, commands: Mapping[str, str], parser_of: ParserOf) -> Words:
    before, current = _split(line)
    command = _command(before, commands, parser_of(None))
    actions = parser_of(command)._actions
    typed = _Typed.read(before[before.index(command) + 1 :] if command else before, actions)
    folder = _value_of("--desired-state", before) or "desired-state"
    option, equals, value = current.partition("=")
    if current.startswith("--") and equals:
        found = _values(_option(option, actions), typed, Path(folder))
        return ((f"{option}={word}", text) for word, text in found if word.startswith(value))
    if typed.awaits:
        found = _values(typed.awaits, typed, Path(folder))
    elif current.startswith("-"):
        found = ((name, action.help or "") for action in actions for name in action.option_strings if name[:2] == "--")
        found = ((name, text) for name, text in found if text != argparse.SUPPRESS)
    elif command is None:
        found = iter(commands.items())
    else:
        found = _values(typed.next_positional(actions), typed, Path(folder))
    return ((word, text) for word, text in found if word.startswith(current) or word == FILES)


def _split(line: str) -> tuple[list[str], str]:
    """The words behind the name of the program, and the last one, which is not complete."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is still open
        words = line.replace('"', " ").replace("'", " ").split()
    if line[-1:].isspace():
        words.append("")
    start = next((index for index, word in enumerate(words) if Path(word).name == "reconcile"), 0)
    *before, current = words[start + 1 :] or [""]
    return before, current


def _command(before: Sequence[str], commands: Mapping[str, str], top: argparse.ArgumentParser) -> str | None:
    """The command: the first word that is neither an option nor the value of one."""
    positionals = _Typed.read(before, top._actions).positionals
    return positionals[0] if positionals and positionals[0] in commands else None


class _Typed:
    """The complete words behind the command: its positional arguments, and the option that awaits its value."""

    def __init__(self, positionals: list[str], awaits: argparse.Action | None) -> None:
        self.positionals, self.awaits = positionals, awaits

    @classmethod
    def read(cls, words: Sequence[str], actions: Sequence[argparse.Action]) -> _Typed:
        positionals: list[str] = []
        awaits: argparse.Action | None = None
        for word in words:
            if awaits is not None:
                awaits = None
            elif word.startswith("-"):
                action = _option(word, actions)
                awaits = action if action and action.nargs != 0 and "=" not in word else None
            else:
                positionals.append(word)
        return cls(positionals, awaits)

    def next_positional(self, actions: Sequence[argparse.Action]) -> argparse.Action | None:
        arguments = [action for action in actions if not action.option_strings]
        return arguments[len(self.positionals)] if len(self.positionals) < len(arguments) else None


def _option(word: str, actions: Sequence[argparse.Action]) -> argparse.Action | None:
    return next((action for action in actions if word.partition("=")[0] in action.option_strings), None)


def _value_of(option: str, words: Sequence[str]) -> str | None:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == option or word.startswith(f"{option}="):
            return following if word == option else word.partition("=")[2]
    return None


def _values(action: argparse.Action | None, typed: _Typed, folder: Path) -> Words:
    """The values that an option or an argument can have, as far as they are known."""
    if action is None:
        return iter(())
    if action.choices is not None:
        return ((str(choice), "") for choice in action.choices)
    if action.type is Path:
        return iter([(FILES, "")])
    app = typed.positionals[0] if typed.positionals else ""
    known: dict[str, Callable[[], Sequence[str]]] = {
        "app": lambda: names.apps(folder),
        "app_name": lambda: names.apps(folder),
        "host": lambda: names.hosts_and_groups(folder),
        "environment": lambda: names.environments(folder),
        "from_environment": lambda: names.environments(folder),
        "host_name": lambda: names.hosts(folder),
        "target": lambda: names.hosts(folder),
        "job": lambda: names.parts_of_app(folder, app, "jobs"),
        "process": lambda: names.parts_of_app(folder, app, "processes"),
    }
    return ((name, "") for name in known.get(action.dest, lambda: ())())
