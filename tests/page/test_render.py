"""The page as text: every view of every sample, what it says, and that hostile words stay words."""

from __future__ import annotations

import gzip
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reconciler.decide.order import FleetStep
from reconciler.model.action import Blocked, Converged, InstallRelease
from reconciler.model.fleet import Wait
from reconciler.model.systemd_time import since_epoch
from reconciler.page.index import Index
from reconciler.page.query import Query, read_query
from reconciler.page.render import render, render_file
from reconciler.page.states import state_of
from reconciler.page.wording import ago, bytes_of, duration, size, span
from tests.page.samples import NOW, SAMPLES, calm, empty, hostile, large, sample

PATHS = ("/", "/hosts", "/history", "/drift", "/plan", "/app/shop", "/app/api", "/host/web1", "/host/web3")
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """The text of a page, its elements, and every address that it names."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(name: str, address: str = "/") -> Page:
    path, _, query = address.partition("?")
    asked = read_query(path, query)
    assert asked is not None
    html = render(Index(SAMPLES[name]()), asked)
    assert html is not None
    return Page(html)


@pytest.mark.parametrize("name", ["sample", "calm", "empty", "hostile"])
@pytest.mark.parametrize("path", PATHS)
def test_every_view_is_well_formed_and_asks_nobody_else(name: str, path: str) -> None:
    asked = read_query(path, "")
    assert asked is not None
    html = render(Index(SAMPLES[name]()), asked)
    if html is None:
        assert name == "empty"
        return
    page = Page(html)

    assert page.open == []
    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in page.addresses)
    assert not {name for name in page.names if name.startswith("on")} | {"style"} & page.names
    assert len(page.ids) == len(set(page.ids))
    assert {"main", "h1", "nav"} <= page.tags


@pytest.mark.parametrize("path", PATHS)
def test_hostile_words_are_only_text(path: str) -> None:
    asked = read_query(path, "q=%3Cscript%3E&state=%22")
    assert asked is not None
    html = render(Index(hostile()), replace(asked, search="")) or ""
    page = Page(html)

    assert page.tags & {"script", "img"} == {"script"}  # our own, which has no text
    assert re.findall(r"<script[^>]*>[^<]", html) == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", html)
    assert "owned" not in html or "\\u202egnp.\\u2066\\x1b[31m\\x07" in page.text


def test_hostile_words_are_only_text_in_a_file_too() -> None:
    html = render_file(Index(hostile()))

    assert Page(html).tags & {"script", "img", "link", "form"} == set()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", html)


def test_what_is_searched_for_is_shown_as_text() -> None:
    page = page_of("sample", "/?q=%22%3E%3Cimg+src%3Dx%3E")

    assert "img" not in page.tags
    assert "0 apps on hosts found" in page.text


def test_the_fleet_says_what_is_wrong_first_and_what_to_do() -> None:
    text = page_of("sample").text

    order = ["3 of 15 apps on hosts need attention", "Needs attention", "nothing serves", "Under way", "at a glance"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "the health path answered 500 0.9.11 still serves; git wants 0.9.12" in text
    assert "next reconcile logs api --host web3, then commit a fix" in text
    assert "4f1c2a9 Roll out shop 2.4.0 with the new checkout Anna Huber, 54 s ago" in text
    assert "healthy for 1.2 s of 2 s" in text


def test_one_problem_alone_needs_attention() -> None:
    base = calm()
    blocked = Blocked("web1", "blog", "why", serving="7")
    index = Index(replace(base, steps={**base.steps, ("blog", "web1"): blocked}))

    assert index.headline == ("bad", "1 of 15 apps on hosts needs attention")


def test_a_calm_fleet_needs_one_sentence() -> None:
    text = page_of("calm").text

    assert "5 apps on 5 hosts: everything is as wanted" in text
    assert "Needs attention" not in text
    assert "Nothing. Everything is as wanted." in page_of("calm", "/plan").text


def test_an_unusable_desired_state_is_named_before_everything_else() -> None:
    text = page_of("empty").text

    assert "The newest desired state is not in use apps/hello.yaml:3:1: verison is not a key" in text
    assert "The desired state cannot be used" in text


def test_an_app_shows_what_each_host_runs_and_the_reason() -> None:
    text = page_of("sample", "/app/api").text

    assert "git wants 0.9.12 on 3 hosts 77aa01e api 0.9.12: pool size from env Ben Ortner, 2 days ago" in text
    assert "runs 0.9.11 git wants 0.9.12 slot 4020 since 2 days ago 2 restarts health healthy (200)" in text
    assert "open connections 132 memory 245 MB of 256 MB" in text
    assert "route api.example.com → slot 4020 certificate api.example.com ends in 61 days" in text
    assert "0.9.12 failed here 2 days ago and is not tried again" in text
    assert "reconcile retry api --host web3" in text


def test_the_jobs_of_an_app_have_their_next_and_last_run() -> None:
    text = page_of("sample", "/app/shop").text

    assert "nightly on web1 at *-*-* 03:00 Europe/Vienna next 2026-12-01 02:00:00 UTC last ended well" in text
    assert "failed invoices on web1" in text
    assert "reconcile logs shop --job invoices" in text
    assert "shop--mailer on web2" in text


def test_a_host_shows_its_memory_its_clock_and_its_traefik() -> None:
    assert (
        "looked at 12 s ago memory 60 MB free disk 771 MB of 37 GB free clock 43 s ahead"
        in page_of("sample", "/host/db1").text
    )
    assert "Traefik answers machine amd64, 2 cores" in page_of("sample", "/host/web1").text
    assert "unreachable no answer on port 22 within 10 s" in page_of("sample", "/host/web5").text.replace("web5 ", "")


def test_a_filter_and_a_search_leave_what_was_asked_for() -> None:
    blocked = page_of("sample", "/?state=blocked").text
    searched = page_of("sample", "/?q=WEB2+blog").text
    by_app = page_of("sample", "/?group=app").text

    assert "1 app on a host found" in blocked and "1 app on a host found" in searched
    assert "Apps at a glance" in by_app
    assert page_of("large", "/?q=web0999").text.count("web0999") == 1


def test_a_large_fleet_comes_in_pages_of_bounded_size() -> None:
    index = Index(large())
    first, last = (render(index, Query(page=number)) or "" for number in (1, 10_000))

    assert "page 1 of 10" in first and "page 10 of 10" in last
    assert max(len(gzip.compress(html.encode())) for html in (first, last)) < 300_000
    assert max(len(html) for html in (first, last)) < 500_000
    assert "and 6 more hosts" in first  # 10 hosts are unreachable, and 4 of them are named


def test_a_large_fleet_is_rendered_in_time() -> None:
    """`python -m tests.page figures` prints the figure; here, on a busy machine, only its order of magnitude counts."""
    snapshot = large()
    render(Index(sample()), Query())
    began = time.process_time()
    render(Index(snapshot), Query())

    assert time.process_time() - began < 0.6


def test_a_file_is_whole_without_a_server() -> None:
    page = Page(html := render_file(Index(sample())))

    assert page.tags & {"script", "link", "form", "input"} == set()
    assert all(address.startswith("#") for address in page.addresses)
    missing = {address[1:] for address in page.addresses} - set(page.ids)
    assert missing == set()
    assert "Content-Security-Policy" in html
    assert "shop--mailer" in page.text and "What a pass would do now" in page.text


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        ("/", "", Query()),
        ("/hosts", "page=3&q=%20a++b", Query("hosts", page=3, search="a b")),
        ("/app/shop", "state=blocked", Query("app", "shop", state="blocked")),
        ("/host/root@web1:22", "", Query("host", "root@web1:22")),
        ("/", "page=0&state=odd&group=x&app=../x", Query()),
        ("/", "page=999999999999", Query()),
        ("/", "&".join(["a=b"] * 100), Query()),
        ("/fleet", "", Query()), ("/app", "", None), ("/app/", "", None), ("/app/..%2fx", "", None),
        ("/app/<b>", "", None), ("/other", "", None), ("//hosts", "", None), ("/hosts/", "", None),
    ],
)  # fmt: skip
def test_a_query_is_read_strictly(path: str, query: str, asked: Query | None) -> None:
    assert read_query(path, query) == asked


def test_an_app_or_host_that_is_not_there_has_no_page() -> None:
    assert render(Index(sample()), Query("app", "nope")) is None
    assert render(Index(sample()), Query("host", "nope")) is None


def test_each_step_has_one_state() -> None:
    install = InstallRelease("a", "hello", "why", "1-x")
    steps: dict[str, FleetStep] = {
        "ok": Converged("a", "hello", "1", "4000"),
        "noted": Converged("a", "hello", "1", "4000", "note"),
        "absent": Converged("a", "hello", "", ""),
        "waiting": Wait("a", "hello", "why"),
        "down": Blocked("a", "hello", "why"),
        "blocked": Blocked("a", "hello", "why", serving="1"),
        "suspended": Blocked("a", "hello", "why", kind="suspended"),
        "unreachable": Blocked("a", "hello", "why", kind="login"),
    }

    assert {key: state_of(step, under_way=False, acts=True).key for key, step in steps.items()} == {k: k for k in steps}
    assert state_of(install, under_way=False, acts=True).key == "moving"
    assert state_of(install, under_way=False, acts=False).key == "todo"
    assert state_of(steps["ok"], under_way=True, acts=True).key == "moving"


def test_times_and_sizes_are_said_as_people_say_them() -> None:
    assert [ago(NOW - s, NOW) for s in (1, 54, 90, 7200, 90_000, 200_000)] == [
        "just now", "54 s ago", "1 min ago", "2 h ago", "25 h ago", "2 days ago",
    ]  # fmt: skip
    assert (ago(None, NOW), ago(NOW + 90, NOW)) == ("–", "in 1 min")
    assert [duration(s) for s in (0.42, 9.0, 12.3, 125, 3725)] == ["0.4 s", "9 s", "12 s", "2 min 05 s", "1 h 02 min"]
    assert [size(n) for n in (512, 2048, 151_879_680, 1_610_612_736)] == ["512 B", "2 KB", "145 MB", "1.5 GB"]
    assert (bytes_of("512M"), bytes_of("40%"), span(60)) == (512 << 20, None, "1 min")
    assert since_epoch("Mon 2026-11-30 18:49:55 UTC") == NOW
    assert (since_epoch("Mon 2026-11-30 18:49:55 CET"), since_epoch("n/a")) == (None, None)


def test_samples_are_as_the_decisions_would_have_them() -> None:
    """The calm fleet is converged by the real decisions too: the sample is not only drawn."""
    assert "Everything is as wanted" in page_of("calm", "/plan").text
    assert Index(calm()).counts == {"ok": 15}
    assert Index(empty()).rows == []
