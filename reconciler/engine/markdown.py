"""A page of Markdown for a review on GitHub or GitLab, within a size, from words that anyone may have chosen. Pure.

Everything from outside is code: in a span, a fence, or an HTML table's `<code>`. There neither of the two sites makes a
link, an image, a mention, an issue number or HTML of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from reconciler.words import printable, printable_line

LONGEST_PAGE = 65_000  # bytes: a comment on GitHub has at most 65,536 characters
LONGEST_CELL = 400
LONGEST_LINE = 500
_ROOM_FOR_LAST_LINE = 300


@dataclass(frozen=True)
class Block:
    """A part of the page. `lines` may be cut at any place, head and tail stay."""

    head: str = ""
    lines: tuple[str, ...] = ()
    tail: str = ""


def span(text: str) -> str:
    """The text as code within a sentence."""
    text = printable(text, LONGEST_CELL) or " "
    fence = _fence(text, 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def table(head: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Block:
    """A table below a heading. A cell may have several lines."""
    titles = "".join(f"<th>{title}</th>" for title in columns)
    # No line of it is empty: an empty line would end the block of HTML, and Markdown would count again.
    lines = tuple(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return Block(f"{head}\n\n<table>\n<tr>{titles}</tr>\n", lines, "</table>\n\n")


def _cell(text: str) -> str:
    lines = [escape(printable(line, LONGEST_CELL)) for line in text.split("\n") if line.strip()]
    return f"<td>{'<br>'.join(f'<code>{line}</code>' for line in lines)}</td>"


def folded(summary: str, lines: Iterable[str], language: str = "text") -> Block:
    """Lines of code that a click unfolds. `summary` is our own text."""
    shown = [printable_line(line)[:LONGEST_LINE] for line in lines]
    fence = _fence("\n".join(shown), 3)
    head = f"<details><summary>{summary}</summary>\n\n{fence}{language}\n"
    return Block(head, tuple(f"{line}\n" for line in shown), f"{fence}\n\n</details>\n\n")


def paragraph(text: str) -> Block:
    return Block(f"{text}\n\n")


def bullets(lines: Iterable[str]) -> Block:
    return Block("", tuple(f"- {line}\n" for line in lines), "\n")


def page(blocks: Iterable[Block], longest: int, otherwise: str) -> str:
    """Join the blocks, the most important first. Cut what is beyond `longest` bytes; `otherwise` shows all of it."""
    left = longest - _ROOM_FOR_LAST_LINE
    parts: list[str] = []
    cut = 0
    for block in blocks:
        frame = _size(block.head) + _size(block.tail)
        if cut or frame > left:
            cut += len(block.lines) or 1
            continue
        left -= frame
        kept = 0
        for line in block.lines:
            if _size(line) > left:
                break
            left -= _size(line)
            kept += 1
        cut += len(block.lines) - kept
        parts += [block.head, *block.lines[:kept], block.tail]
    if cut:
        parts.append(f"**{cut:,} lines are cut here** to stay within {longest:,} bytes. All of it: {span(otherwise)}\n")
    return "".join(parts).rstrip("\n") + "\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _fence(text: str, least: int) -> str:
    """More backticks than the text has anywhere in a row."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
