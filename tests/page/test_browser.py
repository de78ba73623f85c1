"""The page in a real browser: nothing from elsewhere, no error, accessible, live, and whole without JavaScript."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.action import Converged
from tests.page.browser import Site, launched, served
from tests.page.samples import NOW, SAMPLES, calm, sample
from tests.support.npm import packages

VIEWS = ("/", "/?group=app", "/app/shop", "/app/api", "/host/web3", "/hosts", "/history", "/drift", "/plan")
PHONE = {"width": 360, "height": 740}
LAPTOP = {"width": 1200, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def axe() -> str:
    return (packages() / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as found:
        found.now = sample()
        yield found


class Visit:
    """A tab, and everything that went wrong in it."""

    def __init__(self, browser: Any, site: Site, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": LAPTOP, **context})
        self.site, self.wrong = site, list[str]()
        self.tab = self.context.new_page()
        self.tab.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("request", self._note_request)
        self.tab.on("response", lambda answer: self.wrong.append(answer.url) if answer.status >= 400 else None)
        self.tab.on("dialog", self._note_dialog)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((self.site.address + "/", "about:blank")):
            self.wrong.append(f"a request to {request.url}")

    def _note_dialog(self, dialog: Any) -> None:
        self.wrong.append("a dialog")
        dialog.dismiss()

    def go(self, path: str) -> Any:
        self.tab.goto(self.site.address + path)
        return self.tab


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Any]:
    """Open a tab; at the end nothing may have gone wrong in any."""
    visits: list[Visit] = []

    def open_tab(**context: Any) -> Visit:
        visits.append(Visit(browser, site, **context))
        return visits[-1]

    yield open_tab
    wrong = [each for one in visits for each in one.wrong]
    for one in visits:
        one.context.close()
    assert wrong == []


def violations(tab: Any, axe: str, rules: str = "") -> list[str]:
    """What axe-core finds at WCAG 2.2 AA. It is evaluated beside the page: the page's policy allows no script of it."""
    tab.evaluate(axe)
    chosen = rules or "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
    found = tab.evaluate(f"axe.run(document, {{runOnly: {chosen}, resultTypes: ['violations']}})")
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]


def until(tab: Any, condition: str) -> None:
    """Wait until it is true in the page. Playwright's own way evaluates a string in it, which its policy forbids."""
    end = time.monotonic() + 40
    while not tab.evaluate(condition):
        assert time.monotonic() < end, condition
        tab.wait_for_timeout(50)


def test_every_view_is_accessible_and_fits(visit: Any, site: Site, axe: str) -> None:
    one = visit(color_scheme="light", reduced_motion="reduce")
    found: list[str] = []
    for name, paths in (("sample", VIEWS), ("calm", ("/",)), ("empty", ("/", "/plan"))):
        one.tab.goto("about:blank")  # what is shown now does not have what the last tab was about
        site.show(SAMPLES[name]())
        for path in paths:
            tab = one.go(path)
            found += [f"{name} {path}: {each}" for each in violations(tab, axe)]
            tab.set_viewport_size(PHONE)
            if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{name} {path} scrolls sideways on a phone")
            tab.set_viewport_size(LAPTOP)

    assert found == []


def test_every_colour_can_be_read_in_the_dark(visit: Any, axe: str) -> None:
    one = visit(color_scheme="dark", reduced_motion="reduce")
    found = [
        each
        for path in ("/", "/app/shop", "/app/api", "/hosts", "/plan")
        for each in violations(one.go(path), axe, "{type: 'rule', values: ['color-contrast']}")
    ]

    assert found == []


def test_hostile_words_are_text_in_a_browser_too(visit: Any, site: Site) -> None:
    site.now = SAMPLES["hostile"]()
    one = visit()
    for path in VIEWS:
        tab = one.go(path)
        assert "owned" not in tab.title() or "<script>" in tab.title()
        assert tab.locator("main img, main script, main iframe").count() == 0
        assert tab.evaluate("document.querySelectorAll('script').length") == 1
        tab.set_viewport_size(PHONE)
        assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth"), path


def test_a_rollout_is_shown_as_it_happens(visit: Any, site: Site) -> None:
    tab = visit().go("/app/shop")
    steps = tab.locator(".steps[aria-label='Rollout of shop on web1'] li")
    assert steps.locator(".verb").all_inner_texts() == ["install", "migrate", "start", "wait"]
    until(tab, "document.getElementById('link').className === 'live'")

    before = sample()
    done = replace(before.doing["shop", "web1"][-1], ended_epoch_seconds=NOW)
    cutover = replace(done, verb="cutover", subject="slot 4000 → 4001", ended_epoch_seconds=None, progress="")
    doing = {("shop", "web1"): (*before.doing["shop", "web1"][:-1], done, cutover)}
    site.show(replace(before, doing=doing))
    until(tab, "document.querySelectorAll('article .steps li').length === 5")
    assert steps.nth(4).inner_text().startswith("cutover") and "now" in str(steps.nth(4).get_attribute("class"))

    steps_after = {**before.steps, ("shop", "web1"): Converged("web1", "shop", "2.4.0", "4001")}
    site.show(replace(before, doing={}, seen=replace(before.seen, under_way={}), steps=steps_after))
    until(tab, "!document.querySelector('.steps[aria-label=\"Rollout of shop on web1\"]')")
    assert "as wanted" in tab.locator("article", has=tab.locator("a[href='/host/web1']")).first.inner_text()


