"""Text fitted to a width: columns of a terminal, names cut in the middle, tables and paragraphs. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def cut_end(text: str, width: int) -> str:
    """The text within `width` columns; one that is longer ends in …."""
    return text if columns(text) <= width else _start_of(text, width - 1) + "…" * (width > 0)


def cut_middle(text: str, width: int) -> str:
    """The text within `width` columns. A longer one keeps its begin and its end: names often differ only at the end."""
    if columns(text) <= width:
        return text
    end = _start_of(text[::-1], (width - 1) // 2)[::-1]
    return _start_of(text, width - 1 - columns(end)) + "…" * (width > 0) + end


def pad(text: str, width: int) -> str:
    """The text and blanks up to `width` columns."""
    return text + " " * (width - columns(text))


def wrap(text: str, width: int | None, indent: str = "  ") -> list[str]:
    """The text as indented lines of at most `width` columns; None: each line of the text as one."""
    room = None if width is None else max(20, width - len(indent))
    lines = [each for line in text.splitlines() for each in ([line] if room is None else _lines_of(line, room))]
    return [f"{indent}{each}" for each in lines]


def _lines_of(text: str, room: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and columns(lines[-1]) + 1 + columns(word) <= room:
            lines[-1] += f" {word}"
            continue
        while columns(word) > room:
            lines.append(_start_of(word, room))
            word = word[len(lines[-1]) :]
        lines.append(word)
    return lines


def fit_widths(rows: Sequence[Sequence[str]], room: int | None, shrinks: Sequence[int], least: int = 8) -> list[int]:
    """The width of each column, so that a row takes at most `room` with two blanks between columns.

    Only the columns in `shrinks` become narrower than their widest cell, the widest of them first, and none narrower
    than `least`.
    """
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    while room is not None and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(shrinks, key=lambda index: widths[index])
        if widths[widest] <= least:
            break
        widths[widest] -= 1
    return widths


def _start_of(text: str, width: int) -> str:
    taken, used = "", 0
    for letter in text:
        used += columns(letter)
        if used > width:
            break
        taken += letter
    return taken
