"""A health check over a real socket: its headers, the beginning of the answer, and a connection kept for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.host.http import Answer, HttpConnection, NoAnswer
from reconciler.host.local import LocalHost
from reconciler.observe.health_answer import read_health

DJANGO = b"""
<!doctype html>
<html lang="en"><head><title>Bad Request (400)</title><style>h1 { color: red }</style></head>
<body><h1>Bad Request (400)</h1><p></p></body></html>
"""


def answers(*texts: bytes, seen: list[bytes] | None = None, after: bytes = b"") -> Callable[..., Awaitable[None]]:
    """A server that gives these answers on one connection, one for each request, and then closes it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for text in texts:
            request = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(request)
            writer.write(text)
        writer.close()

    return answer


def ok(body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def asked(server: Callable[..., Awaitable[None]], times: int = 1, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The last of so many answers, on as few connections as the server allows."""

    async def story() -> Answer:
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            http = HttpConnection(LocalHost("a"), listening.sockets[0].getsockname()[1], headers)
            try:
                for _ in range(times):
                    answer = await http.ask("/ping")
                    await asyncio.sleep(0.05)  # the server closes the connection meanwhile
                return answer
            finally:
                http.close()

    return asyncio.run(story())


def test_the_headers_of_the_check_replace_its_own() -> None:
    seen: list[bytes] = []

    asked(answers(ok(), seen=seen), headers=(("Host", "a.de"), ("X-Name", "ä")))

    lines = seen[0].split(b"\r\n")
    assert [line for line in lines if line.lower().startswith(b"host:")] == [b"Host: a.de"]
    assert "X-Name: ä".encode() in lines


def test_a_connection_that_is_kept_for_a_moment_only_is_no_failure() -> None:
    """The server has announced nothing: it closes the connection as its keep-alive time is over."""
    assert asked(answers(ok()), times=3).status == 200


def test_a_server_that_closes_each_connection_without_an_answer_has_no_answer() -> None:
    with pytest.raises(NoAnswer, match=r"closed without an answer|the connection broke"):
        asked(answers())


def test_an_answer_is_told_by_its_beginning_without_markup() -> None:
    status = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(DJANGO)

    answer = read_health(asked(answers(status + DJANGO)))

    assert (answer.healthy, answer.words) == (False, '400 ("Bad Request (400) Bad Request (400)")')


def test_a_redirect_is_told_with_its_goal() -> None:
    head = b"HTTP/1.1 301 Moved\r\nLocation: https://a.de/ping\r\nContent-Length: 0\r\n\r\n"

    assert read_health(asked(answers(head))).words == "301 to https://a.de/ping"


def test_what_an_answer_says_is_bounded_printable_and_masked() -> None:
    """Masked before it is cut: half a secret is none that a mask would know."""
    body = b"\x1b[2J" + b"<b>" * 90 + b"x" * 90 + b"hunter2-secret" + b"y" * 4000
    answer = read_health(Answer(500, body, b""), lambda text: text.replace("hunter2-secret", "***"))
    redirect = read_health(Answer(302, b"", b"/\x1b[2J?token=hunter2-secret" + b"z" * 4000), str)

    assert len(answer.excerpt) <= 101 and answer.excerpt.startswith("\\x1b[2J x") and answer.excerpt.endswith("…")
    assert "hunter" not in answer.excerpt
    assert len(redirect.location) <= 301 and "\x1b" not in redirect.location