def test_a_change_keeps_the_focus_the_scroll_position_and_what_is_typed(visit: Any, site: Site) -> None:
    tab = visit(viewport={"width": 900, "height": 500}).go("/")
    until(tab, "document.getElementById('link').className === 'live'")
    tab.locator("summary").first.click()
    tab.locator("#q").fill("unsent")
    tab.evaluate("scrollTo(0, 600)")
    top = tab.evaluate("scrollY")
    base = sample()
    key = "blog", "web1"
    site.show(replace(base, steps={**base.steps, key: Converged("web1", "blog", "7.1.3", "4010", "a new note")}))
    tab.get_by_text("ok, note").nth(1).wait_for()

    assert tab.evaluate("document.activeElement.id") == "q"
    assert tab.locator("#q").input_value() == "unsent"
    assert abs(tab.evaluate("scrollY") - top) < 60
    assert tab.locator("details[open]").count() == 1


def test_a_viewer_of_an_app_that_is_gone_is_led_to_the_fleet(visit: Any, site: Site) -> None:
    one = visit()
    tab = one.go("/app/shop")
    until(tab, "document.getElementById('link').className === 'live'")
    site.show(SAMPLES["empty"]())
    tab.wait_for_url("**/")
    one.wrong[:] = [each for each in one.wrong if "404" not in each and not each.endswith("/app/shop")]


def test_a_screen_reader_hears_the_headline_when_it_changes(visit: Any, site: Site) -> None:
    tab = visit().go("/")
    until(tab, "document.getElementById('link').className === 'live'")
    assert tab.locator("[role=status]").inner_text() == ""
    site.show(calm())
    until(tab, "document.getElementById('said').textContent.includes('everything is as wanted')")
    assert tab.title() == "5 apps on 5 hosts: everything is as wanted · reconcile"


def test_everything_is_reached_with_the_keyboard(visit: Any) -> None:
    tab = visit().go("/")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to content"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    reached = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.getAttribute('href') || document.activeElement.tagName"))
        assert reached[-1] == "BODY" or tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"/app/search", "/host/web3", "INPUT", "BUTTON", "/?group=app", "PRE"} <= set(reached)
    tab.locator("#q").focus()
    tab.keyboard.type("web2 blog")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/?q=web2+blog")
    assert "1 app on a host found" in tab.locator("main").inner_text()


def test_the_page_is_whole_without_javascript(visit: Any) -> None:
    tab = visit(java_script_enabled=False).go("/")
    assert "need attention" in tab.locator("h1").inner_text()
    assert tab.locator("noscript meta[http-equiv=refresh]").count() == 1
    tab.locator("nav >> text=Hosts").click()
    assert tab.locator("h1").inner_text() == "6 hosts"


def test_a_command_is_copied_with_one_press(visit: Any, site: Site) -> None:
    one = visit(permissions=["clipboard-read", "clipboard-write"])
    tab = one.go("/app/api")
    tab.get_by_role("button", name="copy reconcile logs api --host web3").first.click()
    assert tab.evaluate("navigator.clipboard.readText()") == "reconcile logs api --host web3"


def test_a_viewer_who_loses_the_server_is_told_and_catches_up(visit: Any, site: Site) -> None:
    one = visit()
    tab = one.go("/")
    until(tab, "document.getElementById('link').className === 'live'")
    tab.evaluate(
        "new MutationObserver(() => (window.wasLost ||= document.getElementById('link').className === 'lost'))"
        ".observe(document.getElementById('link'), {attributes: true})"
    )
    site.now = calm()
    site.drop_all()
    until(tab, "window.wasLost === true && document.getElementById('link').className === 'live'")
    site.drop_all()
    site.changes.note()
    until(tab, "document.getElementById('headline').textContent.includes('everything')")
    one.wrong[:] = [each for each in one.wrong if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in each]


def test_a_hundred_viewers_follow_and_delay_nothing(visit: Any, site: Site) -> None:
    """A browser and a hundred readers hear of a change; the engine's loop, which is the server's here, stays quick."""
    tab = visit().go("/")
    host, port = site.address.removeprefix("http://").split(":")
    pauses = [0.0]

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.01)
            pauses.append(time.thread_time() - before)  # of this thread's processor time: other processes do not count

    async def follow() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"retry: 3000\n\n")
        joined.append(None)
        await asyncio.wait_for(reader.readuntil(b"event: changed\n"), 20)
        writer.close()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        page = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return page

    async def all_follow() -> list[bytes]:
        viewers = [asyncio.create_task(follow()) for _ in range(100)]
        while len(joined) < 100:
            await asyncio.sleep(0.01)
        site.show(calm())
        return list(await asyncio.gather(*viewers))

    joined: list[None] = []
    ticking = asyncio.run_coroutine_threadsafe(tick(), site.loop)
    with ThreadPoolExecutor(1) as beside:  # playwright has a loop in this thread
        pages = beside.submit(asyncio.run, all_follow()).result(60)
    until(tab, "document.getElementById('headline').textContent.includes('everything')")
    ticking.cancel()

    assert len(pages) == 100 and all(b"everything is as wanted" in page for page in pages)
    assert max(pauses) < 0.5
