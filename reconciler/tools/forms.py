r"""The form of what a template can make: one regular expression that a host's `grep -xE` takes. Pure.

reconcile-host writes no unit and no route but those that our own templates could have made. Each `{{ expression }}`
needs a line in the table of what it can become; one that has none fails here, and with it the tests, not the host.
grep knows lines only, so the guard puts \001 for each line end, in the form as in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TAG = re.compile(r"(\{\{-?.*?-?\}\}|\{%-?.*?-?%\}|\{#.*?#\})", re.DOTALL)
_CHOICE = re.compile(r'"([A-Za-z]+)" if [a-z_. ]+ else "([A-Za-z]+)"')
_DECIDED = r"\{%% if (not )?%s -%%\}\n(.*?)(?:\{%% else -%%\}\n(.*?))?\{%% endif -%%\}\n"
_BLOCKS = {"if": ("(", ")?"), "for": ("(", ")*")}


class FormUnknown(ValueError):
    """A template says something whose form nobody wrote down."""


def form_of(template: str, expressions: Mapping[str, str]) -> str:
    """All texts of this template as a POSIX extended regular expression."""
    parts = _TAG.split(template)
    form, open_blocks = "", list[str]()
    for number, part in enumerate(parts):
        if number % 2 == 0:
            before = parts[number - 1] if number else ""
            after = parts[number + 1] if number + 1 < len(parts) else ""
            text = part.lstrip() if before[-3:-2] == "-" else part
            form += escape(text.rstrip() if after[2:3] == "-" else text)
        elif part.startswith("{{"):
            form += _value(part[2:-2].strip("- "), expressions)
        elif part.startswith("{%"):
            form += _block(part[2:-2].strip("- "), open_blocks)
    return form


def decide_blocks(template: str, **facts: bool) -> str:
    """The template where these names are known: of the blocks that ask for nothing else, one side is left.

    No text of the other side fits its form any more. Raises FormUnknown where another block stands within such a one.
    """
    for name, value in facts.items():

        def keep_side(found: re.Match[str], value: bool = value) -> str:
            if "{% if" in found[0][5:]:
                raise FormUnknown(f"a block within another: {found[0][:60]}")
            return (found[2] if value != bool(found[1]) else found[3]) or ""

        template = re.sub(_DECIDED % name, keep_side, template, flags=re.DOTALL)
    return template


def escape(text: str) -> str:
    """The text itself, as a regular expression."""
    return re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", text)


def _value(expression: str, expressions: Mapping[str, str]) -> str:
    if found := _CHOICE.fullmatch(expression):
        return f"({found[1]}|{found[2]})"
    if expression not in expressions:
        raise FormUnknown(f"nobody said what {{{{ {expression} }}}} may become")
    return expressions[expression]


def _block(words: str, open_blocks: list[str]) -> str:
    kind = words.split()[0]
    if kind in _BLOCKS:
        begin, end = _BLOCKS[kind]
        open_blocks.append(end)
        return begin
    if kind == "else" and open_blocks[-1] in (")?", ")"):
        open_blocks[-1] = ")"
        return "|"
    if kind == "elif":
        return "|"
    if kind in ("endif", "endfor"):
        return open_blocks.pop()
    raise FormUnknown(f"nobody said what {{% {words} %}} makes")
