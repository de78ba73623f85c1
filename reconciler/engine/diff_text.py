"""Diffs of files as text, JSON or folded Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from reconciler.engine.markdown import Block, folded
from reconciler.targets.file_diffs import Diff
from reconciler.words import printable, printable_line, printable_text

MOST_NAMES = 5


def diff_text(app: str, hosts: tuple[str, ...], lines: tuple[str, ...]) -> str:
    """A diff below a line that says whose it is."""
    shown = "".join(f"  {printable_line(line)}\n" for line in lines)
    return printable_text(f"{app} on {_some(hosts)}:\n{shown}")


def diffs_json(diffs: Iterable[Diff]) -> list[dict[str, Any]]:
    return [{"app": app, "hosts": list(hosts), "lines": list(lines)} for app, hosts, lines in diffs]


def diff_blocks(diffs: Iterable[Diff]) -> list[Block]:
    return [folded(f"Files of {_code(app)} on {_code(_some(hosts))}", lines, "diff") for app, hosts, lines in diffs]


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _code(text: str) -> str:
    return f"<code>{escape(printable(text))}</code>"
