"""The page over HTTP: who gets it, with which headers, and that viewers cost little."""

from __future__ import annotations

import asyncio
import base64
import gzip
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from reconciler.daemon import page_server
from reconciler.daemon.http_server import TEXT, serve
from reconciler.daemon.page_access import Access, access_for, is_loopback
from reconciler.daemon.page_server import PageServer
from reconciler.engine.recorder import Changes
from reconciler.errors import UsageError
from reconciler.page.index import Index
from reconciler.page.query import Query
from reconciler.page.render import render
from reconciler.page.snapshot import Snapshot
from tests.page.samples import calm, large, sample

TOKEN = "correct horse battery staple"
Talk = Callable[[int], Awaitable[None]]


class Shown:
    """A source whose snapshot a test chooses."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.changes = Changes()
        self.now = snapshot
        self.made = 0

    def snapshot(self) -> Snapshot:
        self.made += 1
        return self.now


def request(path: str = "/", method: str = "GET", host: str = "127.0.0.1:9465", **headers: str) -> bytes:
    named = {"Host": host} | {key.replace("_", "-"): value for key, value in headers.items()}
    head = "".join(f"{key}: {value}\r\n" for key, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode()


async def ask(port: int, said: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def served(talk: Talk, source: Shown | None = None, access: Access | None = None) -> PageServer:
    """Serve the page beside a fixed path while the talk lasts."""
    page = PageServer(source or Shown(sample()), access or Access())

    async def run() -> None:
        fixed = {"/metrics": lambda: (200, TEXT, b"up 1\n")}
        server = await serve(
            "127.0.0.1:0", fixed, {"/webhook": lambda headers, body: (202, TEXT, b"")}, page=page.answer
        )
        try:
            await talk(server.sockets[0].getsockname()[1])
        finally:
            server.close()

    asyncio.run(run())
    return page


def test_the_page_has_headers_that_allow_nothing_from_elsewhere() -> None:
    async def talk(port: int) -> None:
        for path in ("/", "/hosts", "/app/shop", "/nope", "/style.css", "/live.js", "/icon.svg"):
            status, headers, body = await ask(port, request(path))
            assert (status, headers["x-content-type-options"]) == (404 if path == "/nope" else 200, "nosniff")
            assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src")
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert (
                "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
            )
            assert (headers["x-frame-options"], headers["referrer-policy"]) == ("deny", "no-referrer")
            assert headers["cache-control"] == (
                "no-store" if "." not in path else "private, max-age=31536000, immutable"
            )
            assert len(body) > 10

    served(talk)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_done_to_the_page(method: str) -> None:
    async def talk(port: int) -> None:
        assert (await ask(port, request("/", method)))[0] == 405
        assert (await ask(port, request("/events", method)))[0] == 405

    served(talk)


def test_head_is_a_get_without_its_body() -> None:
    async def talk(port: int) -> None:
        for path in ("/", "/events", "/style.css"):
            status, headers, body = await ask(port, request(path, "HEAD"))
            assert (status, body) == (200, b"") and "content-security-policy" in headers

    assert served(talk).viewers == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9465", 200), ("127.0.0.1", 200), ("localhost:9465", 200), ("LOCALHOST", 200), ("[::1]:9465", 200),
        ("10.0.0.7:9465", 200), ("status.example.com", 200), ("status.example.com.:80", 200),
        ("evil.example.com", 421), ("localhost.evil.com:9465", 421), ("127.0.0.1.evil.com", 421), ("", 421),
        ("status.example.com@evil.com", 421), ("a b", 421), ("127.0.0.1:9465, evil.com", 421),
    ],
)  # fmt: skip
def test_a_name_that_is_not_expected_is_refused(host: str, status: int) -> None:
    """A stranger's page that points its own name at our address would otherwise read what the browser is shown."""

    async def talk(port: int) -> None:
        for path in ("/", "/events", "/style.css"):
            if status == 421 or path == "/":
                assert (await ask(port, request(path, host=host)))[0] == status
        assert (await ask(port, request("/metrics", host=host)))[0] == 200

    served(talk, access=Access(names=frozenset({"status.example.com"})))


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (basic("anna", TOKEN), 200), (basic("", TOKEN), 200), (f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200),
        ("", 401), (TOKEN, 401), (basic(TOKEN, ""), 401), (basic("anna", TOKEN[:-1]), 401), ("Basic !!!", 401),
        (basic("anna", "\u00e4\u00f6"), 401), ("Bearer", 401), ("Basic " + "A" * 3, 401), (f"Digest {TOKEN}", 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401),
    ],
)  # fmt: skip
def test_with_a_token_only_who_has_it_sees_anything(given: str, status: int) -> None:
    async def talk(port: int) -> None:
        found, headers, body = await ask(port, request("/", Authorization=given))
        assert found == status
        assert ("www-authenticate" in headers, b"shop" in body) == (status == 401, status == 200)
        if status == 401:
            for path in ("/events", "/style.css", "/nope"):
                assert (await ask(port, request(path, Authorization=given)))[0] == 401
        assert (await ask(port, request("/metrics")))[0] == 200

    served(talk, access=Access(TOKEN))


