"""Reads a unit file and its env file as systemd does, as far as the demo's stand-in needs it. Pure.

It ignores the sandbox (DynamicUser, ProtectSystem and so on), which the demo cannot provide without root.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\n', re.DOTALL)
_COMMENT = re.compile(r"[#;][^\n]*\n|\n")


@dataclass(frozen=True)
class Service:
    """The settings of one unit for its process."""

    start: tuple[str, ...]
    stop: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    environment_files: tuple[str, ...]
    must_exist: tuple[str, ...]
    wanted_by: tuple[str, ...]
    restarts: bool
    restart_seconds: float
    stop_seconds: float
    start_limit_seconds: float
    start_limit_burst: int
    oneshot: bool = False  # a start is over when the program has ended
    stdin: str = ""


def read_service(text: str, name: str) -> Service:
    """Read the unit of that name (`hello@4000.service`) from the text of its template. Raises ValueError."""
    prefix, _, instance = name.removesuffix(".service").partition("@")
    settings = _settings(text, {"i": instance, "p": prefix, "n": name, "%": "%"})

    def last(key: str, default: str = "") -> str:
        return settings.get(key, [default])[-1]

    return Service(
        start=tuple(shlex.split(last("ExecStart"))),
        stop=tuple(shlex.split(last("ExecStop"))),
        folder=last("WorkingDirectory", "/"),
        environment=_environment(settings.get("Environment", [])),
        environment_files=tuple(settings.get("EnvironmentFile", [])),
        must_exist=tuple(settings.get("AssertPathExists", [])),
        wanted_by=tuple(last("WantedBy").split()),
        restarts=last("Restart") == "always",
        restart_seconds=float(last("RestartSec", "0.1")),
        stop_seconds=float(last("TimeoutStopSec", "90")),
        start_limit_seconds=float(last("StartLimitIntervalSec", "10")),
        start_limit_burst=int(last("StartLimitBurst", "5")),
        oneshot=last("Type") == "oneshot",
        stdin="".join(f"{line}\n" for line in settings.get("StandardInputText", [])),
    )


def _settings(text: str, specifiers: dict[str, str]) -> dict[str, list[str]]:
    """Return key → its values in order, with specifiers such as `%i` expanded."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith(("#", ";")):
            filled = re.sub(r"%(.)", lambda match: specifiers.get(match[1], match[0]), value.strip())
            found.setdefault(key.strip(), []).append(filled)
    return found


def _environment(lines: list[str]) -> dict[str, str]:
    words = [word.partition("=") for line in lines for word in shlex.split(line)]
    return {key: value for key, _, value in words}


def expand(words: tuple[str, ...], environment: dict[str, str]) -> list[str]:
    """Expand a command line as systemd does: `${NAME}` becomes the variable's value, `$$` a plain dollar sign."""

    def fill(match: re.Match[str]) -> str:
        return environment.get(match[1], "") if match[1] else "$"

    return [re.sub(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}", fill, word) for word in words]


def read_env_file(text: str) -> dict[str, str]:
    """Read the variables of an env file in the form that reconcile writes, KEY="value". Raises ValueError."""
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        if found := _COMMENT.match(text, position):
            position = found.end()
        elif found := _ASSIGNMENT.match(text, position):
            values[found[1]] = re.sub(r'\\(["\\$`])', r"\1", found[2])
            position = found.end()
        else:
            raise ValueError(f"line {text.count(chr(10), 0, position) + 1} is not KEY=value in double quotes")
    return values
