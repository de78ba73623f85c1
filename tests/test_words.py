"""Words of others among ours: they stay in their line, in their place, and within a bound."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.report import blocked_text, outcome_text, table
from reconciler.errors import ReconcileError
from reconciler.model.action import Blocked
from reconciler.words import printable, printable_line, printable_text

# A title, a cleared screen, a line of ours, hidden text, a C1 control, a text that runs backwards, an end of line of
# Unicode, and half a character.
EVIL = "\x1b]0;title\x07\x1b[2J\nhost a: hello: converged\r\x1b[8mhidden\x9b2J\u202eback\u2028next\x00\udcff"


def harmless(text: str) -> bool:
    """Nothing in it is a control, a format character, a separator but the blank, or half of something."""
    return all(letter == " " or unicodedata.category(letter)[0] not in "CZ" for letter in text)


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 400))
def test_any_text_becomes_one_line_within_its_bound(text: str, longest: int) -> None:
    shown = printable(text, longest)

    assert harmless(shown)
    assert len(shown) <= longest + 1


@given(st.text(st.characters(exclude_categories=())))
def test_any_line_of_a_log_stays_a_line(text: str) -> None:
    shown = printable_line(text)

    assert harmless(shown)
    assert len(shown) <= 2001


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_is_unchanged(text: str) -> None:
    """Escaped once is enough: it passes other gates on its way."""
    assert printable_text(printable(text)) == printable(text)
    assert printable_line(printable_line(text)) == printable_line(text)


def test_the_rest_of_hostile_text_stays_readable() -> None:
    assert printable("größer → ok\n  and more") == "größer → ok and more"
    assert printable("a\x1b[2J\udcffé") == r"a\x1b[2J\udcffé"
    assert printable("x" * 5000) == "x" * 300 + "…"
    assert printable_line("\x1b[1;31mERROR\x1b[0m  two  blanks\ttab") == "ERROR  two  blanks      tab"


def test_a_log_line_never_looks_like_our_own_output() -> None:
    """Each line of it stands behind a bar, whatever it holds."""
    end = Blocked("a", "hello", f"it said {EVIL}", f"look {EVIL}", log_tail=(EVIL, "host a: hello: converged"))

    text = blocked_text(end)

    assert all(harmless(line) for line in text.split("\n"))
    lines = text.splitlines()
    assert lines[0].startswith("host a: hello: it said ")
    assert all(line.startswith("  ") for line in lines[1:])
    assert lines[-2] == "  | host a: hello: converged"
    assert outcome_text([end]) == text


@pytest.mark.parametrize("place", [0, 1])
def test_hostile_text_stays_in_its_table_cell(place: int) -> None:
    row = ["a", "b"]
    row[place] = EVIL.replace("\n", " ")

    assert all(harmless(line) for line in table([row, ["c", "d"]]).split("\n"))


def test_no_error_carries_an_escape() -> None:
    error = ReconcileError(EVIL, EVIL)

    assert harmless(str(error).replace("\n", ""))
    assert harmless(error.next_step.replace("\n", ""))