def test_an_address_that_others_can_reach_shows_nothing_without_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "short").write_text("short")

    assert [access_for(listen, None, None).closed is None for listen in ("127.0.0.1:1", "[::1]:1", "localhost:1")] == [
        True
    ] * 3
    assert access_for("0.0.0.0:1", tmp_path / "token", ("Status.Example.com",)) == Access(
        TOKEN, frozenset({"status.example.com"})
    )
    assert [is_loopback(name) for name in ("127.9.9.9", "0.0.0.0", "::", "example.com", "10.0.0.1")] == [
        True,
        *[False] * 4,
    ]
    for name, words in (("short", "too short"), ("missing", "cannot be read")):
        with pytest.raises(UsageError, match=words):
            access_for("0.0.0.0:1", tmp_path / name, None)
    assert TOKEN not in repr(Access(TOKEN))

    async def talk(port: int) -> None:
        status, _, body = await ask(port, request("/"))
        assert (status, b"--listen-token-file" in body, b"shop" in body) == (403, True, False)
        assert (await ask(port, request("/metrics")))[0] == 200

    served(talk, access=access_for("0.0.0.0:1", None, None))


def test_a_page_comes_compressed_to_who_takes_it() -> None:
    async def talk(port: int) -> None:
        _, _, plain = await ask(port, request("/"))
        _, headers, body = await ask(port, request("/", Accept_Encoding="br, gzip"))
        assert (headers["content-encoding"], headers["vary"], gzip.decompress(body)) == (
            "gzip",
            "accept-encoding",
            plain,
        )

    served(talk)


def test_a_hundred_viewers_of_one_page_cost_one_snapshot_and_one_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    source, rendered = Shown(sample()), list[int]()

    def count(index: Index, query: Query) -> str | None:
        rendered.append(threading.get_ident())
        return render(index, query)

    monkeypatch.setattr(page_server, "render", count)

    async def talk(port: int) -> None:
        answers = await asyncio.gather(*(ask(port, request("/")) for _ in range(100)))
        assert {status for status, _, _ in answers} == {200}

    served(talk, source)

    assert (source.made, len(rendered)) == (1, 1)
    assert rendered[0] != threading.get_ident()  # beside the engine's loop, not in it


def test_a_change_is_told_and_then_shown() -> None:
    source = Shown(sample())

    async def talk(port: int) -> None:
        assert b"need attention" in (await ask(port, request("/")))[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/events"))
        head = await reader.readuntil(b"retry: 3000\n\n")
        assert b"text/event-stream" in head and b"no-store" in head
        source.now = calm()
        source.changes.note()
        await asyncio.wait_for(reader.readuntil(b"event: changed\n"), 5)
        assert b"everything is as wanted" in (await ask(port, request("/")))[2]
        writer.close()

    served(talk, source)


def test_many_changes_are_told_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Shown(sample())
    monkeypatch.setattr(page_server, "_EVERY_SECONDS", 0.2)

    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/events"))
        await reader.readuntil(b"retry: 3000\n\n")
        for _ in range(50):
            source.changes.note()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert 2 <= (await reader.read(65536)).count(b"changed") <= 6
        writer.close()

    served(talk, source)


def test_a_viewer_too_many_is_refused_and_one_who_left_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "MOST_VIEWERS", 2)
    monkeypatch.setattr(page_server, "_HEARTBEAT_SECONDS", 0.05)

    async def talk(port: int) -> None:
        viewers = []
        for _ in range(2):
            viewers.append(await asyncio.open_connection("127.0.0.1", port))
            viewers[-1][1].write(request("/events"))
            await viewers[-1][0].readuntil(b"retry: 3000\n\n")
        assert (await ask(port, request("/events")))[0] == 503
        viewers[0][1].transport.abort()
        for _ in range(100):
            await asyncio.sleep(0.02)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("/events"))
            if b" 200 " in await reader.readline():
                break
            writer.close()
        else:
            raise AssertionError("the viewer who left keeps its place")

    served(talk)


def test_a_large_page_does_not_hold_up_the_loop() -> None:
    """It is rendered elsewhere: no turn of the loop takes as much processor time as a rendering does."""
    source, pauses = Shown(large()), [0.0]

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            pauses.append(time.thread_time() - before)

    async def talk(port: int) -> None:
        ticking = asyncio.create_task(tick())
        for path in ("/", "/hosts", "/history", "/app/app1"):
            assert (await ask(port, request(path)))[0] == 200
        ticking.cancel()

    served(talk, source)
    assert max(pauses) < 0.05


def test_a_page_that_cannot_be_rendered_is_our_fault_and_says_nothing_more() -> None:
    class Broken(Shown):
        def snapshot(self) -> Snapshot:
            raise ValueError("a secret in here")

    async def talk(port: int) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        status, _, body = await ask(port, request("/"))
        assert (status, b"secret" in body) == (500, False)

    served(talk, Broken(sample()))
