"""The real scripts, made to stop before each command that changes something, and kept inside a folder.

shfmt parses a script; in front of a command goes a word of ours that asks the simulator first (`_b`), or makes this
one command fail once (`_once`). Absolute paths of the system get the host's folder in front. Nothing else is changed.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from bisect import bisect
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.tools.script_text import CHANGING as SHARED
from reconciler.tools.script_text import LOOKING, join_scripts, strip

# Where a script may reach outside of the folders that it is given, and what stays the machine's own.
ROOTED = re.compile(
    r"(?<![\w$}\"'./*\]%])(/(?:proc/(?:net|sys|meminfo|uptime)|proc/\$(?:[23]|each)|sys/fs/cgroup|sys/devices|var/lib|run/|run\b|etc\b)"
    r"|/(?:usr/local/lib|usr/lib|lib)(?=[ ;]))"
)
# Processes of the script itself, which are real; and those of a group of processes, of which a model has none.
OWN = re.compile(r"/proc/\$1/(?:stat|io)|/proc/self|/proc/&/fd")
QUOTED_ROOTED = re.compile(r'(?<=")(/proc/\$(?:each|pid)/|/sys/fs/cgroup|/var/lib/|/run/)')

# Commands that change a host, or that wait: a run can be stopped before each.
_CHANGING = """mv rm cp ln mkdir mktemp rmdir chmod chown chgrp touch sync tar mkfifo systemctl systemd-run journalctl
    sleep flock timeout kill dd look"""
CHANGING = frozenset(_CHANGING.split())
NEEDS_ROOM = ("cp", "ln", "mkdir", "mktemp", "tar", "touch", "dd", "mkfifo")
MODELLED = ("systemctl", "journalctl", "sleep", "flock", "timeout")
_BUILTIN = "exec set shift return exit break continue unset export trap eval . : wait"
BUILTIN = frozenset(_BUILTIN.split())
PLACES = frozenset(("Pos", "End", "ValuePos", "ValueEnd", "OpPos", "Position", "Comments"))
LANED = ("watch_reader", "systemctl")  # what goes on beside the script and asks too


@dataclass(frozen=True)
class Command:
    """One simple command of a script, by the function it stands in and its place there."""

    number: int
    function: str
    place: int
    text: str
    word: str
    offset: int
    asks: bool
    lane: bool = False
    writes: bool = False  # it needs room on the disk

    @property
    def name(self) -> str:
        return f"{self.function}: {self.text}"

    @property
    def key(self) -> tuple[str, int]:
        return self.function, self.place


@dataclass(frozen=True)
class Parsed:
    """A script's text in the folder's terms (as latin-1, a byte a character), and its commands."""

    verb: str
    text: str
    commands: tuple[Command, ...]

    def command(self, number: int) -> Command | None:
        return self.commands[number - 1] if 0 < number <= len(self.commands) else None


@functools.cache
def parse(verb: str, text: str, root: str) -> Parsed:
    """The script of this verb, for the host in this folder."""
    plain = _plain(verb, text)
    places = _places(plain.text)
    commands = tuple(replace(c, offset=c.offset + len(root) * bisect(places, c.offset - 1)) for c in plain.commands)
    return Parsed(verb, _rooted(plain.text, places, root), commands)


def instrumented(parsed: Parsed, fails: Command | None = None) -> str:
    """The text that is run: it asks before what changes something. `fails` does so the first time, whatever it is."""
    out, last = [], 0
    for command in sorted(parsed.commands, key=lambda each: each.offset):
        before = ""
        if fails is not None and command.number == fails.number:
            before = "_once "
        elif command.lane:
            before = f"_lane={command.number} _b {command.number} " if command.asks else f"_lane={command.number} "
        elif command.asks:
            before = f"_b {command.number} "
        if before:
            if command.lane:
                before = f"_bg {command.number}; {before}"
            out += [parsed.text[last : command.offset], before]
            last = command.offset
    return "".join([*out, parsed.text[last:]])


def outside_paths(text: str) -> list[str]:
    """Absolute paths in a script that would reach the real machine: a test keeps this list empty."""
    marked = _rooted(text, _places(text), "\x01")
    code = "\n".join(line for line in marked.splitlines() if not line.lstrip().startswith("#"))
    found = re.findall(r"(?<![\w$}\"'./*\x01\]%])(/(?:proc|sys|var|run|etc|srv|root|home|boot|opt)\b[^\s;)'\"]*)", code)
    return [path for path in found if not OWN.match(path) and "PID" not in path]


@functools.cache
def _plain(verb: str, original: str) -> Parsed:
    """What all actions begin with is parsed once."""
    shared = strip(join_scripts("system", *LOOKING, *SHARED))
    if not original.startswith(shared):
        return _parse_text(verb, original)
    first, rest = _parse_text("", shared), _parse_text(verb, original[len(shared) :])
    after, size = len(first.commands), len(first.text)
    moved = (replace(c, number=c.number + after, offset=c.offset + size) for c in rest.commands)
    return Parsed(verb, first.text + rest.text, (*first.commands, *moved))


@functools.cache
def _parse_text(verb: str, original: str) -> Parsed:
    text = original.encode().decode("latin-1")  # shfmt counts in bytes
    program = str(Path(sys.executable).with_name("shfmt"))
    tree = json.loads(
        subprocess.run(
            [program, "-ln", "posix", "--to-json"], input=original.encode(), capture_output=True, check=True
        ).stdout
    )
    found = _Finder(verb, text)
    found.walk(tree, "main", piped=False, background=False)
    return Parsed(verb, text, tuple(found.commands))


@dataclass
class _Finder:
    verb: str
    text: str
    commands: list[Command] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def walk(self, node: Any, function: str, *, piped: bool, background: bool) -> None:
        if isinstance(node, list):
            for each in node:
                self.walk(each, function, piped=piped, background=background)
            return
        if not isinstance(node, dict):
            return
        if node.get("Type") == "FuncDecl":
            function, piped, background = node["Name"]["Value"], False, False
        if node.get("Type") == "BinaryCmd" and node.get("Op") in ("|", "|&"):
            piped = True
        cmd = node.get("Cmd")
        if isinstance(cmd, dict) and cmd.get("Type") == "CallExpr":
            self._add(cmd, node, function, piped=piped, background=background)
        if node.get("Background"):
            background = True
        for each in (value for key, value in node.items() if key not in PLACES):
            self.walk(each, function, piped=piped, background=background)

    def _add(self, call: dict[str, Any], stmt: dict[str, Any], function: str, *, piped: bool, background: bool) -> None:
        args = call.get("Args") or []
        if not args or call.get("Assigns"):
            return
        parts = args[0].get("Parts", [])
        if len(parts) != 1 or parts[0].get("Type") != "Lit":
            return
        word = parts[0]["Value"]
        if word in BUILTIN or (word == "look" and function != "main"):
            return
        starts_lane = bool(stmt.get("Background")) and word in LANED
        changes = word in CHANGING or _writes(stmt)
        function = function if function not in ("main", "change") else f"{self.verb}.sh"
        place = self.places[function] = self.places.get(function, 0) + 1
        begin, end = call["Pos"]["Offset"], stmt["End"]["Offset"]
        source = " ".join(self.text[begin:end].split()).rstrip(" ;&")
        asks = (changes and not piped and not background and not (stmt.get("Background") and not starts_lane)) or (
            word in MODELLED and not stmt.get("Background")
        )
        if starts_lane and word == "watch_reader":
            asks = False
        number = len(self.commands) + 1
        writes = word in NEEDS_ROOM or _writes(stmt)
        self.commands.append(Command(number, function, place, source[:100], word, begin, asks, starts_lane, writes))


def _writes(stmt: dict[str, Any]) -> bool:
    for redirection in stmt.get("Redirs") or []:
        target = json.dumps(redirection.get("Word", {}))
        if redirection.get("Op") in (">", ">>") and '"/dev/null"' not in target:
            return True
    return False


def _places(text: str) -> list[int]:
    """Where the host's folder goes: in front of the system's paths."""
    found = {found.start(1) for found in ROOTED.finditer(text)} | {
        found.start() for found in QUOTED_ROOTED.finditer(text)
    }
    return sorted(found - {found.start() for found in OWN.finditer(text)})


def _rooted(text: str, places: list[int], root: str) -> str:
    out, last = [], 0
    for place in places:
        out += [text[last:place], root]
        last = place
    return "".join([*out, text[last:]])


# In front of every script. What is modelled asks the simulator, and gets its answer through a pipe of its own.
PREAMBLE = r"""
_lane=${_lane:-0} _s=0
_ask() {
  _p=0
  [ "$_lane" = 0 ] || IFS=' ' read -r _p _x </proc/self/stat
  printf '%s\036' "$_RUN" "$_p" "$_lane" "$_s" "${SIM_CANARY-}" "$@" @EOT@ >"$_SIM/ask"
  until [ -p "$_SIM/r$_RUN.$_lane" ]; do :; done
  IFS= read -r _a <"$_SIM/r$_RUN.$_lane"
}
_bg() { printf '%s\036' "$_RUN" 0 "$1" bg '' @EOT@ >"$_SIM/ask"; }
_b() {
  _s=$1
  shift
  case $1 in systemctl | journalctl | systemd-run | sleep | flock | timeout) "$@"; return ;; esac
  _ask "$@"
  case $_a in
    go) "$@" ;;
    after*) "$@"; return ${_a#after } ;;
    skip*) return ${_a#skip } ;;
  esac
}
_once() {
  if [ -e "$_SIM/failed" ]; then "$@"; return; fi
  : >"$_SIM/failed"
  _ask "failed once" "$@"
  return 1
}
_say() {
  case $_a in
    status*) return ${_a#status } ;;
    skip*) return ${_a#skip } ;;
    out*)
      _a=${_a#out }
      while IFS= read -r _l || [ -n "$_l" ]; do printf '%s\n' "$_l"; done <"${_a#* }"
      return ${_a%% *} ;;
  esac
}
systemctl() { _ask systemctl "$@"; _say; }
journalctl() { [ "$1" != --sync ] || return 0; _ask journalctl "$@"; _say; }
sleep() { _ask sleep "$@"; _say; }
flock() {
  while :; do
    _ask flock "$@"
    case $_a in status* | skip*) return 1 ;; esac
    case $1 in
      -w) command flock -n "$3" && return ;;
      -n) command flock -n "$2"; return ;;
      *) command flock -n "$1" && return ;;
    esac
    _ask locked "$@"
    case $_a in status*) return 1 ;; esac
  done
}
timeout() {
  while :; do case $1 in -k) shift 2 ;; -*) shift ;; *) break ;; esac; done
  _t=$1
  shift
  if [ "$1" = cat ]; then
    _ask timeout "$_t" cat
    case $_a in status*) return 124 ;; skip*) return ${_a#skip } ;; esac
  fi
  command "$@"
  _p=$?
  case $_a in after*) return ${_a#after } ;; *) return $_p ;; esac
}
date() {
  IFS=' ' read -r _sec _ms <"$_SIM/now"
  case $1 in
    +%s) printf '%s\n' "$_sec" ;;
    +%s%3N) printf '%s%s\n' "$_sec" "$_ms" ;;
    *) command date "$@" ;;
  esac
}
df() { printf '    Avail  Inodes   IFree\n%s 99999999 99999999\n' "$(cat "$_SIM/df")"; }
""".replace("@EOT@", "'\x04'")

SYSTEMD_RUN = '#!/bin/sh\n. "$_SIM/preamble"\n_ask systemd-run "$@"\n_say\n'
