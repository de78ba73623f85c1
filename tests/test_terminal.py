"""Colours, widths and texts fitted to them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.colours import in_colour, paint_findings, paint_message, paint_plan, plain
from reconciler.engine.report import plan_text
from reconciler.layout import columns, cut_middle, fit_widths, wrap
from reconciler.logs import readable_line
from reconciler.terminal import Choice, takes_colour
from tests.test_cli import reconcile

COLOUR = re.compile(r"\033\[[0-9;]+m")


@pytest.mark.parametrize(
    ("choice", "is_terminal", "environment", "painted"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", False, {"FORCE_COLOR": "1"}, True),
        ("auto", False, {"CLICOLOR_FORCE": "1"}, True),
        ("auto", False, {"CLICOLOR_FORCE": "0"}, False),
        ("auto", True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", True, {"CLICOLOR": "0"}, False),
        ("always", False, {"NO_COLOR": "1", "TERM": "dumb"}, True),
        ("never", True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_what_decides_about_colours(
    choice: Choice, is_terminal: bool, environment: dict[str, str], painted: bool
) -> None:
    assert takes_colour(choice, is_terminal=is_terminal, environment=environment) is painted


PLAN = """\
a  install  hello 2-000000000000    not on the host
a  later    hello                   after b
a  stop     hello slot 4000         replaced by slot 4001
host a: hello: its port is taken
  version 1 still runs
  | log  line
  next: free it
host b: stop  this: no plan line
"""


@pytest.mark.parametrize("paint", [paint_plan, paint_message, paint_findings])
def test_the_words_are_the_same_without_colours(paint: object) -> None:
    assert callable(paint)
    coloured = paint(PLAN, in_colour)

    assert COLOUR.search(coloured)
    assert COLOUR.sub("", coloured) == PLAN == paint(PLAN, plain)


def test_the_verbs_of_a_plan_have_the_colours_of_what_they_do() -> None:
    lines = paint_plan(PLAN, in_colour).splitlines()

    assert [line.split("hello")[0] for line in lines[:3]] == [
        "a  \033[32minstall\033[0m  ",
        "a  \033[33mlater\033[0m    ",
        "a  \033[1;31mstop\033[0m     ",
    ]
    assert lines[3] == "\033[1;31mhost a: hello:\033[0m its port is taken"
    assert lines[7] == "host b: stop  this: no plan line"
    assert paint_plan(plan_text([]), in_colour) == "nothing to do\n"


def test_a_line_of_the_log_has_the_same_words_in_colour() -> None:
    event = {"timestamp": "12:00:00", "event": "start.finished", "host": "a", "app": "hello", "subject": "slot 4000"}
    event |= {"seconds": 1.25, "reason": "not running \033[31m"}  # type: ignore[dict-item]

    line = readable_line(dict(event))
    assert line == "12:00:00  a  start     hello  slot 4000                 1.2 s   not running \\x1b[31m"
    assert COLOUR.sub("", readable_line(dict(event), in_colour)) == line
    assert "\033[32mstart\033[0m" in readable_line(dict(event), in_colour)
    assert readable_line(dict(event) | {"serves": "2.4.0"}).endswith(" 1.2 s   2.4.0 serves")


def test_a_message_is_painted_if_the_option_says_so() -> None:
    never, always = (
        reconcile("--interval", "0"),
        reconcile("--interval", "0", "--color", "always"),
    )

    assert "\033" not in never.stderr
    assert "\033[36mnext:" in always.stderr
    assert COLOUR.sub("", always.stderr) == never.stderr


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_never_wider_than_its_room(text: str, width: int) -> None:
    cut = cut_middle(text, width)

    assert columns(cut) <= width or cut == text == ""
    assert columns(text) > width or cut == text


def test_a_cut_name_keeps_its_begin_and_its_end() -> None:
    assert cut_middle("frankfurt-production-17", 12) == "frankf…on-17"
    assert columns("日本-1") == 6
    assert cut_middle("日本日本-1", 6) == "日…-1"


def test_the_widest_columns_give_way_first() -> None:
    rows = [["a" * 30, "b" * 12, "c" * 5]]

    assert fit_widths(rows, 40, shrinks=(0, 1)) == [19, 12, 5]
    assert fit_widths(rows, 33, shrinks=(0, 1)) == [12, 12, 5]
    assert fit_widths(rows, 10, shrinks=(0, 1)) == [8, 8, 5]
    assert fit_widths(rows, None, shrinks=(0, 1)) == [30, 12, 5]


def test_without_a_width_a_reason_stays_on_one_line() -> None:
    assert wrap("one two\nthree", None) == ["  one two", "  three"]
    assert wrap("one two three four five", 22) == ["  one two three four", "  five"]
