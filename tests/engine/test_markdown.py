"""Markdown for reviews: whatever others wrote stays text, and the page fits. Parsed by GitHub's own library."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st

from reconciler.decide.plan import AppPlan
from reconciler.engine.markdown import Block, bullets, folded, page, paragraph, span, table
from reconciler.engine.plan_markdown import plan_markdown
from reconciler.model.action import Blocked, Converged, RemoveApp, StartInstance
from reconciler.model.identity import Identity

HOSTILE = (
    "@everyone", "<img src=x onerror=alert(1)>", "![](https://evil.example/x.png)", "[click](https://evil.example)",
    "https://evil.example", "www.evil.example", "a|b", "\\|", "\\\\|", "`", "``` `` ```", "</details>", "<!-- x -->",
    "</code></td></table>", "\n\n# Heading\n\n- item", "\n", "#1", "you/repo#1", ":tada:", "&lt;img&gt;", "&#64;you",
    "~~~\n```", "$`x`$", "a@example.com", "\x1b[31mred", "\u202egnirts", "<https://evil.example>", "*a* _b_", "",
    "x" * 5000, " ",
)  # fmt: skip
OUR_TAGS = {
    "table", "tbody", "thead", "tr", "th", "td", "code", "br", "details", "summary", "pre", "p", "h3", "h4", "ul", "li",
    "strong",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects the tags, and the text outside of code, where the sites look for mentions and links."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.prose = ""
        self.code = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not attrs or (tag, attrs[0][0]) in (("pre", "lang"), ("code", "class"))
        self._depth += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.code += data
        else:
            self.prose += data


def read(text: str) -> Reader:
    html = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
    reader = Reader()
    reader.feed(html)
    return reader


def whole_page(word: str) -> str:
    blocks = [
        paragraph(f"### Plan of {span(word)}"),
        bullets([span(word), span(word)]),
        table("#### A table", ("One", "Two"), [(word, f"{word}\n{word}"), (word, word)]),
        folded("Details", [word, *word.split("\n"), word], "diff"),
        paragraph("The end."),
    ]
    return page(blocks, 200_000, f"reconcile {word}")


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_stay_text(word: str) -> None:
    reader = read(whole_page(word))

    assert reader.tags <= OUR_TAGS
    assert re.sub(r"\s+", " ", reader.prose).strip() == "Plan of A table OneTwo Details The end."


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), max_size=6).map("".join))
def test_no_mixture_of_hostile_words_gets_out(word: str) -> None:
    reader = read(whole_page(word))

    assert reader.tags <= OUR_TAGS
    assert re.sub(r"\s+", " ", reader.prose).strip() == "Plan of A table OneTwo Details The end."


def test_a_page_of_a_plan_shows_blocked_apps_and_removals_first() -> None:
    identity = Identity("2-abc", "e", "u")
    plans = [
        AppPlan("a", "fine", (StartInstance("a", "fine", "1 → 2", "4000", identity),), Converged("a", "fine", "2", "")),
        AppPlan("a", "old", (RemoveApp("a", "old", "no longer in the desired state"),), Converged("a", "old", "", "")),
        AppPlan("b", "bad", (), Blocked("b", "bad", "it failed", "look", log_tail=("@you | <b>", "```"))),
        AppPlan("b", "same", (), Converged("b", "same", "1", "4000")),
    ]  # fmt: skip

    text = plan_markdown(plans, 10_000)

    order = [text.index(each) for each in ("Host `b`", "bad", "Host `a`", "<code>old</code>", "<code>fine</code>")]
    assert text.startswith("### reconcile plan: 1 blocked, 1 to remove, 1 to roll out, on 2 hosts\n")
    assert order == sorted(order)
    assert "same" not in text
    assert {"a", "b", "img"} & read(text).tags == set()


def test_a_plan_without_work_says_so() -> None:
    plans = [AppPlan("a", "same", (), Converged("a", "same", "1", "4000"))]

    assert plan_markdown(plans, 10_000) == "### reconcile plan: nothing to do\n"


@pytest.mark.parametrize("longest", [1000, 5000, 65_000])
def test_a_page_is_cut_at_its_limit_and_says_so(longest: int) -> None:
    rows = [(f"app{n}", "roll out", "ü" * 30) for n in range(2000)]
    blocks = [paragraph("### Title"), table("#### T", ("A", "B", "C"), rows), folded("More", ["x"] * 10)]

    text = page(blocks, longest, "reconcile plan")

    assert len(text.encode()) <= longest
    kept = text.count("<tr><td>")
    assert (
        f"**{2010 - kept:,} lines are cut here** to stay within {longest:,} bytes. All of it: `reconcile plan`" in text
    )
    assert "</table>" in text  # what is cut is still whole HTML
    assert read(text).tags <= OUR_TAGS


def test_a_page_that_fits_is_not_cut() -> None:
    assert page([Block("a\n"), Block("b\n", ("c\n",), "d\n")], 1000, "x") == "a\nb\nc\nd\n"
