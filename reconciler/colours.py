"""Colours for text that is complete without them. Pure: the caller says whether to paint.

Painting is the last step before printing. Text from outside was made printable before, so that it has no colours of its
own and cannot end one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

Style = Literal["good", "bad", "warn", "quiet", "head", "next"]
Paint = Callable[[str, Style], str]

_CODES: Final[dict[Style, str]] = {
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "quiet": "2",
    "head": "1",
    "next": "36",
}
_REMOVES: Final = frozenset({"remove", "unroute", "reject", "goback", "prune", "stop"})
_WAITS: Final = frozenset({"later", "wait", "soak", "drain", "confirm", "certify"})

_PLAN_LINE: Final = re.compile(r"(\S+  +)([a-z]+)(  +\S.*)")
_OF_APP: Final = re.compile(r"(host \S+: \S+:)(.*)")
_POSITION: Final = re.compile(r"(\S+:\d+:\d+:)(.*)")
_NEXT: Final = re.compile(r"( *)((?:next:|→) .*)")
_LOG: Final = re.compile(r"( *\| .*)()")
_CONVERGED: Final = re.compile(r"(.*  )(converged)")
_FINDING: Final = re.compile(r"(ok|note|PROBLEM)(  .*)")
_FINDING_STYLES: Final[dict[str, Style]] = {"ok": "good", "note": "warn", "PROBLEM": "bad"}


def plain(text: str, style: Style) -> str:
    """Leave the text as it is: for a file, a pipe, and a terminal without colours."""
    return text


def in_colour(text: str, style: Style) -> str:
    """The text in the colour of this style."""
    return f"\033[{_CODES[style]}m{text}\033[0m" if text else ""


def style_of_verb(verb: str) -> Style:
    """The style of an action's verb, in a plan and in a log."""
    return "bad" if verb in _REMOVES else "warn" if verb in _WAITS else "good"


def paint_plan(text: str, paint: Paint) -> str:
    """The text of a plan: the verb of each action, and what is blocked."""

    def line(text: str) -> str:
        if _OF_APP.fullmatch(text) or not (found := _PLAN_LINE.fullmatch(text)):
            return _message_line(text, paint, "bad")
        return found[1] + paint(found[2], style_of_verb(found[2])) + found[3]

    return _by_line(text, line)


def paint_message(text: str, paint: Paint, style: Style = "bad") -> str:
    """Messages: the place that each is about, what to do next, and lines quoted from a log."""
    return _by_line(text, lambda line: _message_line(line, paint, style))


def paint_findings(text: str, paint: Paint) -> str:
    """The findings of `doctor`."""

    def line(text: str) -> str:
        if found := _FINDING.fullmatch(text):
            return paint(found[1], _FINDING_STYLES[found[1]]) + found[2]
        return _message_line(text, paint, "bad")

    return _by_line(text, line)


def _message_line(text: str, paint: Paint, style: Style) -> str:
    if found := _NEXT.fullmatch(text):
        return found[1] + paint(found[2], "next")
    if found := _LOG.fullmatch(text):
        return paint(found[1], "quiet")
    if found := _OF_APP.fullmatch(text):
        return paint(found[1], style) + found[2]
    if found := _POSITION.fullmatch(text):
        return paint(found[1], "head") + found[2]
    if found := _CONVERGED.fullmatch(text):
        return found[1] + paint(found[2], "good")
    return text


def _by_line(text: str, change: Callable[[str], str]) -> str:
    return "\n".join(map(change, text.split("\n")))
