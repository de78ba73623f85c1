"""A real browser, and a server of the page whose snapshot a test chooses."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from reconciler.daemon.http_server import serve
from reconciler.daemon.page_server import PageServer
from reconciler.engine.recorder import Changes
from reconciler.page.snapshot import Snapshot

CHROMIUM = shutil.which("chromium")


@contextmanager
def launched() -> Iterator[Any]:
    """Debian's Chromium. Skips the test where it is missing, but not in CI."""
    if find_spec("playwright") is None or CHROMIUM is None:
        if os.environ.get("RECONCILE_TESTS_SKIP_NOTHING"):
            raise AssertionError("chromium or playwright is missing: bash tests/run installs both")
        pytest.skip("chromium or playwright is missing: bash tests/run installs both")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox needs a user that is not root; the pages are our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Site:
    """The page, served from a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.changes = Changes()
        self.now: Snapshot | None = None
        self.server = PageServer(self)
        self.address = ""
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[Any] | None = None
        self._thread = threading.Thread(target=self._run)

    def snapshot(self) -> Snapshot:
        assert self.now is not None
        return self.now

    def show(self, snapshot: Snapshot) -> None:
        """Show this from now on, and tell every viewer."""
        self.now = snapshot
        self.loop.call_soon_threadsafe(self.changes.note)

    def drop_all(self) -> None:
        """Break every connection, as a restart does."""
        self.loop.call_soon_threadsafe(self._drop_all)

    def _drop_all(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            if task is not self._serving:
                task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await serve("127.0.0.1:0", {}, page=self.server.answer)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._serving = asyncio.current_task()
        self._ready.set()
        await self._stop.wait()
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@contextmanager
def served() -> Iterator[Site]:
    """Serve until the block ends."""
    site = Site()
    site._thread.start()
    site._ready.wait()
    try:
        yield site
    finally:
        site.loop.call_soon_threadsafe(site._stop.set)
        site._thread.join()
        site.loop.close()
