r"""Turns a template into the form of its possible results: one regular expression for a host's `grep -xE`. Pure.

reconcile-host writes a unit or a route only if one of our own templates could have made it. Each `{{ expression }}`
needs an entry in the table of its possible values; a missing one fails here, in the tests, and not on a host.
grep works on lines only, so the guard replaces each line end with \001, in the form and in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TAG = re.compile(r"(\{\{-?.*?-?\}\}|\{%-?.*?-?%\}|\{#.*?#\})", re.DOTALL)
_CHOICE = re.compile(r'"([A-Za-z]+)" if [a-z_. ]+ else "([A-Za-z]+)"')
_DECIDED = r"\{%% if (not )?%s -%%\}\n(.*?)(?:\{%% else -%%\}\n(.*?))?\{%% endif -%%\}\n"
_BLOCKS = {"if": ("(", ")?"), "for": ("(", ")*")}


class FormUnknown(ValueError):
    """A template has an expression or block whose form is not known."""


def form_of(template: str, expressions: Mapping[str, str]) -> str:
    """Return a POSIX extended regular expression for all texts that this template can make. Raises FormUnknown."""
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
    """Return the template with the `if` blocks on these names decided: only the side for their value is left.

    Its form then does not match texts of the other side. Raises FormUnknown if such a block holds another one.
    """
    for name, value in facts.items():

        def keep_side(found: re.Match[str], value: bool = value) -> str:
            if "{% if" in found[0][5:]:
                raise FormUnknown(f"a block within another: {found[0][:60]}")
            return (found[2] if value != bool(found[1]) else found[3]) or ""

        template = re.sub(_DECIDED % name, keep_side, template, flags=re.DOTALL)
    return template


def escape(text: str) -> str:
    """Return a regular expression for exactly this text."""
    return re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", text)


def _value(expression: str, expressions: Mapping[str, str]) -> str:
    if found := _CHOICE.fullmatch(expression):
        return f"({found[1]}|{found[2]})"
    if expression not in expressions:
        raise FormUnknown(f"the values of {{{{ {expression} }}}} are not known")
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
    raise FormUnknown(f"the form of {{% {words} %}} is not known")
